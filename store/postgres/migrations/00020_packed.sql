-- A call takes less room.

-- +goose Up

-- packed is the view and the verdict of a call that never waits for people, as a list
-- of both in the format of package store/packed; view and verdict are empty then. So
-- are payloads of its entries of the kinds that every call has. People read them by
--   convert_from(pawl.unpacked(packed, id, digest, tool, agent, session, requester), 'UTF8')
--   convert_from(pawl.unpacked(payload, call), 'UTF8')
ALTER TABLE pawl.calls ADD COLUMN packed bytea;

-- Whoever may write the one may write the other.
-- +goose StatementBegin
DO $$
DECLARE
    who name;
BEGIN
    FOR who IN SELECT grantee FROM information_schema.column_privileges WHERE table_schema = 'pawl'
        AND table_name = 'calls' AND column_name = 'view' AND privilege_type = 'UPDATE' AND grantee <> 'PUBLIC'
    LOOP
        EXECUTE pg_catalog.format('GRANT UPDATE (packed) ON pawl.calls TO %I', who);
    END LOOP;
END
$$;
-- +goose StatementEnd

DROP TRIGGER calls_stay_erased ON pawl.calls;
CREATE TRIGGER calls_stay_erased BEFORE UPDATE ON pawl.calls
FOR EACH ROW WHEN (NEW.erased < OLD.erased OR OLD.erased = 2 AND (NEW.view <> OLD.view OR NEW.packed IS NOT NULL))
EXECUTE FUNCTION pawl.final('what was erased never comes back');

-- 24 digits of an HMAC tell calls apart; earlier rows have 64.
DROP INDEX pawl.calls_identical;
CREATE INDEX calls_identical ON pawl.calls (substr(identical, 1, 24), seq) WHERE identical IS NOT NULL;

-- Entries of one microsecond are few: their order needs no index.
DROP INDEX pawl.entries_at;
CREATE INDEX entries_at ON pawl.entries (at);

-- unpacked is a document as it was before it was packed. known are the columns that
-- the row has of it, in the order of package store/packed's callers. What is not
-- packed, or is damaged, comes back as it is.
-- +goose StatementBegin
CREATE FUNCTION pawl.unpacked(doc bytea, VARIADIC known text[]) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog AS $$
DECLARE
    phrases constant text[] := ARRAY[
        '{"call":{"agent":"',
        '","args":{',
        '},"created_at":"',
        '","decision":{"at":"',
        '","authenticated":false,"by":"policy","kind":"allow"},"digest":"',
        '","id":"',
        '","policy":{"digest":"',
        '","layer":"',
        '","rule":"',
        '"},"reason":"',
        '","requester":"',
        '","session":"',
        '","status":"executing","tool":"',
        '"},"run":"',
        '","verdict":{"policy":{"digest":"',
        '"},"valid_for":"15m0s","verdict":"allow"}}',
        '{"decision":{"at":"',
        '","run":"',
        '"}',
        '{"digest":"',
        '","schema_digest":"',
        '{"outcome":{"decision":{"at":"',
        '","result":{',
        '},"status":"executed","tool":"',
        '[{"id":"',
        '","tool":"',
        '},"digest":"',
        '","status":"executed","agent":"',
        '","reason":"',
        '","created_at":"',
        '","ended_at":"',
        '"},"decision":{"kind":"allow","by":"policy","authenticated":false,"at":"',
        '"},"result":{',
        '}},{"verdict":"allow","valid_for":"15m0s","policy":{"digest":"',
        '"}}]',
        '},"reason":"',
        '","status":"executing","agent":"',
        '","status":"executed","tool":"',
        ',"status":"executed","tool":"',
        '"},{"verdict":"allow","valid_for":"',
        '},{"verdict":"allow","valid_for":"',
        '"},"valid_for":"',
        '","verdict":"allow"}}',
        '","verdict":"allow"',
        ',"verdict":"allow"',
        ',"verdict":{"policy":{"digest":"',
        ',"verdict":{"audited":true,"policy":{"digest":"',
        '"},"redact":["',
        '"redact_values":"',
        '"redact":["',
        '{"verdict":"',
        '"valid_for":"',
        '"require_approval"',
        '"deny"',
        '","team":"',
        '"team":"',
        '","title":"',
        '"title":"',
        '","description":"',
        '"description":"',
        '"labels":{"',
        '","owner":"',
        '"owner":"',
        '","risk":"low"',
        '","risk":"medium"',
        '","risk":"high"',
        '","risk":"critical"',
        '"risk":"',
        '"},"error":{"code":"',
        '"error":{"code":"',
        '","message":"',
        '"tool_failed"',
        '"policy_denied"',
        '"bad_arguments"',
        '"unknown_tool"',
        '"execution":"caller"',
        '"schema_unknown":true',
        '"report_within":"',
        '"attempt_of":"',
        '"started_at":"',
        '"report":{',
        '"votes":[{"',
        '"requirement":{',
        '"deadline":"',
        '"queue":"',
        '"start":"',
        '"decision":{"kind":"',
        '"decision":{"at":"',
        '"decision":null',
        '"decision_id":"',
        '"authenticated":true',
        '"authenticated":false',
        '"by":"policy"',
        '"by":"pawl"',
        '"by":"',
        '"kind":"allow"',
        '"kind":"approve"',
        '"kind":"',
        '"reviewer":"',
        '"channel":"',
        '"method":"',
        '"notes":"',
        '"args":{"',
        '"result":{"',
        '"result":"',
        '"digest":"',
        '"policy":{"digest":"',
        '"reason":"',
        '"requester":"',
        '"session":"',
        '"agent":"',
        '"tool":"',
        '"run":"',
        '"status":"pending"',
        '"status":"approved"',
        '"status":"executing"',
        '"status":"executed"',
        '"status":"blocked"',
        '"status":"rejected"',
        '"status":"expired"',
        '"status":"failed"',
        '"status":"outcome_unknown"',
        '"status":"cancelled"',
        '"status":"',
        '"created_at":"',
        '"ended_at":"',
        '"at":"',
        '"id":"',
        '"}}}'];
    short constant bytea := '\x0607080b0c0e0f101112131415161718191a1b1c1d1e1fc0c1f5f6f7f8f9fafbfcfdfeff';
    made bytea := '';
    again text[] := '{}';
    i int := 1; -- the byte that is read next
    op int;
    place int;
    size int;
    value bytea;
    part text;
