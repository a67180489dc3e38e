-- Entries that are sealed together take one row.

-- +goose Up

-- more are the leaf hashes of the entries that follow in the log without a gap; their
-- indexes follow, too. Earlier rows are of one entry each.
ALTER TABLE pawl.sealed ADD COLUMN more bytea NOT NULL DEFAULT '' CHECK (octet_length(more) % 32 = 0);

-- No entry is sealed twice, and no index given twice.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pawl.sealed_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.log_index <= (SELECT log_index + octet_length(more) / 32 FROM pawl.sealed ORDER BY log_index DESC LIMIT 1)
        OR NEW.entry <= (SELECT entry + octet_length(more) / 32 FROM pawl.sealed ORDER BY entry DESC LIMIT 1) THEN
        RAISE EXCEPTION 'what is sealed comes after what was sealed before' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER sealed_follow BEFORE INSERT ON pawl.sealed FOR EACH ROW EXECUTE FUNCTION pawl.sealed_follow();
