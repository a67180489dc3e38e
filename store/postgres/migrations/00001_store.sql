-- JSON is text, not jsonb: it comes back byte for byte (jsonb refuses \u0000,
-- reorders keys and rewrites numbers; json refuses deep nesting). People read
-- it as view::json. Audit bytes are bytea, because their hashes are of bytes.
-- IDs and names compare by their bytes, whatever the database's locale.

-- +goose Up

-- One row per guarded call. seq is the order of admission, which lists are
-- paged by. The columns beside view repeat what lists filter on.
CREATE TABLE pawl.calls (
    seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         text COLLATE "C" NOT NULL UNIQUE CHECK (id <> ''),
    status     text COLLATE "C" NOT NULL CHECK (status IN (
                   'evaluating', 'pending', 'approved', 'executing',
                   'executed', 'rejected', 'expired', 'blocked',
                   'failed', 'outcome_unknown', 'cancelled')),
    waits      boolean NOT NULL,
    tool       text COLLATE "C" NOT NULL,
    agent      text COLLATE "C" NOT NULL,
    session    text COLLATE "C" NOT NULL,
    risk       text COLLATE "C" NOT NULL CHECK (risk IN ('', 'low', 'medium', 'high', 'critical')),
    digest     text COLLATE "C" NOT NULL,
    run        text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at   timestamptz,
    view       text NOT NULL,
    verdict    text NOT NULL,
    CHECK ((ended_at IS NULL) = (status IN ('evaluating', 'pending', 'approved', 'executing')))
);

-- Each index ends in seq, so a page is read in order from where it starts.
CREATE INDEX calls_status ON pawl.calls (status, seq);
CREATE INDEX calls_tool ON pawl.calls (tool, seq);
CREATE INDEX calls_agent ON pawl.calls (agent, seq);
CREATE INDEX calls_session ON pawl.calls (session, seq);
CREATE INDEX calls_risk ON pawl.calls (risk, seq);
-- Most calls are allowed outright and never wait; the reviewers' queue does
-- not have to read past them.
CREATE INDEX calls_requests ON pawl.calls (status, seq) WHERE waits;

-- The one permit of a call: used once, or void, or neither yet.
CREATE TABLE pawl.claims (
    call          bigint PRIMARY KEY REFERENCES pawl.calls (seq),
    run           text COLLATE "C" NOT NULL,
    at            timestamptz NOT NULL,
    good_until    timestamptz NOT NULL,
    used_at       timestamptz,
    used_run      text COLLATE "C",
    used_activity text COLLATE "C",
    used_token    text COLLATE "C",
    void          boolean NOT NULL DEFAULT false,
    CHECK ((used_at IS NULL) = (used_run IS NULL) AND (used_at IS NULL) = (used_activity IS NULL)
           AND (used_at IS NULL) = (used_token IS NULL)),
    CHECK (NOT void OR used_at IS NULL)
);

-- The audit log.
CREATE TABLE pawl.entries (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call     text COLLATE "C" NOT NULL CHECK (call <> ''),
    step     text COLLATE "C" NOT NULL CHECK (step <> ''),
    kind     text COLLATE "C" NOT NULL CHECK (kind <> ''),
    at       timestamptz NOT NULL,
    metadata bytea NOT NULL,
    leaf     bytea NOT NULL CHECK (octet_length(leaf) = 32),
    payload  bytea, -- null: removed by retention
    UNIQUE (call, step)
);

CREATE INDEX entries_kind ON pawl.entries (kind, seq);

-- The catalogue: tool is the row as JSON.
CREATE TABLE pawl.tools (
    name  text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
    queue text COLLATE "C" NOT NULL CHECK (queue <> ''),
    tool  text NOT NULL
);

-- Numbers are given before transactions commit, so an entry may appear after
-- one with a higher seq. To read the log by pages without ever missing one,
-- every transaction that writes entries says, before it gets its first seq,
-- from where on it may write: it holds a shared advisory lock until it ends,
-- whose key is 0x5061 in the upper 16 bits and the highest committed seq in
-- the lower 48.
-- +goose StatementBegin
CREATE FUNCTION pawl.announce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock_shared(
        (20577::bigint << 48) | (SELECT coalesce(max(seq), 0) FROM pawl.entries));
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER entries_announced BEFORE INSERT ON pawl.entries
FOR EACH STATEMENT EXECUTE FUNCTION pawl.announce();

-- settled is a seq up to which the log will not change any more, for snapshots
-- taken after it answered. Let an entry up to there appear later: its seq was
-- given before that of an entry which was committed when settled began, so its
-- writer's lock was held when settled looked at the locks, and its key is
-- lower: settled would have answered less.
-- +goose StatementBegin
CREATE FUNCTION pawl.settled() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT least(
        (SELECT coalesce(max(seq), 0) FROM pawl.entries),
        (SELECT min(((classid::bigint & 65535) << 32) | objid::bigint) FROM pg_catalog.pg_locks
         WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = 20577
             AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())));
$$;
-- +goose StatementEnd

-- final refuses what a trigger is fired for; the trigger gives the reason.
-- +goose StatementBegin
CREATE FUNCTION pawl.final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER claims_are_final BEFORE UPDATE ON pawl.claims
FOR EACH ROW WHEN (OLD.used_at IS NOT NULL OR OLD.void)
EXECUTE FUNCTION pawl.final('a permit that was used or is void never changes');

CREATE TRIGGER claims_stay BEFORE DELETE OR TRUNCATE ON pawl.claims
FOR EACH STATEMENT EXECUTE FUNCTION pawl.final('permits are never deleted: a call has one, ever');

CREATE TRIGGER entries_are_final BEFORE UPDATE ON pawl.entries
FOR EACH ROW WHEN (NEW.payload IS NOT NULL
    OR (NEW.seq, NEW.call, NEW.step, NEW.kind, NEW.at, NEW.metadata, NEW.leaf)
        IS DISTINCT FROM (OLD.seq, OLD.call, OLD.step, OLD.kind, OLD.at, OLD.metadata, OLD.leaf))
EXECUTE FUNCTION pawl.final('the audit log is append-only: of an entry, only the payload may be removed');

CREATE TRIGGER entries_stay BEFORE DELETE OR TRUNCATE ON pawl.entries
FOR EACH STATEMENT EXECUTE FUNCTION pawl.final('the audit log is append-only: entries are never deleted');
