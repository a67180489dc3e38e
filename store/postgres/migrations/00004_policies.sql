-- Policy sets, and which of them is active.

-- +goose Up

-- One row per set, ever. layers is the files as JSON, text like all JSON here.
CREATE TABLE pawl.policies (
    digest text COLLATE "C" PRIMARY KEY CHECK (length(digest) = 64),
    layers text NOT NULL
);

-- seq is the version, from 1 on without gaps; the highest is the active one.
-- Two who apply at once would both write the same version: the key lets one.
CREATE TABLE pawl.policy_versions (
    seq           bigint PRIMARY KEY CHECK (seq > 0),
    digest        text COLLATE "C" NOT NULL REFERENCES pawl.policies (digest),
    at            timestamptz NOT NULL,
    by            text COLLATE "C" NOT NULL CHECK (by <> ''),
    channel       text COLLATE "C" NOT NULL CHECK (channel <> ''),
    authenticated boolean NOT NULL,
    note          text NOT NULL
);

CREATE TRIGGER policies_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON pawl.policies
FOR EACH STATEMENT EXECUTE FUNCTION pawl.final('policy sets never change and are never deleted: verdicts name them');

CREATE TRIGGER policy_versions_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON pawl.policy_versions
FOR EACH STATEMENT EXECUTE FUNCTION pawl.final('which policy was applied when never changes and is never deleted');
