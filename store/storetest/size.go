package storetest

import (
	"encoding/json"
	"fmt"
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
