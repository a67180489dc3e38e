-- Times are microseconds since 1970 in UTC. JSON is text, so that the sqlite3
-- shell can read it; audit bytes are blobs, because their hashes are of bytes.

-- +goose Up

-- One row per guarded call. seq is the order of admission, which lists are
-- paged by. The columns beside view repeat what lists filter on.
CREATE TABLE calls (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE CHECK (id <> ''),
    status     TEXT NOT NULL CHECK (status IN (
                   'evaluating', 'pending', 'approved', 'executing',
                   'executed', 'rejected', 'expired', 'blocked',
                   'failed', 'outcome_unknown', 'cancelled')),
    waits      INTEGER NOT NULL CHECK (waits IN (0, 1)),
    tool       TEXT NOT NULL,
    agent      TEXT NOT NULL,
    session    TEXT NOT NULL,
    risk       TEXT NOT NULL CHECK (risk IN ('', 'low', 'medium', 'high', 'critical')),
    digest     TEXT NOT NULL,
    run        TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at   INTEGER,
    view       TEXT NOT NULL,
    verdict    TEXT NOT NULL,
    CHECK ((ended_at IS NULL) = (status IN ('evaluating', 'pending', 'approved', 'executing')))
) STRICT;

-- Each index ends in seq, so a page is read in order from where it starts.
CREATE INDEX calls_status ON calls (status);
CREATE INDEX calls_tool ON calls (tool);
CREATE INDEX calls_agent ON calls (agent);
CREATE INDEX calls_session ON calls (session);
CREATE INDEX calls_risk ON calls (risk);
-- Most calls are allowed outright and never wait; the reviewers' queue does
-- not have to read past them.
CREATE INDEX calls_requests ON calls (status) WHERE waits = 1;

-- The one permit of a call: used once, or void, or neither yet.
CREATE TABLE claims (
    call          INTEGER PRIMARY KEY REFERENCES calls (seq),
    run           TEXT NOT NULL,
    at            INTEGER NOT NULL,
    good_until    INTEGER NOT NULL,
    used_at       INTEGER,
    used_run      TEXT,
    used_activity TEXT,
    used_token    TEXT,
    void          INTEGER NOT NULL DEFAULT 0 CHECK (void IN (0, 1)),
    CHECK ((used_at IS NULL) = (used_run IS NULL) AND (used_at IS NULL) = (used_activity IS NULL)
           AND (used_at IS NULL) = (used_token IS NULL)),
    CHECK (void = 0 OR used_at IS NULL)
) STRICT;

-- The audit log. AUTOINCREMENT: a position is never given twice.
CREATE TABLE entries (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    call     TEXT NOT NULL CHECK (call <> ''),
    step     TEXT NOT NULL CHECK (step <> ''),
    kind     TEXT NOT NULL CHECK (kind <> ''),
    at       INTEGER NOT NULL,
    metadata BLOB NOT NULL,
    leaf     BLOB NOT NULL CHECK (length(leaf) = 32),
    payload  BLOB, -- null: removed by retention
    UNIQUE (call, step)
) STRICT;

CREATE INDEX entries_kind ON entries (kind);

-- The catalogue: tool is the row as JSON.
CREATE TABLE tools (
    name  TEXT PRIMARY KEY CHECK (name <> ''),
    queue TEXT NOT NULL CHECK (queue <> ''),
    tool  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER claims_are_final BEFORE UPDATE ON claims
WHEN OLD.used_at IS NOT NULL OR OLD.void = 1
BEGIN
    SELECT RAISE(ABORT, 'a permit that was used or is void never changes');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER entries_are_final BEFORE UPDATE ON entries
WHEN NEW.payload IS NOT NULL
    OR NEW.seq <> OLD.seq OR NEW.call <> OLD.call OR NEW.step <> OLD.step OR NEW.kind <> OLD.kind
    OR NEW.at <> OLD.at OR NEW.metadata <> OLD.metadata OR NEW.leaf <> OLD.leaf
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only: of an entry, only the payload may be removed');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER entries_stay BEFORE DELETE ON entries
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only: entries are never deleted');
END;
-- +goose StatementEnd
