-- People are told what waits for them.

-- +goose Up

-- The channels of notifications. place is the seq of the last entry of the log
-- that a channel was told of. Until lease_until the worker that is its owner
-- serves it.
CREATE TABLE channels (
    name        TEXT PRIMARY KEY CHECK (name <> ''),
    place       INTEGER NOT NULL,
    owner       TEXT NOT NULL,
    lease_until INTEGER
) STRICT;
