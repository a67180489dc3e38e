package backend

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/packed"
)

// The columns that the functions of this file read, in their order. c is calls, k is the permit's
// row in claims, if there is one.
var (
	callColumns = documentColumns("c") + `, c.verdict, c.run, c.waits, c.revision,
		k.call IS NOT NULL, coalesce(nullif(k.run, ''), c.run), k.at, k.good_until, k.used_at,
		coalesce(k.void, false), coalesce(k.queue, ''), coalesce(k.evidence, ''),
		coalesce(k.executor, ''), coalesce(k.start, '')`
)

const (
	permitColumns = `c.waits, c.digest, c.ended_at IS NOT NULL, k.call IS NOT NULL, coalesce(k.void, false),
		coalesce(k.queue, '') <> '', coalesce(k.evidence, '') <> '',
		coalesce(k.executor, '') <> '', k.good_until, k.used_at IS NOT NULL,
		coalesce(nullif(k.used_run, ''), c.run), coalesce(k.used_activity, ''), coalesce(k.used_token, ''),
		(SELECT e.payload FROM pawl.entries AS e WHERE NOT c.waits AND e.call = c.id AND e.step = 'admit')`
	fromCall = ` FROM pawl.calls c LEFT JOIN pawl.claims k ON k.call = c.seq WHERE c.id = $1`

	entryColumns = `call, step, kind, at, metadata, leaf, salt, hash, payload,
		(SELECT CASE WHEN entries.seq <= s.entry + octet_length(s.more) / 32
			THEN s.log_index + entries.seq - s.entry END` + sealedRun + `),
		(SELECT CASE WHEN entries.seq = s.entry THEN s.leaf
			WHEN entries.seq <= s.entry + octet_length(s.more) / 32
			THEN substr(s.more, CAST(32 * (entries.seq - s.entry) - 31 AS int), 32) END` + sealedRun + `)`
	// sealedRun is the row of sealed that an entry is in, if it is in one.
	sealedRun = ` FROM pawl.sealed AS s WHERE s.entry <= entries.seq ORDER BY s.entry DESC LIMIT 1`

	toolColumns  = `publisher, tool`
	tokenColumns = `hash, token, revoked_at, revoked_by`
	keyColumns   = `public, key, retired_at, retired_by, revoked_at, revoked_by`
)

// Statements of both databases; see DB for how they are written.
var (
	SelectCall = `SELECT c.seq, ` + callColumns + fromCall
	// SelectClaim is SelectCall, and store.Now.
	SelectClaim = `SELECT c.seq, ` + callColumns +
		`, (SELECT coalesce(max(seq), 0) FROM pawl.policy_versions)` +
		`, (SELECT count(*) FROM pawl.entries WHERE call = c.id AND kind = '` + string(audit.KindSent) +
		`')` + fromCall
	// SelectStart is SelectCall, and the store's time.
	SelectStart = `SELECT c.seq, ` + callColumns + `, pawl.clock(0)` + fromCall
)

