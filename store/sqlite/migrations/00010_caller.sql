-- A call's caller may run its tool.

-- +goose Up

-- executor is who uses the permit: caller, or empty, a worker. start is the hash
-- of the start_id by which a caller did; only that caller may report.
ALTER TABLE claims ADD COLUMN executor TEXT;
ALTER TABLE claims ADD COLUMN start TEXT;

-- alike is the same in calls to which one caller may attach, and null in all
-- others; an HMAC by alike_key. Until lease_until the call is its caller's.
-- delivered_at is when the end of a call that was not started was first told.
ALTER TABLE calls ADD COLUMN alike TEXT;
ALTER TABLE calls ADD COLUMN lease_until INTEGER;
ALTER TABLE calls ADD COLUMN delivered_at INTEGER;

CREATE INDEX calls_alike ON calls (alike, seq) WHERE alike IS NOT NULL AND delivered_at IS NULL;

CREATE TABLE alike_key (
    key TEXT NOT NULL CHECK (length(key) >= 64)
) STRICT;

INSERT INTO alike_key (key) VALUES (lower(hex(randomblob(32))));

-- The tools that agents run themselves: tool is the row as JSON.
CREATE TABLE own_tools (
    agent TEXT NOT NULL CHECK (agent <> ''),
    name  TEXT NOT NULL CHECK (name <> ''),
    tool  TEXT NOT NULL,
    PRIMARY KEY (agent, name)
) STRICT, WITHOUT ROWID;

UPDATE claims SET executor = '' WHERE used_at IS NULL AND void = 0;

-- An older Pawl does not know executors, so it may take no permit any more, and
-- can't use a caller's.
-- +goose StatementBegin
CREATE TRIGGER claims_have_executors BEFORE INSERT ON claims WHEN coalesce(NEW.executor NOT IN ('', 'caller'), true)
BEGIN
    SELECT RAISE(ABORT, 'a permit needs its executor: upgrade this Pawl');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER claims_keep_executors BEFORE UPDATE ON claims
WHEN NEW.executor IS NOT OLD.executor
    OR (NEW.used_at IS NOT NULL AND NEW.executor = 'caller') <> (NEW.start IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'a permit is used by its executor alone');
END;
-- +goose StatementEnd
