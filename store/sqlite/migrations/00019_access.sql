-- Entries are also found by who erased, restored, renamed, or was kept out.

-- +goose Up

DROP INDEX entries_acts;
CREATE INDEX entries_acts ON entries (at)
    WHERE kind IN ('decision.counted', 'decision.refused', 'call.settled', 'policy.applied',
        'token.created', 'token.revoked', 'key.added', 'key.retired', 'key.revoked',
        'call.erased', 'store.restored', 'log.renamed', 'access.forbidden');
