-- An erasure is as its record says, and takes signed decisions with the payloads.

-- +goose Up

-- Signed decisions hold the reviewers' notes and names, as the payloads do.
UPDATE pawl.claims SET evidence = ''
WHERE evidence <> '' AND call IN (SELECT seq FROM pawl.calls WHERE erased > 0);

-- erase refuses a record that does not name every call that it erases, or does not say
-- whether rows go, and one that is not the entry that its leaf hash is of: the hash
-- covers subject, step, kind, time and payload.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pawl.erase(ids text[], views text[], verdicts text[], level int, log_call text, log_step text,
    log_at timestamptz, log_salt bytea, log_leaf bytea, log_payload bytea) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    done text[];
    said json;
    covered text;
BEGIN
    PERFORM FROM pawl.calls AS c WHERE c.id = ANY (ids) ORDER BY c.seq FOR UPDATE;
    SELECT coalesce(array_agg(c.id ORDER BY c.id), '{}') INTO done FROM pawl.calls AS c
    WHERE c.id = ANY (ids) AND c.ended_at IS NOT NULL AND c.erased < level;
    IF done = '{}' THEN
        RETURN;
    END IF;
    said := convert_from(log_payload, 'UTF8');
    IF coalesce(json_typeof(said -> 'calls'), '') <> 'array'
        OR NOT done <@ ARRAY(SELECT json_array_elements_text(said -> 'calls'))
        OR coalesce((said ->> 'rows')::boolean, false) <> (level = 2) THEN
        RAISE EXCEPTION 'the record of an erasure names each call that is erased, and what is erased of it'
            USING ERRCODE = 'restrict_violation';
    END IF;
    covered := '{"at":"' || to_char(log_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","call_id":' || to_json(log_call)::text || ',"kind":"call.erased","payload_sha256":"'
        || encode(sha256(log_salt || log_payload), 'hex') || '","step":' || to_json(log_step)::text || ',"v":2}';
    IF sha256('\x00'::bytea || convert_to(covered, 'UTF8')) IS DISTINCT FROM log_leaf THEN
        RAISE EXCEPTION 'the record of an erasure is not the call.erased entry that its hash is of'
            USING ERRCODE = 'restrict_violation';
    END IF;
    UPDATE pawl.entries AS e SET salt = NULL, payload = NULL,
        hash = CASE WHEN octet_length(e.metadata) = 0 THEN sha256(e.salt || pawl.unpacked(e.payload, e.call)) END
    WHERE e.call = ANY (done) AND e.payload IS NOT NULL AND e.kind <> 'call.erased';
    UPDATE pawl.claims AS k SET evidence = ''
    WHERE k.evidence <> '' AND k.call IN (SELECT c.seq FROM pawl.calls AS c WHERE c.id = ANY (done));
    IF level = 2 THEN
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
