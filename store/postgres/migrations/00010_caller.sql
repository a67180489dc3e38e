-- A call's caller may run its tool.

-- +goose Up

-- executor is who uses the permit: caller, or empty, a worker. It has no default:
-- an older Pawl does not know executors, so it may take no permit any more. start
-- is the hash of the start_id by which a caller used it; only that caller may
-- report. An older Pawl can't use a caller's permit.
ALTER TABLE pawl.claims ADD COLUMN executor text COLLATE "C" NOT NULL DEFAULT '' CHECK (executor IN ('', 'caller'));
ALTER TABLE pawl.claims ALTER COLUMN executor DROP DEFAULT;
ALTER TABLE pawl.claims ADD COLUMN start text COLLATE "C"
    CONSTRAINT claims_are_used_by_their_executors
    CHECK ((used_at IS NOT NULL AND executor = 'caller') = (start IS NOT NULL));

CREATE TRIGGER claims_keep_executors BEFORE UPDATE ON pawl.claims
FOR EACH ROW WHEN (NEW.executor <> OLD.executor)
EXECUTE FUNCTION pawl.final('the executor of a permit never changes');

-- alike is the same in calls to which one caller may attach, and null in all
-- others; an HMAC by alike_key. Until lease_until the call is its caller's.
-- delivered_at is when the end of a call that was not started was first told.
ALTER TABLE pawl.calls ADD COLUMN alike text COLLATE "C";
ALTER TABLE pawl.calls ADD COLUMN lease_until timestamptz;
ALTER TABLE pawl.calls ADD COLUMN delivered_at timestamptz;

CREATE INDEX calls_alike ON pawl.calls (alike, seq) WHERE alike IS NOT NULL AND delivered_at IS NULL;

CREATE TABLE pawl.alike_key (
    key text COLLATE "C" NOT NULL CHECK (length(key) >= 64)
);

INSERT INTO pawl.alike_key (key)
    VALUES (replace(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, '-', ''));

-- The tools that agents run themselves: tool is the row as JSON.
CREATE TABLE pawl.own_tools (
    agent text COLLATE "C" NOT NULL CHECK (agent <> ''),
    name  text COLLATE "C" NOT NULL CHECK (name <> ''),
    tool  text NOT NULL,
    PRIMARY KEY (agent, name)
);

-- clock is the time in so many seconds, by the clock that starts and leases go by.
-- +goose StatementBegin
CREATE FUNCTION pawl.clock(ahead bigint) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT pg_catalog.clock_timestamp() + ahead * interval '1 second';
$$;
-- +goose StatementEnd
