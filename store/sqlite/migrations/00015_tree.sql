-- The tree over the audit log: which entry has which index, and what was signed.

-- +goose Up

-- The names under which checkpoints are signed; the highest seq is in use. A log
-- that goes on from an older state, after a restore, needs another name.
CREATE TABLE origins (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    origin TEXT NOT NULL UNIQUE CHECK (origin <> '')
) STRICT;

INSERT INTO origins (origin) SELECT 'pawl/' || id FROM identity;

-- The index of an entry, given when nothing can come in front of it any more, and
-- its leaf hash then.
CREATE TABLE sealed (
    log_index INTEGER PRIMARY KEY CHECK (log_index >= 0),
    entry     INTEGER NOT NULL UNIQUE,
    leaf      BLOB NOT NULL CHECK (length(leaf) = 32)
) STRICT;

-- The hashes of full subtrees, of every eighth level: 8, 16, …
CREATE TABLE nodes (
    level INTEGER NOT NULL CHECK (level > 0 AND level % 8 = 0),
    n     INTEGER NOT NULL CHECK (n >= 0),
    hash  BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, n)
) STRICT, WITHOUT ROWID;

-- One checkpoint for each size, ever. note is the text with the log's signatures;
-- cosigned is the same with those of witnesses, or null.
CREATE TABLE checkpoints (
    size     INTEGER PRIMARY KEY CHECK (size > 0),
    origin   TEXT NOT NULL,
    root     BLOB NOT NULL CHECK (length(root) = 32),
    at       INTEGER NOT NULL,
    note     TEXT NOT NULL,
    cosigned TEXT
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER checkpoints_are_final BEFORE UPDATE ON checkpoints
WHEN NEW.cosigned IS NULL OR NEW.size <> OLD.size OR NEW.origin <> OLD.origin OR NEW.root <> OLD.root
    OR NEW.at <> OLD.at OR NEW.note <> OLD.note
BEGIN
    SELECT RAISE(ABORT, 'a checkpoint never changes, but for the signatures of witnesses');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER checkpoints_stay BEFORE DELETE ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'checkpoints are never deleted');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER origins_are_final BEFORE UPDATE ON origins
BEGIN
    SELECT RAISE(ABORT, 'the names of the log never change');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER origins_stay BEFORE DELETE ON origins
BEGIN
    SELECT RAISE(ABORT, 'the names of the log are never deleted');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER sealed_are_final BEFORE UPDATE ON sealed
BEGIN
    SELECT RAISE(ABORT, 'what is sealed never changes');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER sealed_stay BEFORE DELETE ON sealed
BEGIN
    SELECT RAISE(ABORT, 'what is sealed is never deleted');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER nodes_are_final BEFORE UPDATE ON nodes
BEGIN
    SELECT RAISE(ABORT, 'the hashes of the log''s tree never change');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER nodes_stay BEFORE DELETE ON nodes
BEGIN
    SELECT RAISE(ABORT, 'the hashes of the log''s tree are never deleted');
END;
-- +goose StatementEnd
