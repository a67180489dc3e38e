package activities_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
)

// What the store's policy says of pay, at first and later.
const (
	askOne = "rules: [{tool: pay, require_approval: true}]"
	allow  = "rules: [{tool: pay, auto_approve: true}]"
	never  = "rules: [{tool: pay, deny: true}]"
)

// apply makes a text the active policy. It says so to nobody.
func (b *bench) apply(texts ...string) {
	b.t.Helper()
	v, err := active.Version(b.t.Context(), b.store)
	if err != nil {
		b.t.Fatal(err)
	}
	var files []policy.File
	for i, text := range texts {
		files = append(files, policy.File{Name: string(rune('a'+i)) + ".yaml", Data: []byte(text)})
	}
	if _, err := active.Apply(b.t.Context(), b.store, active.Change{Files: files, Expect: v.Version, By: "ana", Channel: "cli"}); err != nil {
		b.t.Fatal(err)
	}
}

// follow lets the activities go by the store's policy, as a worker that has not looked for a while.
func (b *bench) follow(text string) {
	b.t.Helper()
	b.apply(text)
	p, err := active.Follow(b.t.Context(), active.Options{Store: b.store})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(p.Close)
	b.acts.Policy = p
}

func (b *bench) judgeAndClaim(change func(*activities.ClaimInput)) (res activities.ClaimResult, err error) {
	now := time.Now().UTC()
	in := activities.ClaimInput{
		ID: "c1", Run: "r1", Digest: b.digest(), Call: b.call(), Now: now,
		Votes: []approval.Decision{{ID: "d1", Kind: approval.Approve, Reviewer: "ben", At: now}},
	}
	if change != nil {
		change(&in)
	}
	v, err := b.ExecuteActivity(b.acts.JudgeAndClaim, in)
	if err == nil {
		err = v.Get(&res)
	}
	return res, err
}

func (b *bench) record() store.Record {
	b.t.Helper()
	r, err := b.store.Call(b.t.Context(), "c1")
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// Between its admission and its claim another policy is applied, of which the worker does not know
// yet.
func TestClaimJudgesByTheActivePolicy(t *testing.T) {
	const claimed, more, blocked = "claimed", "more", "blocked"
	past := time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)
	for name, tc := range map[string]struct {
		policy []string
		want   string
		why    string // of more; else of the error
	}{
		"the same":               {[]string{askOne}, claimed, ""},
		"allowed by now":         {[]string{allow}, claimed, ""},
		"other risk and timeout": {[]string{"rules: [{tool: pay, require_approval: true, risk_level: high, timeout: 1s}]"}, claimed, ""},
		"about other tools":      {[]string{askOne + "\n" + `deny: [other]`}, claimed, ""},
		"denied":                 {[]string{never}, blocked, "forbids"},
		"denied by a new layer":  {[]string{askOne, never}, blocked, "forbids"},
		"denied since a time":    {[]string{`rules: [{tool: pay, when: 'now > timestamp("` + past + `")', deny: true}, {tool: pay, require_approval: true}]`}, blocked, "forbids"},
		"three people":           {[]string{"rules: [{tool: pay, approvals: [{count: 3}]}]"}, more, "approvals: 1 → 3"},
		"a group":                {[]string{"rules: [{tool: pay, approvals: [{group: sre}]}]"}, more, "approvals by sre: 0 → 1"},
		"a group, by a layer":    {[]string{askOne, "rules: [{tool: pay, approvals: [{group: sre, count: 2}]}]"}, more, "approvals by sre: 0 → 2"},
		"signed decisions":       {[]string{"rules: [{tool: pay, decisions: signed}]"}, more, "decisions: not said → signed"},
		"a second stage":         {[]string{"rules: [{tool: pay, stages: [{name: a, approvals: 1}, {name: b, approvals: 1}]}]"}, more, "stage b: none → 1 approval"},
		"a reason":               {[]string{"rules: [{tool: pay, require_reason: true}]"}, more, "require_reason: false → true"},
		"more rejections":        {[]string{"rules: [{tool: pay, deny_count: 3}]"}, claimed, ""},
		"who asked may approve":  {[]string{"rules: [{tool: pay, self_approval: true}]"}, claimed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.follow(askOne)
			b.admit()
			if len(tc.policy) > 1 || tc.policy[0] != askOne {
				b.apply(tc.policy...)
			}
			res, err := b.judgeAndClaim(nil)
			if err != nil {
				t.Fatal(err)
			}
			got := claimed
			switch {
			case res.Outcome != nil:
				if got = string(res.Outcome.Status); res.Outcome.Error.Code != approval.CodePolicyChanged || !strings.Contains(res.Outcome.Error.Message, tc.why) {
					t.Errorf("%+v", res.Outcome.Error)
				}
			case res.Requirement != nil:
				got = more
				page, err := b.store.Entries(t.Context(), store.EntryQuery{Subject: "c1", Kind: audit.KindTightened})
				if err != nil || len(page.Items) != 1 || !strings.Contains(string(page.Items[0].Payload), tc.why) {
					t.Errorf("%+v, %v", page.Items, err)
				}
			}
			r := b.record()
			if got != tc.want || (r.Permit != nil) != (tc.want == claimed) || (r.Revision == 1) != (tc.want == more) {
				t.Errorf("%s, permit %+v, revision %d; want %s", got, r.Permit, r.Revision, tc.want)
			}
			again, err := b.judgeAndClaim(nil) // the answer was lost
			if err != nil || (again.Outcome != nil) != (res.Outcome != nil) || (again.Requirement != nil) != (res.Requirement != nil) {
				t.Errorf("a repeat answers %+v, %v", again, err)
			}
		})
	}
}

