-- Requests are listed by the days on which they were asked for.

-- +goose Up

CREATE INDEX calls_days ON pawl.calls (created_at, seq) WHERE waits;
