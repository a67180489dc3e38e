-- A person says what became of a call whose outcome is unknown.

-- +goose Up

-- settled_at is when somebody said so; what they said is in view.
ALTER TABLE pawl.calls ADD COLUMN settled_at timestamptz
    CONSTRAINT calls_settled_are_unknown CHECK (settled_at IS NULL OR status = 'outcome_unknown');

CREATE INDEX calls_unknown ON pawl.calls (seq)
    WHERE waits AND status = 'outcome_unknown' AND settled_at IS NULL;

CREATE TRIGGER calls_settle_once BEFORE UPDATE ON pawl.calls
FOR EACH ROW WHEN (OLD.settled_at IS NOT NULL AND NEW.settled_at IS DISTINCT FROM OLD.settled_at)
EXECUTE FUNCTION pawl.final('what became of a call is said once, and stays');
