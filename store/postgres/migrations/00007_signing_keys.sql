-- Whose signatures on decisions are believed, and what signed decisions a permit
-- was given for.

-- +goose Up

-- key is the row as JSON; id is the hash of public.
CREATE TABLE pawl.signing_keys (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text COLLATE "C" NOT NULL UNIQUE CHECK (id <> ''),
    public     bytea NOT NULL CHECK (octet_length(public) = 32),
    key        text NOT NULL,
    retired_at timestamptz,
    retired_by text NOT NULL DEFAULT '',
    revoked_at timestamptz,
    revoked_by text NOT NULL DEFAULT '',
    CHECK (retired_at IS NOT NULL OR retired_by = ''),
    CHECK (revoked_at IS NOT NULL OR revoked_by = '')
);

CREATE TRIGGER signing_keys_are_final BEFORE UPDATE ON pawl.signing_keys
FOR EACH ROW WHEN (OLD.revoked_at IS NOT NULL
    OR OLD.retired_at IS NOT NULL AND (NEW.retired_at, NEW.retired_by) IS DISTINCT FROM (OLD.retired_at, OLD.retired_by)
    OR (NEW.seq, NEW.id, NEW.public, NEW.key) IS DISTINCT FROM (OLD.seq, OLD.id, OLD.public, OLD.key))
EXECUTE FUNCTION pawl.final('a signing key never changes, but for being retired once and revoked once');

-- A JSON list of envelopes; empty: the permit rests on none, and may be used
-- without verifying any.
ALTER TABLE pawl.claims ADD COLUMN evidence text NOT NULL DEFAULT '';
