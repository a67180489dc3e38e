-- The audit log is searched: by time, by kind, and by who acted.

-- +goose Up

-- Entries of the kinds that every call has are found by time alone.
DROP INDEX pawl.entries_kind;
CREATE INDEX entries_at ON pawl.entries (at, seq);
CREATE INDEX entries_kind ON pawl.entries (kind, at, seq)
    WHERE kind NOT IN ('call.requested', 'call.claimed', 'tool.started', 'call.ended');

-- The kinds that say who did something.
CREATE INDEX entries_acts ON pawl.entries (at, seq)
    WHERE kind IN ('decision.counted', 'decision.refused', 'call.settled', 'policy.applied',
        'token.created', 'token.revoked', 'key.added', 'key.retired', 'key.revoked');

-- All requests, whatever became of them.
CREATE INDEX calls_waited ON pawl.calls (seq) WHERE waits;
