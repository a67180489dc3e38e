package backend

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// The columns that the functions of this file read, in their order. c is calls, k is the permit's
// row in claims, if there is one.
const (
	CallColumns = `c.view, c.verdict, c.run, c.waits, k.call IS NOT NULL, coalesce(k.run, ''), k.at, k.good_until,
		k.used_at, coalesce(k.void, false), coalesce(k.queue, ''), coalesce(k.evidence, '')`
	PermitColumns = `c.digest, c.ended_at IS NOT NULL, k.call IS NOT NULL, coalesce(k.void, false),
		coalesce(k.queue, '') <> '', coalesce(k.evidence, '') <> '', k.good_until, k.used_at IS NOT NULL,
		coalesce(k.used_run, ''), coalesce(k.used_activity, ''), coalesce(k.used_token, '')`
	EntryColumns   = `call, step, kind, at, metadata, leaf, payload`
	ToolColumns    = `publisher, tool`
	TokenColumns   = `hash, token, revoked_at, revoked_by`
	KeyColumns     = `public, key, retired_at, retired_by, revoked_at, revoked_by`
	VersionColumns = `digest, at, by, channel, authenticated, note`
)

// Row is a row of either database. Every function here reads what first points to, and then its own
// columns.
type Row interface{ Scan(...any) error }

// Call reads CallColumns after the call's number. No row is store.ErrNotFound.
func Call(id string, row Row) (seq int64, r store.Record, err error) {
	var view, verdict string
	var claimed bool
	var p store.Permit
	err = row.Scan(&seq, &view, &verdict, &r.Run, &r.IsRequest, &claimed, &p.Run, (*instant)(&p.At), (*instant)(&p.GoodUntil),
		(*instant)(&p.UsedAt), &p.Void, &p.Queue, &p.Evidence)
	if errors.Is(err, sql.ErrNoRows) {
		err = Refuse(id, store.ErrNotFound)
	}
	if err == nil {
		err = errors.Join(decode(view, &r.View), decode(verdict, &r.Verdict))
	}
	if err != nil {
		return 0, store.Record{}, err
	}
	if claimed {
		r.Permit = &p
	}
	return seq, r, nil
}

// Permit reads PermitColumns after the call's number. No row is store.ErrNotFound.
func Permit(id string, row Row) (seq int64, s store.PermitState, err error) {
	err = row.Scan(&seq, &s.Digest, &s.Ended, &s.Claimed, &s.Void, &s.Remote, &s.Signed, (*instant)(&s.GoodUntil), &s.Used,
		&s.Run, &s.Activity, &s.Token)
	if errors.Is(err, sql.ErrNoRows) {
		err = Refuse(id, store.ErrNotFound)
	}
	return seq, s, err
}

func scanView(row Row, first ...any) (v approval.View, err error) {
	var doc string
	if err := row.Scan(append(first, &doc)...); err != nil {
		return v, err
	}
	return v, decode(doc, &v)
}

func scanEntry(row Row, first ...any) (e audit.Entry, err error) {
	var leaf, payload []byte
	err = row.Scan(append(first, &e.Subject, &e.Step, &e.Kind, (*instant)(&e.At), &e.Metadata, &leaf, &payload)...)
	if err != nil {
		return e, err
	}
	e.Payload = payload
	return audit.Stored(e, leaf), nil
}

// Tool reads ToolColumns.
func Tool(row Row, first ...any) (tool store.Tool, err error) {
	var publisher, doc string
	if err := row.Scan(append(first, &publisher, &doc)...); err != nil {
		return tool, err
	}
	err = decode(doc, &tool)
	tool.Publisher = publisher // rows of before there were publishers do not say it
	return tool, err
}

// Token reads TokenColumns.
func Token(row Row, first ...any) (t store.Token, err error) {
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

// Key reads KeyColumns.
func Key(row Row, first ...any) (k store.SigningKey, err error) {
	var public []byte
	var doc, retiredBy, revokedBy string
	var retiredAt, revokedAt *time.Time
	err = row.Scan(append(first, &public, &doc, instantPtr{&retiredAt}, &retiredBy, instantPtr{&revokedAt}, &revokedBy)...)
	if err != nil {
		return k, err
	}
	if err := decode(doc, &k); err != nil {
		return k, err
	}
	k.Public = public
	k.RetiredAt, k.RetiredBy, k.RevokedAt, k.RevokedBy = retiredAt, retiredBy, revokedAt, revokedBy
	return k, nil
}

// Version reads VersionColumns after the version's number. No row is store.ErrNotFound.
func Version(row Row) (store.PolicyVersion, error) { return scanVersion(row, new(int64)) }

// scanVersion reads the version's number first.
func scanVersion(row Row, first ...any) (v store.PolicyVersion, err error) {
	err = row.Scan(append(first, &v.Digest, (*instant)(&v.At), &v.By, &v.Channel, &v.Authenticated, &v.Note)...)
	if errors.Is(err, sql.ErrNoRows) {
		err = Errorf("active policy: %w", store.ErrNotFound)
	}
	v.Version = *first[0].(*int64)
	return v, err
}

// Layers reads the JSON of a policy's layers.
func Layers(doc string) (layers []store.PolicyLayer, err error) { return layers, decode(doc, &layers) }

func decode(doc string, v any) error {
	if err := json.Unmarshal([]byte(doc), v); err != nil {
		return fmt.Errorf("%w: the JSON in a row can't be read as %T", store.ErrDamaged, v)
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
		return fmt.Errorf("%w: a time in a row can't be read", store.ErrDamaged)
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
