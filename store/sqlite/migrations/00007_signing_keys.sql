-- Whose signatures on decisions are believed, and what signed decisions a permit
-- was given for.

-- +goose Up

-- key is the row as JSON; id is the hash of public.
CREATE TABLE signing_keys (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE CHECK (id <> ''),
    public     BLOB NOT NULL CHECK (length(public) = 32),
    key        TEXT NOT NULL,
    retired_at INTEGER,
    retired_by TEXT NOT NULL DEFAULT '',
    revoked_at INTEGER,
    revoked_by TEXT NOT NULL DEFAULT '',
    CHECK (retired_at IS NOT NULL OR retired_by = ''),
    CHECK (revoked_at IS NOT NULL OR revoked_by = '')
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER signing_keys_are_final BEFORE UPDATE ON signing_keys
WHEN OLD.revoked_at IS NOT NULL
    OR OLD.retired_at IS NOT NULL AND (NEW.retired_at IS NOT OLD.retired_at OR NEW.retired_by <> OLD.retired_by)
    OR NEW.seq <> OLD.seq OR NEW.id <> OLD.id OR NEW.public <> OLD.public OR NEW.key <> OLD.key
BEGIN
    SELECT RAISE(ABORT, 'a signing key never changes, but for being retired once and revoked once');
END;
-- +goose StatementEnd

-- A JSON list of envelopes; empty: the permit rests on none, and may be used
-- without verifying any.
ALTER TABLE claims ADD COLUMN evidence TEXT NOT NULL DEFAULT '';
