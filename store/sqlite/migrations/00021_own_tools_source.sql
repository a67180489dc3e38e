-- An agent's own tools come in lists, one for each source.

-- +goose Up

-- source names the list; empty: the one of the agent's own program.
ALTER TABLE own_tools ADD COLUMN source TEXT NOT NULL DEFAULT '';
