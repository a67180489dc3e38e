-- Who erases does so by pawl.erase, and what stays of a call stays as it is.

-- +goose Up

-- Workers may update calls, and so also those columns by which erase knows what a call
-- was once its entries have no payloads any more.
DROP TRIGGER calls_stay_erased ON pawl.calls;
CREATE TRIGGER calls_stay_erased BEFORE UPDATE ON pawl.calls
FOR EACH ROW WHEN (NEW.erased < OLD.erased
    OR OLD.erased = 2 AND (NEW.view <> OLD.view OR NEW.verdict <> OLD.verdict OR NEW.packed IS NOT NULL)
    OR OLD.erased > 0 AND (NEW.id, NEW.tool, NEW.status, NEW.risk, NEW.digest, NEW.created_at, NEW.ended_at)
        IS DISTINCT FROM (OLD.id, OLD.tool, OLD.status, OLD.risk, OLD.digest, OLD.created_at, OLD.ended_at))
EXECUTE FUNCTION pawl.final('what was erased never comes back, and what stays never changes');

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pawl.erased_on_record() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER') THEN
        RAISE EXCEPTION 'calls are erased by pawl.erase, which puts it on record' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER calls_erased_on_record BEFORE UPDATE ON pawl.calls
FOR EACH ROW WHEN (NEW.erased <> OLD.erased) EXECUTE FUNCTION pawl.erased_on_record();
