package backend

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/packed"
)

// Documents are the JSON of a call's view and verdict to write. Most calls are allowed and looked at by
// nobody: of those both are kept in one, Packed, and the columns of the others are empty.
type Documents struct {
	View, Verdict string
	Packed        []byte        // nil: a request
	Entries       []audit.Entry // of a new call
}

// documents are what is to be written of a record, and its view as it will be read back.
func documents(r store.Record) (d Documents, view approval.View, err error) {
	if d.View, err = store.Encode(r.View); err == nil {
		err = decode(d.View, &view)
	}
	if err == nil {
		d.Verdict, err = store.Encode(r.Verdict)
	}
	if err == nil && !r.IsRequest {
		d.Packed = packed.Pack([]byte("["+d.View+","+d.Verdict+"]"), columns(view)...)
	}
	return d, view, err
}

// columns are texts of a view which its row has in columns, too. Their order is stored.
func columns(v approval.View) []string {
	return []string{v.ID, v.Digest, v.Tool, v.Agent, v.Session, v.Requester}
}

// documentColumns are what row reads, of calls under some name.
func documentColumns(calls string) string {
	return fmt.Sprintf("%[1]s.view, %[1]s.packed, %[1]s.id, %[1]s.digest, %[1]s.tool, %[1]s.agent, "+
		"%[1]s.session, %[1]s.requester", calls)
}

// stored is a row's documentColumns.
type stored struct {
	view   string
	packed []byte
	known  [6]string
}

func (s *stored) into() []any {
	k := &s.known
	return []any{&s.view, &s.packed, &k[0], &k[1], &k[2], &k[3], &k[4], &k[5]}
}

// decode reads the view and, from verdict's text or packed with the view, the verdict.
func (s *stored) decode(verdict string, view *approval.View, into *approval.Verdict) error {
	if s.view != "" || s.packed == nil {
		if err := decode(s.view, view); err != nil || into == nil {
			return err
		}
		return decode(verdict, into)
	}
	doc, err := packed.Unpack(s.packed, s.known[:]...)
	if err != nil {
		return fmt.Errorf("%w: a packed row can't be read", store.ErrDamaged)
	}
	if into == nil {
		return decode(string(doc), &[2]any{view, new(json.RawMessage)})
	}
	err = decode(string(doc), &[2]any{view, into})
	if err == nil && into.Kind == "" {
		err = fmt.Errorf("%w: a packed row has no verdict", store.ErrDamaged)
	}
	return err
}

// packedEntries are entries of a call that is no request, as they are stored: of the kinds that every
// call has, payloads are packed. Of the others somebody searches who did something.
func packedEntries(entries []audit.Entry, isRequest bool) []audit.Entry {
	if isRequest {
		return entries
	}
	entries = slices.Clone(entries)
	for i, e := range entries {
		if slices.Contains(frequentKinds, e.Kind) {
			entries[i].Payload = packed.Pack(e.Payload, e.Subject)
		}
	}
	return entries
}
