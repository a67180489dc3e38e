package storetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// Size checks how many bytes a call takes that the policy allows, with its entries and their seals, in
// tables and indexes. bytes is how many the store takes.
func Size(t *testing.T, s store.Store, bytes func() int64, most int64) {
	t.Helper()
	const first, calls = 100, 400
	var before int64
	for n := range first + calls {
		if n == first {
			before = bytes()
		}
		Live(t, s, n)
		if n%50 == 49 {
			if err := Seal(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if each := (bytes() - before) / calls; each > most || each < most/2 {
		t.Errorf("a call takes %d bytes, expected are %d at most", each, most)
	} else {
		t.Logf("a call takes %d bytes", each)
	}
	page, err := s.Entries(t.Context(), store.EntryQuery{Newest: true})
	if err != nil || len(page.Items) == 0 {
		t.Fatal(err)
	}
	for _, e := range page.Items {
		if e.Damage != "" || e.Check() != nil || !json.Valid(e.Payload) {
			t.Errorf("%s: %q, %v", e.Step, e.Damage, e.Check())
		}
	}
}

// Live takes a call that the policy allows through its whole life, with all that is written of it: its
// row and permit, and the entries call.requested, call.claimed, tool.started and call.ended. run is
// the number of the call.
func Live(t testing.TB, s store.Store, n int) {
	t.Helper()
	a, use, finish := life(t, n)
	_, fresh, err := s.Admit(t.Context(), a)
	if err == nil && fresh {
		err = s.Use(t.Context(), use)
	}
	if err == nil {
		_, fresh, err = s.Finish(t.Context(), finish)
	}
	if err != nil || !fresh {
		t.Fatal(fresh, err)
	}
}

// life is what a worker writes of a call. Its IDs and hashes are made up, and as long as real ones.
func life(t testing.TB, n int) (store.AdmitParams, store.UseParams, store.FinishParams) {
	t.Helper()
	// A tenth of a second apart, with the microseconds that times have.
	at := SearchesBegin.Add(time.Duration(n)*100*time.Millisecond + 376_398*time.Microsecond)
	id, digest := approval.NewID(), audit.Hash{byte(n), byte(n >> 8), byte(n >> 16), 0x5f}.String()
	run := fmt.Sprintf("01a22c5e-0eb0-760f-9180-%012x", n)
	policy := approval.PolicyRef{
		Digest: "2b94e4682b43bfcc1d21bcbdedfab478d3b4d31fc8017d55b8d803d9f1d57609", Layer: "support",
		Rule: "support.yaml:14 tool refunds.*",
	}
	allowed := &approval.FinalDecision{Kind: approval.FinalAllow, By: "policy", At: at.Add(279 * time.Microsecond)}
	view := approval.View{
		ID: id, Tool: "refunds.pay", Digest: digest, Status: approval.StatusExecuting, Agent: "support-bot",
		Session: fmt.Sprintf("s-%d", n/10), Requester: "support-bot", CreatedAt: at,
		Args:   json.RawMessage(fmt.Sprintf(`{"order":"A-%d","amount":1250,"currency":"EUR"}`, n)),
		Reason: "The customer sent the order back and asked for the money.",
		Policy: &policy, Decision: allowed,
	}
	verdict := approval.Verdict{Kind: approval.VerdictAllow, ValidFor: approval.Duration(15 * time.Minute), Policy: policy}
	entry := func(step string, at time.Time, payload audit.Payload) audit.Entry {
		e, err := audit.New(id, step, at, payload)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	started, ended := at.Add(26*time.Millisecond), at.Add(65_162*time.Microsecond)
	outcome := approval.Outcome{
		ID: id, Tool: view.Tool, Status: approval.StatusExecuted, Decision: allowed, Digest: digest,
		Result: json.RawMessage(fmt.Sprintf(`{"paid":{"order":"A-%d","amount":1250,"currency":"EUR"}}`, n)),
	}
	return store.AdmitParams{
			View: view, Verdict: verdict, Run: run, TakePermit: true, GoodUntil: at.Add(15 * time.Minute), Policy: 1,
			Identical: store.Identical([]byte("key"), approval.Call{Tool: view.Tool, Args: view.Args}),
			Entries: []audit.Entry{
				entry("admit", at, audit.Requested{Call: view, Verdict: verdict, Run: run}),
				entry("claim", at, audit.Claimed{Digest: digest, Decision: allowed, Run: run}),
			},
		}, store.UseParams{
			ID: id, Digest: digest, Run: run, Activity: "6", Token: "YIUARYA3BNCGATGGHRKVAGRESP", At: started,
			Entries: []audit.Entry{entry("start", started, audit.Started{
				Digest: digest, Run: run, SchemaDigest: "6ced01c82acd90b71d6d5c6ccd3f85bfb4dce9d3e033c5c3a3c93f951fa8df43",
			})},
		}, store.FinishParams{
			Outcome: outcome, Run: run, At: ended,
			Entries: []audit.Entry{entry("end", ended, audit.Ended{Outcome: outcome, Run: run})},
		}
}

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