// Statements whose columns are constant.
const (
	SelectPermit    = `SELECT c.seq, ` + permitColumns + fromCall
	SelectDuplicate = `SELECT id FROM pawl.calls WHERE twin = $1 AND status = 'pending'`
	// A row stays packed, or not, as it was admitted.
	UpdateCall = `UPDATE pawl.calls SET status = $1, ended_at = $2,
		view = CASE WHEN packed IS NULL THEN $3 ELSE '' END,
		packed = CASE WHEN packed IS NULL THEN packed ELSE $4 END WHERE seq = $5`
	TightenCall = `UPDATE pawl.calls SET view = $1, revision = $2 WHERE seq = $3`
	SettleCall  = `UPDATE pawl.calls SET settled_at = $1, view = CASE WHEN packed IS NULL THEN $2 ELSE '' END,
		packed = CASE WHEN packed IS NULL THEN packed ELSE $3 END WHERE seq = $4`
	InsertPermit = `INSERT INTO pawl.claims (call, run, at, good_until, queue, evidence, policy, executor)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	// The run of the call's row is not kept again in the permit of a call that is no request.
	UsePermit = `UPDATE pawl.claims SET used_at = $1, used_activity = $3, used_token = $4, used_run = CASE WHEN
			run = '' AND (SELECT c.run FROM pawl.calls AS c WHERE c.seq = claims.call) = $2 THEN '' ELSE $2 END
		WHERE call = $5`
	StartPermit = `UPDATE pawl.claims SET used_at = $1, used_run = '', used_activity = '', used_token = '',
		start = $2 WHERE call = $3`
	VoidPermit = `UPDATE pawl.claims SET void = true WHERE call = $1`

	VersionColumns = `digest, at, by, channel, authenticated, note`
	SelectActive   = `SELECT seq, ` + VersionColumns + ` FROM pawl.policy_versions ORDER BY seq DESC LIMIT 1`
)

// Row is a row of either database. Every function here reads what first points to, and then its own
// columns.
type Row interface{ Scan(...any) error }

// Call reads what SelectCall finds: its columns after the call's number, and then what last points
// to. No row is store.ErrNotFound.
func Call(id string, row Row, last ...any) (seq int64, r store.Record, err error) {
	var docs stored
	seq, r, err = docs.call(id, row, last...)
	return seq, r, err
}

func (s *stored) call(id string, row Row, last ...any) (seq int64, r store.Record, err error) {
	var verdict string
	var claimed bool
	var p store.Permit
	err = row.Scan(slices.Concat([]any{&seq}, s.into(), []any{
		&verdict, &r.Run, &r.IsRequest, &r.Revision, &claimed, &p.Run, (*instant)(&p.At),
		(*instant)(&p.GoodUntil), (*instant)(&p.UsedAt), &p.Void, &p.Queue, &p.Evidence, &p.Executor, &p.Start,
	}, last)...)
	if errors.Is(err, sql.ErrNoRows) {
		err = About("call", id, store.ErrNotFound)
	}
	if err == nil {
		err = s.decode(verdict, &r.View, &r.Verdict)
	}
	if err != nil && !Complete(err) {
		err = fmt.Errorf("call %s: %w", approval.Display(id, 80), err)
	}
	if err != nil {
		return 0, store.Record{}, err
	}
	if claimed {
		r.Permit = &p
	}
	return seq, r, nil
}

// callNow reads what SelectClaim finds.
func callNow(id string, row Row) (seq int64, r store.Record, now store.Now, err error) {
	seq, r, err = Call(id, row, &now.Policy, &now.Sent)
	return seq, r, now, err
}

// Permit reads what SelectPermit finds: its columns after the call's number. No row is
// store.ErrNotFound.
func Permit(id string, row Row) (seq int64, s store.PermitState, err error) {
	var admit []byte
	err = row.Scan(&seq, &s.IsRequest, &s.Digest, &s.Ended, &s.Claimed, &s.Void, &s.Remote, &s.Signed, &s.Caller,
		(*instant)(&s.GoodUntil), &s.Used, &s.Run, &s.Activity, &s.Token, &admit)
	if errors.Is(err, sql.ErrNoRows) {
		err = About("call", id, store.ErrNotFound)
	}
	var said struct {
		Verdict struct{ Policy approval.PolicyRef }
	}
	if doc, broken := packed.Unpack(admit, id); broken == nil && json.Unmarshal(doc, &said) == nil {
		s.Policy = said.Verdict.Policy
	}
	return seq, s, err
}

func scanView(row Row, first ...any) (v approval.View, err error) {
	var docs stored
	if err := row.Scan(append(first, docs.into()...)...); err != nil {
		return v, err
	}
	if err = docs.decode("", &v, nil); err != nil && !Complete(err) {
		err = fmt.Errorf("call %s: %w", approval.Display(docs.known[0], 80), err)
	}
	return v, err
}

func scanEntry(row Row, first ...any) (audit.Entry, error) {
	var e readEntry
	if err := row.Scan(append(first, e.into()...)...); err != nil {
		return audit.Entry{}, err
	}
	if len(first) > 0 {
		e.place = *first[0].(*int64)
	}
	e.check()
	return e.entry, nil
}

// readEntry is an entry as it is read, before it is checked.
type readEntry struct {
	place  int64
	entry  audit.Entry
	stored []byte // the payload
	leaf   []byte
	sealed []byte
}

// into is what entryColumns are scanned into, behind first.
func (r *readEntry) into(first ...any) []any {
	e := &r.entry
	return append(first, &e.Subject, &e.Step, &e.Kind, (*instant)(&e.At), &e.Metadata, &r.leaf,
		&e.Salt, &e.PayloadHash, &r.stored, &e.Index, &r.sealed)
}

// check unpacks the payload, and says in the entry what is wrong with it.
func (r *readEntry) check() {
	payload, err := packed.Unpack(r.stored, r.entry.Subject)
	if err != nil {
		payload = r.stored // which fits no hash
	}
	r.entry.Payload = payload
	if r.place > 0 {
		r.entry.Cursor = Cursor("entries", r.place)
	}
	r.entry = audit.Stored(r.entry, r.leaf, r.sealed)
}

func scanTool(row Row, first ...any) (tool store.Tool, err error) {
	var publisher, doc string
	if err := row.Scan(append(first, &publisher, &doc)...); err != nil {
		return tool, err
	}
	err = decode(doc, &tool)
	tool.Publisher = publisher // rows from before there were publishers lack it
	return tool, err
}

func scanOwnTool(row Row, _ ...any) (tool store.OwnTool, err error) {
	var doc string
	if err := row.Scan(&doc); err != nil {
		return tool, err
	}
	err = decode(doc, &tool)
	return tool, err
}

func scanToken(row Row, first ...any) (t store.Token, err error) {
	var hash []byte
	var doc, revokedBy string
	var revokedAt *time.Time
	if err := row.Scan(append(first, &hash, &doc, instantPtr{&revokedAt}, &revokedBy)...); err != nil {
		return t, err
	}
	if err := decode(doc, &t); err != nil {
		return t, err
	}
	if copy(t.Hash[:], hash) != len(t.Hash) {
		return t, fmt.Errorf("%w: a token has no hash", store.ErrDamaged)
	}
	t.RevokedAt, t.RevokedBy = revokedAt, revokedBy
	return t, nil
}

func scanKey(row Row, first ...any) (k store.SigningKey, err error) {
	var public []byte
	var doc, retiredBy, revokedBy string
	var retiredAt, revokedAt *time.Time
	columns := append(first, &public, &doc,
		instantPtr{&retiredAt}, &retiredBy, instantPtr{&revokedAt}, &revokedBy)
	if err := row.Scan(columns...); err != nil {
		return k, err
	}
	if err := decode(doc, &k); err != nil {
		return k, err
	}
	k.Public = public
	k.RetiredAt, k.RetiredBy, k.RevokedAt, k.RevokedBy = retiredAt, retiredBy, revokedAt, revokedBy
	return k, nil
}

// readVersion is scanVersion where nobody else wants the version's number.
func readVersion(row Row, _ ...any) (store.PolicyVersion, error) { return scanVersion(row, new(int64)) }

// scanVersion reads the version's number first.
func scanVersion(row Row, first ...any) (v store.PolicyVersion, err error) {
	err = row.Scan(append(first, &v.Digest, (*instant)(&v.At), &v.By, &v.Channel, &v.Authenticated, &v.Note)...)
	v.Version = *first[0].(*int64)
	return v, err
}

func scanPolicy(row Row, _ ...any) (p store.PolicySet, err error) {
	var layers string
	if err := row.Scan(&p.Digest, &layers); err != nil {
		return p, err
	}
	err = decode(layers, &p.Layers)
	return p, err
}

func scanNumber(row Row, _ ...any) (n int, err error) {
	err = row.Scan(&n)
	return n, err
}

func scanText(row Row, _ ...any) (text string, err error) {
	err = row.Scan(&text)
	return text, err
}

func decode(doc string, v any) error {
	if err := json.Unmarshal([]byte(doc), v); err != nil {
		return fmt.Errorf("%w: the JSON in a row can't be read as %T", store.ErrDamagedRow, v)
	}
	return nil
}

// instant reads a time: SQLite keeps microseconds, PostgreSQL timestamps. NULL leaves it zero.
type instant time.Time

// Scan implements sql.Scanner.
func (t *instant) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*t = instant{}
	case int64:
		*t = instant(time.UnixMicro(v).UTC())
	case time.Time:
		*t = instant(store.Micros(v))
	default:
		return fmt.Errorf("%w: a time in a row can't be read", store.ErrDamagedRow)
	}
	return nil
}

// instantPtr reads a time that may be missing. NULL leaves it nil.
type instantPtr struct{ at **time.Time }

// Scan implements sql.Scanner.
func (t instantPtr) Scan(v any) error {
	if v == nil {
		return nil
	}
	*t.at = new(time.Time)
	return (*instant)(*t.at).Scan(v)
}
