-- Payloads and rows of calls can be erased, and the log still verifies.

-- +goose Up

-- metadata is empty, but in entries of before: it is made of the other columns.
-- salt is removed with the payload, whose hash takes their place: SHA-256 of salt
-- and payload.
ALTER TABLE pawl.entries ADD COLUMN salt bytea CHECK (octet_length(salt) = 16);
ALTER TABLE pawl.entries ADD COLUMN hash bytea CHECK (octet_length(hash) = 32);

DROP TRIGGER entries_are_final ON pawl.entries;
CREATE TRIGGER entries_are_final BEFORE UPDATE ON pawl.entries
FOR EACH ROW WHEN (NEW.payload IS NOT NULL OR NEW.salt IS NOT NULL
    OR OLD.hash IS NOT NULL AND NEW.hash IS DISTINCT FROM OLD.hash
    OR (NEW.seq, NEW.call, NEW.step, NEW.kind, NEW.at, NEW.metadata, NEW.leaf)
        IS DISTINCT FROM (OLD.seq, OLD.call, OLD.step, OLD.kind, OLD.at, OLD.metadata, OLD.leaf))
EXECUTE FUNCTION pawl.final('the audit log is append-only: of an entry, only the payload may be removed');

-- erased is 0 in a call of which everything is kept, 1 where the payloads of its
-- entries are erased, 2 where its row is, too, but for a tombstone: its ID, digest,
-- status and permit, so that its key never runs again.
ALTER TABLE pawl.calls ADD COLUMN erased smallint NOT NULL DEFAULT 0 CHECK (erased IN (0, 1, 2) AND (erased = 0 OR ended_at IS NOT NULL));

CREATE INDEX calls_erasable ON pawl.calls (erased, ended_at) WHERE ended_at IS NOT NULL AND erased < 2;

CREATE TRIGGER calls_stay_erased BEFORE UPDATE ON pawl.calls
FOR EACH ROW WHEN (NEW.erased < OLD.erased OR OLD.erased = 2 AND NEW.view <> OLD.view)
EXECUTE FUNCTION pawl.final('what was erased never comes back');

-- Evidence is erased with the row.
DROP TRIGGER claims_are_final ON pawl.claims;
CREATE TRIGGER claims_are_final BEFORE UPDATE ON pawl.claims
FOR EACH ROW WHEN ((OLD.used_at IS NOT NULL OR OLD.void) AND (NEW.evidence <> '' AND NEW.evidence <> OLD.evidence
    OR (NEW.call, NEW.run, NEW.at, NEW.good_until, NEW.used_at, NEW.used_run, NEW.used_activity, NEW.used_token, NEW.void,
            NEW.queue, NEW.policy, NEW.executor, NEW.start)
        IS DISTINCT FROM (OLD.call, OLD.run, OLD.at, OLD.good_until, OLD.used_at, OLD.used_run, OLD.used_activity,
            OLD.used_token, OLD.void, OLD.queue, OLD.policy, OLD.executor, OLD.start)))
EXECUTE FUNCTION pawl.final('a permit that was used or is void never changes');

-- erase is the one way to erase, for users without the right to change entries. It
-- erases calls that have ended, and puts that on record in the same transaction.
-- views and verdicts are the calls' tombstones, where level is 2. It returns the IDs
-- of those that it erased, and writes nothing if there are none.
-- +goose StatementBegin
CREATE FUNCTION pawl.erase(ids text[], views text[], verdicts text[], level int, log_call text, log_step text,
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
        hash = CASE WHEN octet_length(e.metadata) = 0 THEN sha256(e.salt || e.payload) END
    WHERE e.call = ANY (done) AND e.payload IS NOT NULL AND e.kind <> 'call.erased';
    IF level = 2 THEN
        UPDATE pawl.claims AS k SET evidence = ''
        WHERE k.evidence <> '' AND k.call IN (SELECT c.seq FROM pawl.calls AS c WHERE c.id = ANY (done));
        UPDATE pawl.calls AS c SET view = t.view, verdict = t.verdict, agent = '', session = '', requester = '',
            twin = NULL, alike = NULL, identical = NULL, erased = 2
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

REVOKE ALL ON FUNCTION pawl.erase FROM PUBLIC;

-- forget_tokens deletes those of some tokens that nobody can use any more.
-- +goose StatementBegin
CREATE FUNCTION pawl.forget_tokens(ids text[]) RETURNS SETOF text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    DELETE FROM pawl.tokens WHERE id = ANY (ids)
        AND (revoked_at IS NOT NULL OR (token::json ->> 'expires_at')::timestamptz < now())
    RETURNING id;
$$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION pawl.forget_tokens FROM PUBLIC;
