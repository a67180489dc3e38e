-- A call takes less room: what the log says of it is not kept twice.

-- +goose Up

-- packed may also be the single byte 2: then the view and the verdict of the call are
-- what its entries of the steps admit and end say. An empty run of a permit, or of its
-- use, is that of the call's row.

-- 16 digits of an HMAC tell calls apart; earlier rows have more.
DROP INDEX pawl.calls_identical;
CREATE INDEX calls_identical ON pawl.calls (substr(identical, 1, 16), seq) WHERE identical IS NOT NULL;

-- erase leaves rows that say everything themselves: where level is 1, views are what
-- packed becomes where entries said it, in base64. An older Pawl does not know what
-- they say; the tombstones that it gives are not in base64, so it erases nothing.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pawl.erase(ids text[], views text[], verdicts text[], level int, log_call text, log_step text,
    log_at timestamptz, log_salt bytea, log_leaf bytea, log_payload bytea) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    done text[];
BEGIN
    PERFORM FROM pawl.calls AS c WHERE c.id = ANY (ids) ORDER BY c.seq FOR UPDATE;
    SELECT coalesce(array_agg(c.id ORDER BY c.id), '{}') INTO done FROM pawl.calls AS c
    WHERE c.id = ANY (ids) AND c.ended_at IS NOT NULL AND c.erased < level;
    IF done = '{}' THEN
        RETURN;
    END IF;
    UPDATE pawl.entries AS e SET salt = NULL, payload = NULL,
        hash = CASE WHEN octet_length(e.metadata) = 0 THEN sha256(e.salt || pawl.unpacked(e.payload, e.call)) END
    WHERE e.call = ANY (done) AND e.payload IS NOT NULL AND e.kind <> 'call.erased';
    IF level = 2 THEN
        UPDATE pawl.claims AS k SET evidence = ''
        WHERE k.evidence <> '' AND k.call IN (SELECT c.seq FROM pawl.calls AS c WHERE c.id = ANY (done));
        UPDATE pawl.calls AS c SET view = t.view, verdict = t.verdict, agent = '', session = '', requester = '',
            twin = NULL, alike = NULL, identical = NULL, packed = NULL,
            erased = 2
        FROM unnest(ids, views, verdicts) AS t (id, view, verdict) WHERE c.id = t.id AND c.id = ANY (done);
    ELSE
        UPDATE pawl.calls AS c SET erased = 1,
            packed = CASE WHEN octet_length(c.packed) = 1 THEN decode(t.view, 'base64') ELSE c.packed END
        FROM unnest(ids, views) AS t (id, view) WHERE c.id = t.id AND c.id = ANY (done);
    END IF;
    INSERT INTO pawl.entries (call, step, kind, at, salt, leaf, payload, metadata)
    VALUES (log_call, log_step, 'call.erased', log_at, log_salt, log_leaf, log_payload, '');
    RETURN QUERY SELECT unnest(done);
END
$$;
-- +goose StatementEnd
