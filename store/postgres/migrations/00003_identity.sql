-- The name of this store among all, which Temporal is told: calls that began with
-- one store must not go on with another.

-- +goose Up

CREATE TABLE pawl.identity (
    id text COLLATE "C" NOT NULL CHECK (length(id) = 32)
);

INSERT INTO pawl.identity (id) VALUES (replace(gen_random_uuid()::text, '-', ''));
