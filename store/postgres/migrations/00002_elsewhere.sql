-- Tools that other workers run, and who published them.

-- +goose Up

-- The task queue whose workers run the tool; empty: the executor that uses the
-- permit up.
ALTER TABLE pawl.claims ADD COLUMN queue text COLLATE "C" NOT NULL DEFAULT '';

-- A name belongs to one publisher.
ALTER TABLE pawl.tools RENAME COLUMN queue TO publisher;
