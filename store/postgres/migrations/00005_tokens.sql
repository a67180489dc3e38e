-- Who may use the API by token, and whose calls are whose.

-- +goose Up

-- A token is found by its ID and proved by its hash: SHA-256 of the whole text,
-- which holds 256 random bits. token is the row as JSON.
CREATE TABLE pawl.tokens (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text COLLATE "C" NOT NULL UNIQUE CHECK (id <> ''),
    hash       bytea NOT NULL CHECK (octet_length(hash) = 32),
    token      text NOT NULL,
    revoked_at timestamptz,
    revoked_by text NOT NULL DEFAULT '',
    CHECK (revoked_at IS NOT NULL OR revoked_by = '')
);

CREATE TRIGGER tokens_are_final BEFORE UPDATE ON pawl.tokens
FOR EACH ROW WHEN (OLD.revoked_at IS NOT NULL
    OR (NEW.seq, NEW.id, NEW.hash, NEW.token) IS DISTINCT FROM (OLD.seq, OLD.id, OLD.hash, OLD.token))
EXECUTE FUNCTION pawl.final('a token never changes, but for being revoked once');

-- Calls of before have none: they belong to nobody who authenticates.
ALTER TABLE pawl.calls ADD COLUMN requester text COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX calls_requester ON pawl.calls (requester, status, seq);
