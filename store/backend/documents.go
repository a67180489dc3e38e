package backend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/packed"
	"github.com/pawlhq/pawl/strictjson"
)

// Documents are the JSON of a call's view and verdict to write. Most calls are allowed and looked at by
// nobody: what their entries in the audit log say is not kept twice, and what they don't say is kept in
// one, Packed; the columns of the others are empty.
type Documents struct {
	View, Verdict string
	Packed        []byte        // nil: a request
	Entries       []audit.Entry // of a new call
}

// inLog is the Packed of a call whose view and verdict are what two of its entries say: that of the step
// admit and, once it has ended, of the step end. SQL knows it by its length.
var inLog = []byte{2}

// documents are what is to be written of a record, and the record as it will be read back. payloads are
// those of the entries that inLog is about.
func documents(r store.Record, payloads ...[]byte) (d Documents, back store.Record, err error) {
	back, back.View = r, approval.View{}
	if d.View, err = store.Encode(r.View); err == nil {
		err = decode(d.View, &back.View)
	}
	if err == nil {
		d.Verdict, err = store.Encode(r.Verdict)
	}
	if err != nil || r.IsRequest {
		return d, back, err
	}
	if v, verdict, ok := said(payloads, back.View.EndedAt); ok && d.same(v, verdict) {
		d.Packed, back.View, back.Verdict = inLog, v, verdict
	} else {
		d.Packed = packed.Pack([]byte("["+d.View+","+d.Verdict+"]"), columns(back.View)...)
	}
	return d, back, nil
}

// said is the view and the verdict of a call by the payloads of its entries.
func said(payloads [][]byte, endedAt *time.Time) (v approval.View, verdict approval.Verdict, ok bool) {
	for i, payload := range payloads {
		switch {
		case len(payload) > packed.MaxSize: // pages are cut by the sizes of rows, without these
			return v, verdict, false
		case i == 0:
			var first audit.Requested // or audit.Blocked, which says the same of it
			if decode(string(payload), &first) != nil || first.Call.ID == "" {
				return v, verdict, false
			}
			v, verdict, ok = first.Call, first.Verdict, true
		case len(payload) > 0:
			var last audit.Ended
			if decode(string(payload), &last) != nil || endedAt == nil {
				return v, verdict, false
			}
			v.End(last.Outcome, *endedAt)
		}
	}
	return v, verdict, ok && (v.EndedAt != nil) == v.Status.Ended() && (v.EndedAt != nil) == (endedAt != nil)
}

// same reports whether documents differ from a view and a verdict in the order of keys at most.
func (d Documents) same(v approval.View, verdict approval.Verdict) bool {
	view, err := store.Encode(v)
	if err != nil || len(view) != len(d.View) {
		return false
	}
	one, err := strictjson.Canonical([]json.RawMessage{[]byte(d.View), []byte(d.Verdict)})
	if err != nil {
		return false
	}
	other, err := strictjson.Canonical([]any{v, verdict})
	return err == nil && bytes.Equal(one, other)
}

// columns are texts of a view which its row has in columns, too. Their order is stored.
func columns(v approval.View) []string {
	return []string{v.ID, v.Digest, v.Tool, v.Agent, v.Session, v.Requester}
}

// documentColumns are what stored reads, of calls under some name.
func documentColumns(calls string) string {
	const payload = "(SELECT e.payload FROM pawl.entries AS e WHERE octet_length(%[1]s.packed) = 1 " +
		"AND e.call = %[1]s.id AND e.step = '%[2]s')"
	return fmt.Sprintf("%[1]s.view, %[1]s.packed, %[1]s.id, %[1]s.digest, %[1]s.tool, %[1]s.agent, "+
		"%[1]s.session, %[1]s.requester, %[1]s.ended_at", calls) +
		", " + fmt.Sprintf(payload, calls, "admit") + ", " + fmt.Sprintf(payload, calls, "end")
}

// stored is a row's documentColumns.
type stored struct {
	view     string
	packed   []byte
	known    [6]string
	endedAt  *time.Time
	payloads [2][]byte // if packed is inLog, those of the entries admit and end
}

func (s *stored) into() []any {
	k := &s.known
	return []any{
		&s.view, &s.packed, &k[0], &k[1], &k[2], &k[3], &k[4], &k[5], instantPtr{&s.endedAt},
		&s.payloads[0], &s.payloads[1],
	}
}

// decode reads the view and, from verdict's text or packed with the view, the verdict.
func (s *stored) decode(verdict string, view *approval.View, into *approval.Verdict) error {
	if s.view != "" || s.packed == nil {
		if err := decode(s.view, view); err != nil || into == nil {
			return err
		}
		return decode(verdict, into)
	}
	if into == nil {
		into = new(approval.Verdict)
	}
	if bytes.Equal(s.packed, inLog) {
		return s.fromLog(view, into)
	}
	doc, err := packed.Unpack(s.packed, s.known[:]...)
	if err != nil {
		return fmt.Errorf("%w: a packed row can't be read", store.ErrDamaged)
	}
	err = decode(string(doc), &[2]any{view, into})
	if err == nil && into.Kind == "" {
		err = fmt.Errorf("%w: a packed row has no verdict", store.ErrDamaged)
	}
	return err
}

func (s *stored) fromLog(view *approval.View, into *approval.Verdict) (err error) {
	id := s.known[0]
	for i, payload := range s.payloads {
		if s.payloads[i], err = packed.Unpack(payload, id); err != nil {
			break
		}
	}
	v, verdict, ok := said(s.payloads[:], s.endedAt)
	if err != nil || !ok || v.ID != id {
		return Errorf("call %s: %w: its entries in the audit log are not there, or say nothing of it: "+
			"run 'pawl audit verify'", approval.Display(id, 80), store.ErrDamaged)
	}
	*view, *into = v, verdict
	return nil
}

// payloadOf is the payload of a step among entries, or nil.
func payloadOf(step string, entries []audit.Entry) []byte {
	for _, e := range entries {
		if e.Step == step {
			return e.Payload
		}
	}
	return nil
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