// A call that takes more by now stays so, however the policy flips.
func TestTightenedCallsStaySo(t *testing.T) {
	b := setup(t)
	b.follow(askOne)
	b.admit()
	for range 3 {
		b.apply("rules: [{tool: pay, approvals: [{count: 2}]}]")
		if res, err := b.judgeAndClaim(nil); err != nil || res.Requirement == nil {
			t.Fatalf("%+v, %v", res, err)
		}
		b.apply(askOne)
		if res, err := b.judgeAndClaim(nil); err != nil || res.Requirement == nil || res.Revision != 1 {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	two := func(in *activities.ClaimInput) {
		in.Revision = 1
		in.Votes = append(in.Votes, approval.Decision{ID: "d2", Kind: approval.Approve, Reviewer: "cy", At: in.Now})
	}
	if res, err := b.judgeAndClaim(two); err != nil || res.Outcome != nil || res.Requirement != nil {
		t.Errorf("two approvals: %+v, %v", res, err)
	}
}

// applies is a store in which another policy is applied at the last moment before a claim.
type applies struct {
	store.Store
	b    *bench
	text atomic.Pointer[string]
}

func (s *applies) Claim(ctx context.Context, c store.ClaimParams) (store.Record, error) {
	if text := s.text.Swap(nil); text != nil {
		s.b.apply(*text)
	}
	return s.Store.Claim(ctx, c)
}

func TestPolicyAppliedDuringAClaim(t *testing.T) {
	for text, want := range map[string]string{never: "blocked", allow: "claimed", "rules: [{tool: pay, approvals: [{count: 2}]}]": "more"} {
		b := setup(t)
		b.follow(askOne)
		b.admit()
		racing := &applies{Store: b.store, b: b}
		racing.text.Store(&text)
		b.acts.Store = racing
		res, err := b.judgeAndClaim(nil)
		if err != nil || (res.Outcome != nil) != (want == "blocked") || (res.Requirement != nil) != (want == "more") || (b.record().Permit != nil) != (want == "claimed") {
			t.Errorf("%s: %+v, %v; want it %s", text, res, err, want)
		}
	}
}

// A worker that can't judge by the active policy takes no permit, and ends nothing: another one
// may.
func TestClaimWithoutAUsablePolicy(t *testing.T) {
	b := setup(t)
	b.follow(askOne)
	b.admit()
	newer := store.ApplyParams{
		Set:    store.PolicySet{Digest: strings.Repeat("0", 64), Layers: []store.PolicyLayer{{Name: "a.yaml", Text: "of_a_later_version: true"}}},
		Expect: 1, At: time.Now(), By: "ana", Channel: "cli",
	}
	if _, _, err := b.store.ApplyPolicy(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	if res, err := b.judgeAndClaim(nil); err == nil {
		t.Errorf("%+v", res)
	}
	if r := b.record(); r.Permit != nil || r.View.Status != approval.StatusPending {
		t.Errorf("%+v", r)
	}
	b.acts.Policy = verdict{Kind: approval.VerdictDeny} // not of the store
	if res, err := b.judgeAndClaim(nil); err != nil || res.Outcome == nil || res.Outcome.Error.Code != approval.CodePolicyChanged {
		t.Errorf("%+v, %v", res, err)
	}
}

// Whoever writes to Temporal may schedule a claim of their own.
func TestForgedClaims(t *testing.T) {
	for name, change := range map[string]func(*activities.ClaimInput){
		"harmless arguments": func(in *activities.ClaimInput) { in.Call.Args = json.RawMessage(`{"amount":0}`) },
		"another tool":       func(in *activities.ClaimInput) { in.Call.Tool = "read" },
		"a digest to fit": func(in *activities.ClaimInput) {
			in.Call.Args = json.RawMessage(`{"amount":0}`)
			in.Digest, _ = in.Call.Digest(in.ID)
		},
		"a revision to come": func(in *activities.ClaimInput) { in.Revision, in.Votes = 7, nil },
		"nobody's votes":     func(in *activities.ClaimInput) { in.Votes = nil },
	} {
		b := setup(t)
		b.follow(askOne)
		b.admit()
		res, err := b.judgeAndClaim(change)
		if err != nil || res.Outcome == nil || res.Outcome.Status != approval.StatusBlocked || b.record().Permit != nil {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}
}

// Claims of workflows from before, which know no way back to waiting, are judged, too.
func TestOldClaimsAreJudged(t *testing.T) {
	for text, want := range map[string]bool{allow: true, never: false, "rules: [{tool: pay, approvals: [{count: 2}]}]": false} {
		b := setup(t)
		b.follow(askOne)
		b.admit()
		b.apply(text)
		out := b.claim(b.digest(), time.Now().UTC())
		if (out == nil) != want || (b.record().Permit != nil) != want || out != nil && out.Error.Code != approval.CodePolicyChanged {
			t.Errorf("%s: %+v", text, out)
		}
	}
}

// The policy's last word is just before the permit is used.
func TestExecuteJudgesByTheActivePolicy(t *testing.T) {
	two := "rules: [{tool: pay, approvals: [{count: 2}]}]"
	for name, tc := range map[string]struct {
		admitted, later string
		runs            int32
	}{
		"allowed":               {allow, allow + "\n", 1},
		"allowed, then never":   {allow, never, 0},
		"allowed, then asked":   {allow, askOne, 0},
		"approved":              {askOne, allow, 1},
		"approved, then never":  {askOne, never, 0},
		"approved by too few":   {askOne, two, 1}, // the claim was the place for that
		"approved, other rules": {askOne, askOne + "\n" + `deny: [other]`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.follow(tc.admitted)
			b.admit()
			if tc.admitted == askOne {
				if res, err := b.judgeAndClaim(nil); err != nil || res.Outcome != nil || res.Requirement != nil {
					t.Fatalf("%+v, %v", res, err)
				}
			}
			b.apply(tc.later)
			err := b.execute(nil)
			if b.runs.Load() != tc.runs || (err == nil) != (tc.runs == 1) || err != nil && code(err) != approval.CodePolicyChanged {
				t.Errorf("%d runs, %v", b.runs.Load(), err)
			}
			if r := b.record(); r.Permit.UsedAt.IsZero() != (tc.runs == 0) {
				t.Errorf("the permit is %+v", r.Permit)
			}
		})
	}
}

// A rejection that the API put on record ends the call, whatever its workflow counted.
func TestClaimObeysARejectionOnRecord(t *testing.T) {
	for name, tc := range map[string]struct {
		about  string
		method string
		want   approval.Status // none: it is claimed
	}{
		"by somebody known":      {"c1", "token", approval.StatusRejected},
		"where nobody is known":  {"c1", "", approval.StatusRejected},
		"of another call":        {"c2", "token", ""},
		"of one that is similar": {"c1/sent", "token", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.follow(askOne)
			b.admit()
			at := time.Now().UTC().Truncate(time.Microsecond)
			e, err := audit.New(tc.about, "sent/no", at, audit.Sent{DecisionID: "no", Reviewer: "bob", Channel: "api", Method: tc.method, Digest: "d", At: at})
			if err == nil {
				err = b.store.Append(t.Context(), e)
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first answer may be lost
				res, err := b.judgeAndClaim(nil)
				if err != nil {
					t.Fatal(err)
				}
				if tc.want == "" {
					if res.Outcome != nil || b.record().Permit == nil {
						t.Errorf("%+v", res)
					}
					continue
				}
				by := approval.FinalDecision{Kind: approval.FinalReject, By: "bob", Channel: "api", At: at}
				if o := res.Outcome; o == nil || o.Status != tc.want || o.Error.Code != approval.CodeRejected || *o.Decision != by || b.record().Permit != nil {
					t.Errorf("%+v", res.Outcome)
				}
			}
		})
	}
}

// A workflow that leaves out what is to be hidden hides it all the same: the store's verdict says it.
func TestRecordHidesByTheStoresVerdict(t *testing.T) {
	for name, input := range map[string]struct {
		fields []string
		values approval.RedactValues
	}{"left out": {nil, ""}, "other fields": {[]string{"other"}, ""}, "nothing at all": {nil, approval.RedactNone}} {
		b := setup(t)
		b.acts.Policy = verdict{Kind: approval.VerdictRequire, Requirement: approval.OneApproval(), Timeout: approval.DefaultTimeout,
			ValidFor: approval.DefaultValidFor, Redact: []string{"amount"}}
		b.admit()
		_, err := b.ExecuteActivity(b.acts.Record, activities.RecordInput{
			ID: "c1", Run: "r1", Call: b.call(), Redact: input.fields, RedactValues: input.values, At: time.Now().UTC(),
			Outcome: approval.Outcome{ID: "c1", Status: approval.StatusRejected, Digest: b.digest(),
				Error:    &approval.CallError{Code: approval.CodeRejected, Message: `no: {"amount": 4711}, token Bearer abcdefghijklmnop123456`},
				Decision: &approval.FinalDecision{Kind: approval.FinalReject, By: "ana", At: time.Now().UTC()}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := b.record().View.Error.Message; strings.Contains(got, "4711") || strings.Contains(got, "abcdefghijklmnop") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
