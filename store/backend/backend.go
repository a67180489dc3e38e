// Package backend holds what the stores on SQLite and on PostgreSQL have in common besides the
// rules of package store: how rows are read, how lists are cut into pages, and how errors are
// worded.
package backend

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/packed"
)

// Admitted checks a new call. It returns the JSON of its view and verdict to write, and its record
// as it will be read back.
func Admitted(a store.AdmitParams) (d Documents, r store.Record, err error) {
	if err := a.Check(); err != nil {
		return d, r, err
	}
	r = store.Record{View: a.View, Verdict: a.Verdict, Run: a.Run, IsRequest: a.IsRequest}
	if a.TakePermit {
		r.Permit = &store.Permit{
			Run: a.Run, At: store.Micros(a.View.CreatedAt), GoodUntil: store.Micros(a.GoodUntil), Queue: a.Queue,
			Executor: a.View.Execution,
		}
	}
	if d, r, err = documents(r, told{admit: payloadOf("admit", a.Entries)}); err != nil {
		return d, r, err
	}
	d.Entries = packedEntries(a.Entries, a.IsRequest)
	r.Verdict = approval.Verdict{}
	if err = decode(d.Verdict, &r.Verdict); packed.Is(d.Packed) || bytes.Equal(d.Packed, inLog) {
		d.View, d.Verdict = "", ""
	} else {
		d.Packed = nil
	}
	return d, r, err
}

// record is what is checked and put on record when it is written.
type record interface {
	Check() error
	Entry() (audit.Entry, error)
}

func checked(r record) (audit.Entry, error) {
	if err := r.Check(); err != nil {
		return audit.Entry{}, err
	}
	return r.Entry()
}

// Added checks a new token, key or policy, and returns what is written of it: a document as JSON,
// and its audit entry.
func Added(r record, document any) (doc string, entry audit.Entry, err error) {
	if entry, err = checked(r); err == nil {
		doc, err = store.Encode(document)
	}
	return doc, entry, err
}

// Cursor marks a place in a list. It names the list, so that its cursor is not taken by another.
func Cursor(list string, seq int64) string { return list + "-" + strconv.FormatInt(seq, 10) }

// ParseCursor is the place that Cursor marked. The error's code is approval.CodeInvalid.
func ParseCursor(list, text string) (int64, error) {
	number, ok := strings.CutPrefix(text, list+"-")
	seq, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || seq < 1 || text != Cursor(list, seq) {
		return 0, approval.Errorf(approval.CodeInvalid,
			"cursor: it is not one that this list, in this order, gave out; start again without one")
	}
	return seq, nil
}

// complete is an error whose text needs nothing added.
type complete struct{ error }

func (e complete) Unwrap() error { return e.error }

// Errorf makes an error that says everything: which store or which row, what was being done, what
// is wrong and what to do.
func Errorf(format string, a ...any) error { return complete{fmt.Errorf(format, a...)} }

// Complete reports whether an error is one of Errorf's, or refuses the input.
func Complete(err error) bool {
	return errors.As(err, new(complete)) || approval.CodeOf(err) != approval.CodeInternalError
}

var errNoPolicy = Errorf("active policy: %w", store.ErrNotFound)

// About says which call, tool, token, key or policy one of package store's sentinels is about. Nil
// stays nil.
func About(what, id string, err error) error {
	if err == nil {
		return nil
	}
	return Errorf("%s %s: %w", what, approval.Display(id, 80), err)
}
