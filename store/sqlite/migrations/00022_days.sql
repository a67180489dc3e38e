-- Requests are listed by the days on which they were asked for.

-- +goose Up

CREATE INDEX calls_days ON calls (created_at) WHERE waits = 1;
