-- A person says what became of a call whose outcome is unknown.

-- +goose Up

-- settled_at is when somebody said so; what they said is in view.
ALTER TABLE calls ADD COLUMN settled_at INTEGER CHECK (settled_at IS NULL OR status = 'outcome_unknown');

-- The columns are those that the list asks for, which lets SQLite choose this index.
CREATE INDEX calls_unknown ON calls (status, settled_at)
    WHERE waits = 1 AND status = 'outcome_unknown' AND settled_at IS NULL;

-- +goose StatementBegin
CREATE TRIGGER calls_settle_once BEFORE UPDATE ON calls
WHEN OLD.settled_at IS NOT NULL AND NEW.settled_at IS NOT OLD.settled_at
BEGIN
    SELECT RAISE(ABORT, 'what became of a call is said once, and stays');
END;
-- +goose StatementEnd
