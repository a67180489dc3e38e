-- Who may use the API by token, and whose calls are whose.

-- +goose Up

-- A token is found by its ID and proved by its hash: SHA-256 of the whole text,
-- which holds 256 random bits. token is the row as JSON.
CREATE TABLE tokens (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE CHECK (id <> ''),
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    token      TEXT NOT NULL,
    revoked_at INTEGER,
    revoked_by TEXT NOT NULL DEFAULT '',
    CHECK (revoked_at IS NOT NULL OR revoked_by = '')
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER tokens_are_final BEFORE UPDATE ON tokens
WHEN OLD.revoked_at IS NOT NULL
    OR NEW.seq <> OLD.seq OR NEW.id <> OLD.id OR NEW.hash <> OLD.hash OR NEW.token <> OLD.token
BEGIN
    SELECT RAISE(ABORT, 'a token never changes, but for being revoked once');
END;
-- +goose StatementEnd

-- Calls of before have none: they belong to nobody who authenticates.
ALTER TABLE calls ADD COLUMN requester TEXT NOT NULL DEFAULT '';

CREATE INDEX calls_requester ON calls (requester, status);
