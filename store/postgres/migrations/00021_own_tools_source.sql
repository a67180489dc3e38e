-- An agent's own tools come in lists, one for each source.

-- +goose Up

-- source names the list; empty: the one of the agent's own program.
ALTER TABLE pawl.own_tools ADD COLUMN source text COLLATE "C" NOT NULL DEFAULT '';
