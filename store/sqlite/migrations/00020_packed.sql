-- A call takes less room.

-- +goose Up

-- packed is the view and the verdict of a call that never waits for people, in the
-- format of package store/packed; view and verdict are empty then. So are payloads
-- of its entries of the kinds that every call has.
ALTER TABLE calls ADD COLUMN packed BLOB;

DROP TRIGGER calls_stay_erased;
-- +goose StatementBegin
CREATE TRIGGER calls_stay_erased BEFORE UPDATE ON calls
WHEN NEW.erased < OLD.erased OR OLD.erased = 2 AND (NEW.view <> OLD.view OR NEW.packed IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'what was erased never comes back');
END;
-- +goose StatementEnd

-- 24 digits of an HMAC tell calls apart; earlier rows have 64.
DROP INDEX calls_identical;
CREATE INDEX calls_identical ON calls (substr(identical, 1, 24), seq) WHERE identical IS NOT NULL;
