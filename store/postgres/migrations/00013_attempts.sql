-- Reviewers see what became of earlier calls that were the same.

-- +goose Up

-- identical is the same in calls of one agent for one requester with equal tool
-- and arguments, hidden ones too: an HMAC by alike_key. Null: nobody looks for it.
ALTER TABLE pawl.calls ADD COLUMN identical text COLLATE "C";

CREATE INDEX calls_identical ON pawl.calls (identical, seq) WHERE identical IS NOT NULL;
