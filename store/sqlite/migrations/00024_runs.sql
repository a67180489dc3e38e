-- Entries that are sealed together take one row.

-- +goose Up

-- more are the leaf hashes of the entries that follow in the log without a gap; their
-- indexes follow, too. Earlier rows are of one entry each.
ALTER TABLE sealed ADD COLUMN more BLOB NOT NULL DEFAULT x'' CHECK (length(more) % 32 = 0);

-- No entry is sealed twice, and no index given twice.
-- +goose StatementBegin
CREATE TRIGGER sealed_follow BEFORE INSERT ON sealed
WHEN NEW.log_index <= (SELECT log_index + length(more) / 32 FROM sealed ORDER BY log_index DESC LIMIT 1)
    OR NEW.entry <= (SELECT entry + length(more) / 32 FROM sealed ORDER BY entry DESC LIMIT 1)
BEGIN
    SELECT RAISE(ABORT, 'what is sealed comes after what was sealed before');
END;
-- +goose StatementEnd
