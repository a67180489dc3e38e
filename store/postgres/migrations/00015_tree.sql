-- The tree over the audit log: which entry has which index, and what was signed.

-- +goose Up

-- The names under which checkpoints are signed; the highest seq is in use. A log
-- that goes on from an older state, after a restore, needs another name.
CREATE TABLE pawl.origins (
    seq    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin text COLLATE "C" NOT NULL UNIQUE CHECK (origin <> '')
);

INSERT INTO pawl.origins (origin) SELECT 'pawl/' || id FROM pawl.identity;

-- The index of an entry, given when nothing can come in front of it any more, and
-- its leaf hash then. There is no foreign key: it would write to every entry again.
CREATE TABLE pawl.sealed (
    log_index bigint PRIMARY KEY CHECK (log_index >= 0),
    entry     bigint NOT NULL UNIQUE,
    leaf      bytea NOT NULL CHECK (octet_length(leaf) = 32)
);

-- The hashes of full subtrees, of every eighth level: 8, 16, …
CREATE TABLE pawl.nodes (
    level bigint NOT NULL CHECK (level > 0 AND level % 8 = 0),
    n     bigint NOT NULL CHECK (n >= 0),
    hash  bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, n)
);

-- One checkpoint for each size, ever. note is the text with the log's signatures;
-- cosigned is the same with those of witnesses, or null.
CREATE TABLE pawl.checkpoints (
    size     bigint PRIMARY KEY CHECK (size > 0),
    origin   text COLLATE "C" NOT NULL,
    root     bytea NOT NULL CHECK (octet_length(root) = 32),
    at       timestamptz NOT NULL,
    note     text NOT NULL,
    cosigned text
);

CREATE TRIGGER origins_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON pawl.origins
FOR EACH STATEMENT EXECUTE FUNCTION pawl.final('the names of the log never change and are never deleted');

CREATE TRIGGER sealed_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON pawl.sealed
FOR EACH STATEMENT EXECUTE FUNCTION pawl.final('what is sealed never changes and is never deleted');

CREATE TRIGGER nodes_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON pawl.nodes
FOR EACH STATEMENT EXECUTE FUNCTION pawl.final('the hashes of the log''s tree never change and are never deleted');

CREATE TRIGGER checkpoints_are_final BEFORE UPDATE ON pawl.checkpoints
FOR EACH ROW WHEN (NEW.cosigned IS NULL OR (NEW.size, NEW.origin, NEW.root, NEW.at, NEW.note)
    IS DISTINCT FROM (OLD.size, OLD.origin, OLD.root, OLD.at, OLD.note))
EXECUTE FUNCTION pawl.final('a checkpoint never changes, but for the signatures of witnesses');

CREATE TRIGGER checkpoints_stay BEFORE DELETE OR TRUNCATE ON pawl.checkpoints
FOR EACH STATEMENT EXECUTE FUNCTION pawl.final('checkpoints are never deleted');
