-- The name of this store among all, which Temporal is told: calls that began with
-- one store must not go on with another.

-- +goose Up

CREATE TABLE identity (
    id TEXT NOT NULL CHECK (length(id) = 32)
) STRICT;

INSERT INTO identity (id) VALUES (lower(hex(randomblob(16))));
