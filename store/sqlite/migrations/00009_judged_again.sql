-- A call is judged again when its permit is taken.

-- +goose Up

-- revision counts how often what the call requires was changed.
ALTER TABLE calls ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- policy is the version of the policy that the permit was taken by; -1: one that
-- is not the store's. Permits of before have none.
ALTER TABLE claims ADD COLUMN policy INTEGER;

-- An older Pawl does not judge again, so it may take no permit any more.
-- +goose StatementBegin
CREATE TRIGGER claims_are_judged BEFORE INSERT ON claims WHEN NEW.policy IS NULL
BEGIN
    SELECT RAISE(ABORT, 'a permit needs the version of the policy it was taken by: upgrade this Pawl');
END;
-- +goose StatementEnd
