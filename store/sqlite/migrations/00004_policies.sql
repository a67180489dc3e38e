-- Policy sets, and which of them is active.

-- +goose Up

-- One row per set, ever. layers is the files as JSON.
CREATE TABLE policies (
    digest TEXT PRIMARY KEY CHECK (length(digest) = 64),
    layers TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- seq is the version, from 1 on without gaps; the highest is the active one.
CREATE TABLE policy_versions (
    seq           INTEGER PRIMARY KEY CHECK (seq > 0),
    digest        TEXT NOT NULL REFERENCES policies (digest),
    at            INTEGER NOT NULL,
    by            TEXT NOT NULL CHECK (by <> ''),
    channel       TEXT NOT NULL CHECK (channel <> ''),
    authenticated INTEGER NOT NULL CHECK (authenticated IN (0, 1)),
    note          TEXT NOT NULL
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER policies_are_final BEFORE UPDATE ON policies
BEGIN
    SELECT RAISE(ABORT, 'a policy set never changes: verdicts name it');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER policies_stay BEFORE DELETE ON policies
BEGIN
    SELECT RAISE(ABORT, 'policy sets are never deleted: verdicts name them');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER policy_versions_are_final BEFORE UPDATE ON policy_versions
BEGIN
    SELECT RAISE(ABORT, 'which policy was applied when never changes');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER policy_versions_stay BEFORE DELETE ON policy_versions
BEGIN
    SELECT RAISE(ABORT, 'which policy was applied when is never deleted');
END;
-- +goose StatementEnd
