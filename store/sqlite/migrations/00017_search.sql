-- The audit log is searched: by time, by kind, and by who acted.

-- +goose Up

-- Entries of the kinds that every call has are found by time alone.
DROP INDEX entries_kind;
CREATE INDEX entries_at ON entries (at);
CREATE INDEX entries_kind ON entries (kind, at)
    WHERE kind NOT IN ('call.requested', 'call.claimed', 'tool.started', 'call.ended');

-- The kinds that say who did something.
CREATE INDEX entries_acts ON entries (at)
    WHERE kind IN ('decision.counted', 'decision.refused', 'call.settled', 'policy.applied',
        'token.created', 'token.revoked', 'key.added', 'key.retired', 'key.revoked');

-- All requests, whatever became of them.
CREATE INDEX calls_waited ON calls (waits) WHERE waits = 1;
