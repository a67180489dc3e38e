-- Requests are listed by the days on which they were asked for. Without waits in front, SQLite
-- prefers calls_waited, reads all requests and sorts them.

-- +goose Up

DROP INDEX calls_days;
CREATE INDEX calls_days ON calls (waits, created_at) WHERE waits = 1;
