package storetest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// inLog: a row of an allowed call may rely on what its entries say. Whatever they say, it is read as it
// was written, also when they are erased.
func inLog(t *testing.T, s store.Store) {
	const large = 5000
	for i, c := range []struct {
		name   string
		change func(*approval.View, *approval.Outcome)
		forget string             // a step without an entry
		said   func(*audit.Ended) // what its entry says otherwise
	}{
		{name: "as it is"},
		{name: "numbers in their own form", change: func(v *approval.View, o *approval.Outcome) {
			v.Args, o.Result = json.RawMessage(`{"z":1.50,"a":-0.0}`), json.RawMessage(`[1e2,0.10]`)
		}},
		{name: "a number that the entry says as text", change: func(_ *approval.View, o *approval.Outcome) {
			o.Result = json.RawMessage(`{"id":9007199254740993}`)
		}, said: func(e *audit.Ended) { e.Outcome.Result = json.RawMessage(`"{\"id\":9007199254740993}"`) }},
		{name: "a failure", change: func(_ *approval.View, o *approval.Outcome) {
			o.Status, o.Result = approval.StatusFailed, nil
			o.Error = &approval.CallError{Code: "tool_failed", Message: "no <money> & \u2028"}
		}},
		{name: "another end", said: func(e *audit.Ended) { e.Outcome.Status = approval.StatusFailed }},
		{name: "large arguments", change: func(v *approval.View, _ *approval.Outcome) {
			v.Args = json.RawMessage(`"` + strings.Repeat("a", large) + `"`)
		}},
		{name: "a large result", change: func(_ *approval.View, o *approval.Outcome) {
			o.Result = json.RawMessage(`"` + strings.Repeat("a", large) + `"`)
		}},
		{name: "no entry of its admission", forget: "admit"},
		{name: "no entry of its end", forget: "end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, u, f := life(t, i)
			if c.change != nil {
				c.change(&a.View, &f.Outcome)
			}
			requested := audit.Requested{Call: a.View, Verdict: a.Verdict, Run: a.Run}
			ended := audit.Ended{Outcome: f.Outcome, Run: f.Run}
			if c.said != nil {
				c.said(&ended)
			}
			a.Entries, f.Entries = nil, nil
			for step, payload := range map[string]audit.Payload{"admit": requested, "end": ended} {
				e, err := audit.New(a.View.ID, step, a.View.CreatedAt, payload)
				switch {
				case err != nil:
					t.Fatal(err)
				case step == c.forget:
				case step == "admit":
					a.Entries = append(a.Entries, e)
				default:
					f.Entries = append(f.Entries, e)
				}
			}
			admitted := isStored(t, s, admit(t, s, a))
			same(t, "what was admitted", admitted.View, a.View)
			same(t, "its verdict", admitted.Verdict, a.Verdict)
			use(t, s, u)
			if err := s.Use(t.Context(), store.UseParams{ID: u.ID, Digest: u.Digest, Run: u.Run, Activity: u.Activity,
				At: u.At, Retry: true, Entries: u.Entries}); err != nil {
				t.Errorf("the same use again: %v", err)
			}
			r := isStored(t, s, finish(t, s, f))
			want := a.View
			want.End(f.Outcome, store.Micros(f.At))
			want.Args, want.Result = nil, nil
			v := r.View
			if r.Permit.Run != a.Run || !sameNumbers(v.Args, a.View.Args) || !sameNumbers(v.Result, f.Outcome.Result) {
				t.Errorf("read back: %s, %s, the permit of run %q", v.Args, v.Result, r.Permit.Run)
			}
			rest := r.View
			rest.Args, rest.Result = nil, nil
			same(t, "what ended", rest, want)

			if got := erase(t, s, erasing(t, store.ErasePayloads, u.ID)); len(got) != 1 {
				t.Errorf("erased %q", got)
			}
			isStored(t, s, r)
			page, err := s.Calls(t.Context(), store.CallQuery{Limit: 1})
			if err != nil || len(page.Items) != 1 {
				t.Fatal(page.Items, err)
			}
			same(t, "what is listed", page.Items[0], r.View)
			if r.View.Status == approval.StatusExecuted && c.forget == "" {
				erase(t, s, erasing(t, store.EraseRow, u.ID))
				if r, err := s.Call(t.Context(), u.ID); err != nil || r.View.ErasedAt == nil || r.View.Reason != "" {
					t.Errorf("the tombstone is %+v, %v", r.View, err)
				}
			}
		})
	}
}

// sameNumbers reports whether two documents are the same but for the order of keys. Each number has its
// form: 1.50 is not 1.5.
func sameNumbers(a, b json.RawMessage) bool {
	form := func(doc json.RawMessage) []byte {
		dec := json.NewDecoder(bytes.NewReader(doc))
		dec.UseNumber()
		var v any
		if len(doc) == 0 || dec.Decode(&v) != nil {
			return doc
		}
		sorted, err := json.Marshal(v)
		if err != nil {
			return doc
		}
		return sorted
	}
	return bytes.Equal(form(a), form(b))
}

// LiveByCaller is Live of a call that its caller runs. It returns its ID.
func LiveByCaller(t *testing.T, s store.Store, n int, report approval.Report) string {
	t.Helper()
	a, _, f := life(t, n)
	a = byCaller(a)
	id, digest, out := a.View.ID, a.View.Digest, f.Outcome
	written := func(step string, payload audit.Payload) audit.Entry {
		e, err := audit.New(id, step, a.View.CreatedAt, payload)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	out.Status = report.Status
	if report.Status == approval.StatusFailed {
		out.Result, out.Error = nil, &approval.CallError{Code: approval.CodeNotRun, Message: "no"}
	}
	a.Entries = []audit.Entry{written("admit", audit.Requested{Call: a.View, Verdict: a.Verdict, Run: a.Run})}
	isStored(t, s, admit(t, s, a))
	isStored(t, s, start(t, s, store.StartParams{ID: id, Digest: digest, Start: approval.HashStartID("one")}))
	r, fresh, err := s.Report(t.Context(), store.ReportParams{
		Outcome: out, Start: approval.HashStartID("one"), Report: report, At: f.At,
		Entries: []audit.Entry{
			written("report", audit.Reported{Status: out.Status, Error: out.Error, ResultDigest: report.ResultDigest,
				ResultSize: report.ResultSize}),
			written("end", audit.Ended{Outcome: out}),
		},
		Late: []audit.Entry{written("late report", audit.Reported{Status: out.Status, Late: true})},
	})
	if err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	v := isStored(t, s, r).View
	if v.Report == nil || !v.Report.Same(report) || v.StartedAt == nil || v.Status != report.Status {
		t.Errorf("read back: %+v, started %v, %s", v.Report, v.StartedAt, v.Status)
	}
	return id
}

func inLogOfCallers(t *testing.T, s store.Store) {
	for i, report := range []approval.Report{
		{Status: approval.StatusExecuted, ResultSize: 7, ResultDigest: digestOf("result")},
		{Status: approval.StatusFailed, Code: approval.CodeNotRun},
		{Status: approval.StatusExecuted, Code: "a code that its entry does not say"},
	} {
		id := LiveByCaller(t, s, i, report)
		r, err := s.Call(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		erase(t, s, erasing(t, store.ErasePayloads, id))
		isStored(t, s, r)
	}
}
