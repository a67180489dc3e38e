-- A call is judged again when its permit is taken.

-- +goose Up

-- revision counts how often what the call requires was changed.
ALTER TABLE pawl.calls ADD COLUMN revision bigint NOT NULL DEFAULT 0;

-- policy is the version of the policy that the permit was taken by; -1: one that
-- is not the store's, as of permits of before. It has no default: an older Pawl
-- does not judge again, so it may take no permit any more.
ALTER TABLE pawl.claims ADD COLUMN policy bigint NOT NULL DEFAULT -1;
ALTER TABLE pawl.claims ALTER COLUMN policy DROP DEFAULT;
