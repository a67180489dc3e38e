-- Payloads and rows of calls can be erased, and the log still verifies.

-- +goose Up

-- metadata is empty, but in entries of before: it is made of the other columns.
-- salt is removed with the payload, whose hash takes their place: SHA-256 of salt
-- and payload.
ALTER TABLE entries ADD COLUMN salt BLOB CHECK (length(salt) = 16);
ALTER TABLE entries ADD COLUMN hash BLOB CHECK (length(hash) = 32);

DROP TRIGGER entries_are_final;
-- +goose StatementBegin
CREATE TRIGGER entries_are_final BEFORE UPDATE ON entries
WHEN NEW.payload IS NOT NULL OR NEW.salt IS NOT NULL OR OLD.hash IS NOT NULL AND NEW.hash IS NOT OLD.hash
    OR NEW.seq <> OLD.seq OR NEW.call <> OLD.call OR NEW.step <> OLD.step OR NEW.kind <> OLD.kind
    OR NEW.at <> OLD.at OR NEW.metadata <> OLD.metadata OR NEW.leaf <> OLD.leaf
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only: of an entry, only the payload may be removed');
END;
-- +goose StatementEnd

-- erased is 0 in a call of which everything is kept, 1 where the payloads of its
-- entries are erased, 2 where its row is, too, but for a tombstone: its ID, digest,
-- status and permit, so that its key never runs again.
ALTER TABLE calls ADD COLUMN erased INTEGER NOT NULL DEFAULT 0 CHECK (erased IN (0, 1, 2) AND (erased = 0 OR ended_at IS NOT NULL));

CREATE INDEX calls_erasable ON calls (erased, ended_at) WHERE ended_at IS NOT NULL AND erased < 2;

-- +goose StatementBegin
CREATE TRIGGER calls_stay_erased BEFORE UPDATE ON calls
WHEN NEW.erased < OLD.erased OR OLD.erased = 2 AND NEW.view <> OLD.view
BEGIN
    SELECT RAISE(ABORT, 'what was erased never comes back');
END;
-- +goose StatementEnd

-- Evidence is erased with the row.
DROP TRIGGER claims_are_final;
-- +goose StatementBegin
CREATE TRIGGER claims_are_final BEFORE UPDATE ON claims
WHEN (OLD.used_at IS NOT NULL OR OLD.void = 1) AND (NEW.evidence <> '' AND NEW.evidence <> OLD.evidence
    OR NEW.call <> OLD.call OR NEW.run <> OLD.run OR NEW.at <> OLD.at OR NEW.good_until <> OLD.good_until
    OR NEW.used_at IS NOT OLD.used_at OR NEW.used_run IS NOT OLD.used_run OR NEW.used_activity IS NOT OLD.used_activity
    OR NEW.used_token IS NOT OLD.used_token OR NEW.void <> OLD.void OR NEW.queue <> OLD.queue
    OR NEW.policy IS NOT OLD.policy OR NEW.executor IS NOT OLD.executor OR NEW.start IS NOT OLD.start)
BEGIN
    SELECT RAISE(ABORT, 'a permit that was used or is void never changes');
END;
-- +goose StatementEnd
