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

// inLog is the Packed of a call whose view and verdict are what told holds. SQL knows it by its length.
var inLog = []byte{2}

// told is what says of a call what its row then does not.
type told struct {
	admit, report, end []byte     // payloads of its entries of these steps; nil: there is none yet
	usedAt, endedAt    *time.Time // by its permit and its row
}

// documents are what is to be written of a record, and the record as it will be read back. l are the
// payloads that inLog is about.
func documents(r store.Record, l told) (d Documents, back store.Record, err error) {
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
	l.usedAt, l.endedAt = nil, back.View.EndedAt
	if r.Permit != nil && !r.Permit.UsedAt.IsZero() {
		l.usedAt = &r.Permit.UsedAt
	}
	if v, verdict, ok := l.said(); ok && d.same(v, verdict) {
		d.Packed, back.View, back.Verdict = inLog, v, verdict
	} else {
		d.Packed = packed.Pack([]byte("["+d.View+","+d.Verdict+"]"), columns(back.View)...)
	}
	return d, back, nil
}

// said is the view and the verdict of a call.
func (l told) said() (v approval.View, verdict approval.Verdict, ok bool) {
	if max(len(l.admit), len(l.report), len(l.end)) > packed.MaxSize {
		return v, verdict, false // pages are cut by the sizes of rows, without these
	}
	var first audit.Requested // or audit.Blocked, which says the same of it
	if decode(string(l.admit), &first) != nil || first.Call.ID == "" {
		return v, verdict, false
	}
	v, verdict = first.Call, first.Verdict
	if l.usedAt != nil && v.Execution == approval.ExecutionCaller {
		v.Status, v.StartedAt = approval.StatusExecuting, l.usedAt
	}
	if len(l.report) > 0 && l.endedAt != nil {
		var r audit.Reported
		if decode(string(l.report), &r) != nil {
			return v, verdict, false
		}
		v.Report = &approval.Report{
			Status: r.Status, ResultDigest: r.ResultDigest, ResultSize: r.ResultSize, At: *l.endedAt,
		}
		if r.Error != nil && r.Error.Code == approval.CodeNotRun {
			v.Report.Code = r.Error.Code
		}
	}
	if len(l.end) > 0 && l.endedAt != nil {
		var last audit.Ended
		if decode(string(l.end), &last) != nil {
			return v, verdict, false
		}
		v.End(last.Outcome, *l.endedAt)
	}
	return v, verdict, (v.EndedAt != nil) == v.Status.Ended() && (v.EndedAt != nil) == (l.endedAt != nil)
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
	doc := fmt.Sprintf("%[1]s.view, %[1]s.packed, %[1]s.id, %[1]s.digest, %[1]s.tool, %[1]s.agent, "+
		"%[1]s.session, %[1]s.requester, %[1]s.ended_at, (SELECT k.used_at FROM pawl.claims AS k "+
		"WHERE octet_length(%[1]s.packed) = 1 AND k.call = %[1]s.seq)", calls)
	for _, step := range []string{"admit", "report", "end"} {
		doc += fmt.Sprintf(", (SELECT e.payload FROM pawl.entries AS e "+
			"WHERE octet_length(%[1]s.packed) = 1 AND e.call = %[1]s.id AND e.step = '%[2]s')", calls, step)
	}
	return doc
}

// stored is a row's documentColumns.
type stored struct {
	view   string
	packed []byte
	known  [6]string
	told   // if packed is inLog, else only the times
}

func (s *stored) into() []any {
	k := &s.known
	return []any{
		&s.view, &s.packed, &k[0], &k[1], &k[2], &k[3], &k[4], &k[5],
		instantPtr{&s.endedAt}, instantPtr{&s.usedAt}, &s.admit, &s.report, &s.end,
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
		return fmt.Errorf("%w: a packed row can't be read", store.ErrDamagedRow)
	}
	err = decode(string(doc), &[2]any{view, into})
	if err == nil && into.Kind == "" {
		err = fmt.Errorf("%w: a packed row has no verdict", store.ErrDamagedRow)
	}
	return err
}

func (s *stored) fromLog(view *approval.View, into *approval.Verdict) (err error) {
	id := s.known[0]
	for _, payload := range []*[]byte{&s.admit, &s.report, &s.end} {
		if *payload, err = packed.Unpack(*payload, id); err != nil {
			break
		}
	}
	v, verdict, ok := s.said()
	if err != nil || !ok || v.ID != id {
		return Errorf("call %s: %w: its entries in the audit log are not there, or say nothing of it: "+
			"run 'pawl audit verify'", approval.Display(id, 80), store.ErrDamagedRow)
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
