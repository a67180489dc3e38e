-- Identical requests are one, where the policy says so.

-- +goose Up

-- twin is the same in calls that collapse to one, and null in all others. It is
-- a hash of what the view shows anyway.
ALTER TABLE calls ADD COLUMN twin TEXT;

CREATE UNIQUE INDEX calls_twin ON calls (twin) WHERE twin IS NOT NULL AND status = 'pending';
