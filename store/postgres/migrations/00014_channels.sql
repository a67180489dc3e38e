-- People are told what waits for them.

-- +goose Up

-- The channels of notifications. place is the seq of the last entry of the log
-- that a channel was told of. Until lease_until the worker that is its owner
-- serves it.
CREATE TABLE pawl.channels (
    name        text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    place       bigint NOT NULL,
    owner       text COLLATE "C" NOT NULL,
    lease_until timestamptz
);
