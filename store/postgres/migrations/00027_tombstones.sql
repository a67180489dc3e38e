-- What stays of a call that is erased is what it was, and tokens go on record.

-- +goose Up

-- readable is a document of a row or of the log, or null where that is gone or can't be
-- jsonb: that takes no NUL character, for instance, which a tool may answer.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pawl.readable(doc bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog AS $$
BEGIN
    RETURN replace(convert_from(doc, 'UTF8'), '\u0000', '\u0001')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- differs says in what a view and a verdict, which are to stay of a call, differ from
-- the call; null: in nothing. Its row says what they are, and so do its entries as long
-- as their payloads are there: whoever may write the row can't write those anew.
-- erased is when the row goes, or null where only payloads do.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pawl.differs(c pawl.calls, view jsonb, verdict jsonb, erased timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
    asked jsonb := (SELECT pawl.readable(pawl.unpacked(e.payload, e.call)) FROM pawl.entries AS e
        WHERE e.call = c.id AND e.step = 'admit');
    ended jsonb := (SELECT pawl.readable(pawl.unpacked(e.payload, e.call)) FROM pawl.entries AS e
        WHERE e.call = c.id AND e.step = 'end');
    judged jsonb := CASE WHEN c.packed IS NULL THEN pawl.readable(convert_to(c.verdict, 'UTF8'))
        WHEN octet_length(c.packed) = 1 THEN asked -> 'verdict'
        ELSE pawl.readable(pawl.unpacked(c.packed, c.id, c.digest, c.tool, c.agent, c.session, c.requester)) -> 1 END;
    started timestamptz := (SELECT k.used_at FROM pawl.claims AS k WHERE k.call = c.seq AND k.executor = 'caller');
    nothing constant interval := '0';
    rounding constant interval := '1 microsecond'; -- columns have no nanoseconds
BEGIN
    RETURN CASE
        WHEN view ->> 'id' IS DISTINCT FROM c.id THEN 'ID'
        WHEN coalesce(view ->> 'tool', '') <> c.tool THEN 'tool'
        WHEN coalesce(view ->> 'digest', '') <> c.digest OR c.digest <> asked #>> '{call,digest}' THEN 'digest'
        WHEN view ->> 'status' IS DISTINCT FROM c.status OR c.status <> ended #>> '{outcome,status}' THEN 'status'
        WHEN coalesce(view ->> 'risk', '') <> c.risk THEN 'risk'
        WHEN (view ->> 'created_at')::timestamptz - c.created_at BETWEEN nothing AND rounding IS NOT TRUE
            OR (view ->> 'ended_at')::timestamptz - c.ended_at BETWEEN nothing AND rounding IS NOT TRUE
            OR (view ->> 'started_at')::timestamptz IS DISTINCT FROM started
            OR (view ->> 'erased_at')::timestamptz IS DISTINCT FROM erased THEN 'time'
        WHEN verdict ->> 'verdict' IS NULL OR NOT judged @> verdict
            OR verdict #>> '{policy,digest}' IS NULL AND judged #>> '{policy,digest}' <> ''
            OR verdict ->> 'verdict' <> asked #>> '{verdict,verdict}' THEN 'verdict'
        WHEN erased IS NOT NULL AND (verdict - ARRAY['verdict', 'policy'] <> '{}'
            OR view - ARRAY['id', 'tool', 'status', 'risk', 'digest', 'execution', 'created_at', 'started_at', 'ended_at',
                'erased_at'] <> '{}' OR view ->> 'execution' <> 'caller') THEN 'extent'
    END;
END
$$;
-- +goose StatementEnd

-- erase refuses to leave anything else of a call than what it was.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pawl.erase(ids text[], views text[], verdicts text[], level int, log_call text, log_step text,
    log_at timestamptz, log_salt bytea, log_leaf bytea, log_payload bytea) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    done text[];
    said json;
    covered text;
    bad text;
    part text;
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
    SELECT c.id, d.part INTO bad, part FROM unnest(ids, views, verdicts) AS t (id, view, verdict)
        JOIN pawl.calls AS c ON c.id = t.id AND c.id = ANY (done) AND (level = 2 OR octet_length(c.packed) = 1),
        LATERAL (SELECT CASE WHEN level = 2 THEN jsonb_build_array(t.view::jsonb, t.verdict::jsonb)
            ELSE pawl.readable(pawl.unpacked(decode(t.view, 'base64'),
                c.id, c.digest, c.tool, c.agent, c.session, c.requester)) END) AS stays (doc),
        LATERAL (SELECT pawl.differs(c, stays.doc -> 0, stays.doc -> 1, CASE WHEN level = 2 THEN log_at END)) AS d (part)
    WHERE d.part IS NOT NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'what is to stay of the call % has another % than the call', bad, part
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

-- Tokens are deleted only in a transaction that has put on record which.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION pawl.pruned_on_record() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pawl.entries AS e WHERE e.call = '@retention' AND e.kind = 'token.pruned'
        AND pawl.readable(e.payload) -> 'tokens' ? OLD.id) THEN
        RAISE EXCEPTION 'no entry of the audit log says that the token % is deleted', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- At the end of the transaction: an older Pawl writes the entry after it has deleted.
CREATE CONSTRAINT TRIGGER tokens_go_on_record AFTER DELETE ON pawl.tokens DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION pawl.pruned_on_record();