BEGIN
    IF doc IS NULL OR octet_length(doc) = 0 OR get_byte(doc, 0) <> 1 THEN
        RETURN doc;
    END IF;
    WHILE i < octet_length(doc) LOOP
        op := get_byte(doc, i);
        i := i + 1;
        place := position(substring(doc FROM i FOR 1) IN short);
        IF place > 0 THEN
            made := made || convert_to(phrases[place], 'UTF8');
            CONTINUE;
        ELSIF op > 5 THEN
            made := made || substring(doc FROM i FOR 1);
            CONTINUE;
        END IF;
        size := CASE op WHEN 1 THEN 32 WHEN 2 THEN 16 WHEN 3 THEN 7 ELSE 1 END;
        value := substring(doc FROM i + 1 FOR size);
        i := i + size;
        IF octet_length(value) < size THEN
            RETURN doc;
        END IF;
        part := CASE op
            WHEN 0 THEN phrases[octet_length(short) + get_byte(value, 0) + 1]
            WHEN 1 THEN encode(value, 'hex')
            WHEN 2 THEN encode(value, 'hex')::uuid::text
            WHEN 3 THEN rtrim(rtrim(to_char(timestamp 'epoch'
                    + ('x' || lpad(encode(value, 'hex'), 16, '0'))::bit(64)::bigint * interval '1 microsecond',
                'YYYY-MM-DD"T"HH24:MI:SS.US'), '0'), '.') || 'Z'
            WHEN 4 THEN known[get_byte(value, 0) + 1]
            WHEN 5 THEN again[get_byte(value, 0) + 1]
        END;
        IF part IS NULL THEN
            RETURN doc;
        ELSIF op BETWEEN 1 AND 3 THEN
            again := again || part;
        END IF;
        made := made || convert_to(part, 'UTF8');
    END LOOP;
    RETURN made;
END
$$;
-- +goose StatementEnd

-- erase hashes payloads as they were before they were packed.
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
        UPDATE pawl.calls AS c SET erased = 1 WHERE c.id = ANY (done);
    END IF;
    INSERT INTO pawl.entries (call, step, kind, at, salt, leaf, payload, metadata)
    VALUES (log_call, log_step, 'call.erased', log_at, log_salt, log_leaf, log_payload, '');
    RETURN QUERY SELECT unnest(done);
END
$$;
-- +goose StatementEnd
