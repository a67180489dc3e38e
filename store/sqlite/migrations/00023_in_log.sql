-- A call takes less room: what the log says of it is not kept twice.

-- +goose Up

-- packed may also be the single byte 2: then the view and the verdict of the call are
-- what its entries of the steps admit and end say. An empty run of a permit, or of its
-- use, is that of the call's row.

-- 16 digits of an HMAC tell calls apart; earlier rows have more.
DROP INDEX calls_identical;
CREATE INDEX calls_identical ON calls (substr(identical, 1, 16), seq) WHERE identical IS NOT NULL;
