package activities_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/store"
)

// What a workflow of somebody's own may try, on Pawl's own activities.

func (b *bench) key() sign.Key {
	b.t.Helper()
	k, err := sign.NewKey()
	if err != nil {
		b.t.Fatal(err)
	}
	return k
}

func (b *bench) trust(k sign.Key) {
	b.t.Helper()
	if _, _, err := b.store.AddKey(b.t.Context(), store.NewKey{SigningKey: store.SigningKey{ID: k.ID(), Public: k.Public(), CreatedAt: time.Now()}}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) endKey(k sign.Key, revoke bool) {
	b.t.Helper()
	if _, _, err := b.store.EndKey(b.t.Context(), store.EndKeyParams{ID: k.ID(), Revoke: revoke, At: time.Now()}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) requireSigned(approvals ...approval.Approvals) {
	b.acts.Policy = verdict{
		Kind: approval.VerdictRequire, Timeout: approval.DefaultTimeout, ValidFor: approval.DefaultValidFor,
		Requirement: &approval.Requirement{Approvals: approvals, Decisions: approval.DecisionsSigned},
	}
}

// signedOnce is a call that waits for one signed approval, and a trusted key.
func signedOnce(t *testing.T) (*bench, sign.Key) {
	t.Helper()
	b := setup(t)
	k := b.key()
	b.trust(k)
	b.requireSigned(approval.Approvals{Count: 1})
	b.admit()
	return b, k
}

// vote is a signed approval of the call c1.
func (b *bench) vote(k sign.Key, reviewer string, change ...func(d *approval.Decision, callID, digest *string)) approval.Decision {
	b.t.Helper()
	d := approval.Decision{
		ID: "by " + reviewer, Kind: approval.Approve, Reviewer: reviewer, Channel: "api", Method: "token",
		Authenticated: true, At: time.Now().UTC().Truncate(time.Microsecond),
	}
	callID, digest := "c1", b.digest()
	for _, f := range change {
		f(&d, &callID, &digest)
	}
	d, err := sign.Sign(k, d, b.acts.StoreID, callID, digest)
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bench) claimFor(votes ...approval.Decision) activities.ClaimResult {
	b.t.Helper()
	v, err := b.ExecuteActivity(b.acts.Claim, activities.ClaimInput{
		ID: "c1", Run: "r1", Digest: b.digest(), Call: b.call(), Now: time.Now().UTC(), Votes: votes,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	var s activities.ClaimResult
	if err := v.Get(&s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

func TestClaimBelievesSignaturesOnly(t *testing.T) {
	type change = func(d *approval.Decision, callID, digest *string)
	one, two := []approval.Approvals{{Count: 1}}, []approval.Approvals{{Count: 2}}
	for name, tc := range map[string]struct {
		approvals []approval.Approvals
		votes     func(b *bench, k sign.Key) []approval.Decision
	}{
		"none": {one, func(*bench, sign.Key) []approval.Decision { return nil }},
		"says so": {one, func(*bench, sign.Key) []approval.Decision {
			return []approval.Decision{{ID: "d", Kind: approval.Approve, Reviewer: "ana", Authenticated: true, Method: "token", At: time.Now()}}
		}},
		"other key": {one, func(b *bench, _ sign.Key) []approval.Decision { return []approval.Decision{b.vote(b.key(), "ana")} }},
		"one for two": {two, func(b *bench, k sign.Key) []approval.Decision {
			return []approval.Decision{b.vote(k, "ana"), b.vote(k, "ana")}
		}},
		"one and a lie": {two, func(b *bench, k sign.Key) []approval.Decision {
			return []approval.Decision{b.vote(k, "ana"), {ID: "d", Kind: approval.Approve, Reviewer: "ben", Authenticated: true, At: time.Now()}}
		}},
		"one, under two names": {two, func(b *bench, k sign.Key) []approval.Decision {
			again := b.vote(k, "ana")
			again.Reviewer = "ben"
			return []approval.Decision{b.vote(k, "ana"), again}
		}},
		"another call's": {one, func(b *bench, k sign.Key) []approval.Decision {
			return []approval.Decision{b.vote(k, "ana", change(func(_ *approval.Decision, id, _ *string) { *id = "c2" }))}
		}},
		"another digest": {one, func(b *bench, k sign.Key) []approval.Decision {
			return []approval.Decision{b.vote(k, "ana", change(func(_ *approval.Decision, _, digest *string) { *digest = "d" }))}
		}},
		"another store's": {one, func(b *bench, k sign.Key) []approval.Decision {
			d, err := sign.Sign(k, b.vote(k, "ana"), "store-2", "c1", b.digest())
			if err != nil {
				b.t.Fatal(err)
			}
			return []approval.Decision{d}
		}},
		"a rejection": {one, func(b *bench, k sign.Key) []approval.Decision {
			d := b.vote(k, "ana", change(func(d *approval.Decision, _, _ *string) { d.Kind = approval.Reject }))
			d.Kind = approval.Approve
			return []approval.Decision{d}
		}},
		"a rejection as it is": {one, func(b *bench, k sign.Key) []approval.Decision {
			return []approval.Decision{b.vote(k, "ana", change(func(d *approval.Decision, _, _ *string) { d.Kind = approval.Reject }))}
		}},
		"came late": {one, func(b *bench, k sign.Key) []approval.Decision {
			d := b.vote(k, "ana")
			d.At = d.At.Add(sign.Life + time.Second)
			return []approval.Decision{d}
		}},
		"no member": {[]approval.Approvals{{Group: "finance", Count: 1}}, func(b *bench, k sign.Key) []approval.Decision {
			d := b.vote(k, "ana")
			d.Groups = []string{"finance"}
			return []approval.Decision{d}
		}},
		"by who asked": {one, func(b *bench, k sign.Key) []approval.Decision { return []approval.Decision{b.vote(k, "olga")} }},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			k := b.key()
			b.trust(k)
			b.owner = "olga"
			b.requireSigned(tc.approvals...)
			b.admit()
			s := b.claimFor(tc.votes(b, k)...)
			if s.Outcome == nil || s.Outcome.Status != approval.StatusBlocked || s.Outcome.Error.Code != approval.CodeUntrusted {
				t.Errorf("%+v", s)
			}
			if err := b.execute(nil); code(err) != approval.CodeNoPermit || b.runs.Load() != 0 {
				t.Errorf("%v, %d runs", err, b.runs.Load())
			}
			r, err := b.store.Call(t.Context(), "c1")
			if err != nil || r.Permit != nil {
				t.Fatalf("%+v, %v", r, err)
			}
			page, err := b.store.Entries(t.Context(), store.EntryQuery{Subject: "default-test-workflow-id", Kind: audit.KindNotStarted})
			if err != nil || len(page.Items) != 1 {
				t.Errorf("%d entries tell of the attempt to run it, %v", len(page.Items), err)
			}
		})
	}
}

// The approval of a workflow of somebody's own is good no longer than the envelopes say, whatever
// the workflow does.
func TestClaimOfOldDecisions(t *testing.T) {
	b, k := signedOnce(t)
	old := time.Now().UTC().Add(-sign.Life - approval.DefaultValidFor.Std() - time.Minute)
	d := b.vote(k, "ana", func(d *approval.Decision, _, _ *string) { d.At = old })
	d.At = old.Add(sign.Life)
	if s := b.claimFor(d); s.Outcome == nil || s.Outcome.Status != approval.StatusExpired {
		t.Errorf("%+v", s)
	}
}

func TestRevokedKeys(t *testing.T) {
	t.Run("before the claim", func(t *testing.T) {
		b, k := signedOnce(t)
		b.endKey(k, true)
		if s := b.claimFor(b.vote(k, "ana")); s.Outcome == nil || s.Outcome.Error.Code != approval.CodeUntrusted {
			t.Errorf("%+v", s)
		}
	})
	t.Run("between claim and tool", func(t *testing.T) {
		b, k := signedOnce(t)
		if s := b.claimFor(b.vote(k, "ana")); s.Outcome != nil {
			t.Fatalf("%+v", s)
		}
		b.endKey(k, true)
		if s := b.claimFor(b.vote(k, "ana")); s.Outcome != nil || s.Permit.Run != "r1" {
			t.Errorf("a repeat of what was done: %+v", s)
		}
		if err := b.execute(nil); code(err) != approval.CodeUntrusted || b.runs.Load() != 0 {
			t.Errorf("%v, %d runs", err, b.runs.Load())
		}
	})
	t.Run("replaced since", func(t *testing.T) {
		b, k := signedOnce(t)
		d := b.vote(k, "ana")
		b.endKey(k, false)
		if s := b.claimFor(d); s.Outcome != nil {
			t.Fatalf("%+v", s.Outcome.Error)
		}
		if err := b.execute(nil); err != nil || b.runs.Load() != 1 {
			t.Errorf("%v, %d runs", err, b.runs.Load())
		}
	})
}

// Without signed decisions a forged workflow may approve; it may not say that somebody proved to be
// who they are.
func TestNobodyIsAuthenticatedByTheWorkflowsWord(t *testing.T) {
	b := setup(t)
	b.admit()
	lie := approval.Decision{ID: "d", Kind: approval.Approve, Reviewer: "ana", Authenticated: true, Method: "token", At: time.Now().UTC()}
	if s := b.claimFor(lie); s.Outcome != nil || s.Decision.Authenticated || s.Votes[0].Authenticated {
		t.Errorf("%+v", s)
	}

	b = setup(t)
	b.admit()
	lie.Kind = approval.Reject
	if _, err := b.ExecuteActivity(b.acts.Record, activities.RecordInput{ID: "c1", Run: "r1", Call: b.call(), At: time.Now().UTC(),
		Votes: []approval.Decision{lie}, Outcome: approval.Outcome{ID: "c1", Digest: b.digest(), Status: approval.StatusRejected, Decision: lie.Final()}}); err != nil {
		t.Fatal(err)
	}
	r, err := b.store.Call(t.Context(), "c1")
	if err != nil || r.View.Decision.Authenticated || r.View.Votes[0].Authenticated {
		t.Errorf("%+v, %v", r.View, err)
	}
}

// People approve what they are shown. A workflow that shows them one call under another's digest
// would have them approve the other.
func TestAdmitComparesTheDigest(t *testing.T) {
	b := setup(t)
	other := b.call()
	other.Args = json.RawMessage(`{"amount":1000000}`)
	digest, err := other.Digest("c1")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	if _, err := b.ExecuteActivity(b.acts.Admit, activities.AdmitInput{ID: "c1", Run: "r1", Call: b.call(), Digest: digest, CreatedAt: now, Now: now}); code(err) != approval.CodeDigest {
		t.Errorf("%v", err)
	}
	if _, err := b.store.Call(t.Context(), "c1"); err == nil {
		t.Error("the call was admitted")
	}
}

func TestAdmitSnapshotsKeys(t *testing.T) {
	b := setup(t)
	k, revoked := b.key(), b.key()
	b.trust(k)
	b.trust(revoked)
	b.endKey(revoked, true)
	if a := b.admit(); len(a.Keys) != 1 || a.Keys[0].ID != k.ID() || !slices.Equal(a.Keys[0].Public, k.Public()) {
		t.Errorf("%+v", a.Keys)
	}
	b.acts.Policy = verdict{Kind: approval.VerdictAllow}
	if a := b.admitCall("c2", b.call()); a.Keys != nil {
		t.Errorf("a call that waits for nobody has %+v", a.Keys)
	}
}

// Silence is denial, whatever a workflow of somebody's own does with the deadline.
func TestClaimCountsTheDeadline(t *testing.T) {
	for name, signed := range map[string]time.Duration{"just after": time.Second, "by a clock that is far off": 2 * sign.Life} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			k := b.key()
			b.trust(k)
			v := verdict{
				Kind: approval.VerdictRequire, Timeout: approval.Duration(time.Minute), ValidFor: approval.DefaultValidFor,
				Requirement: &approval.Requirement{Approvals: []approval.Approvals{{Count: 1}}, Decisions: approval.DecisionsSigned},
			}
			b.acts.Policy = v
			b.admit()
			r, err := b.store.Call(t.Context(), "c1")
			if err != nil {
				t.Fatal(err)
			}
			d := b.vote(k, "ana", func(d *approval.Decision, _, _ *string) { d.At = r.View.Deadline.Add(signed) })
			if signed > sign.Life {
				d.At = r.View.Deadline.Add(-time.Second) // as the workflow says
			}
			if s := b.claimFor(d); s.Outcome == nil || s.Outcome.Error.Code != approval.CodeUntrusted {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Whoever schedules Admit can't say what time it is: a condition may ask for it.
func TestAdmitHasTheServersTime(t *testing.T) {
	b := setup(t)
	var asked time.Time
	b.acts.Policy = judge(func(now time.Time) approval.Verdict {
		asked = now
		return approval.Verdict{Kind: approval.VerdictAllow}
	})
	later := time.Now().UTC().Add(48 * time.Hour)
	if _, err := b.ExecuteActivity(b.acts.Admit, activities.AdmitInput{ID: "c1", Run: "r1", Call: b.call(), Digest: b.digest(), CreatedAt: later, Now: later}); err != nil {
		t.Fatal(err)
	}
	if asked.After(time.Now().Add(time.Minute)) {
		t.Errorf("the policy was asked about %v", asked)
	}
}

type judge func(now time.Time) approval.Verdict

func (j judge) Evaluate(_ approval.Call, now time.Time) approval.Verdict { return j(now) }

// A made-up result would be believed of a tool that other workers run, so nobody claims a tool of
// Pawl's worker, or of somebody else's, for his own.
func TestClaimForAnotherQueue(t *testing.T) {
	claim := func(b *bench, call approval.Call, queue string) {
		t.Helper()
		digest, err := call.Digest("c1")
		if err != nil {
			t.Fatal(err)
		}
		b.admitCall("c1", call)
		if _, err := b.ExecuteActivity(b.acts.Claim, activities.ClaimInput{ID: "c1", Run: "r1", Digest: digest, Call: call, Now: time.Now().UTC(),
			Votes: []approval.Decision{{ID: "d", Kind: approval.Approve, Reviewer: "ana", At: time.Now().UTC()}}, Queue: queue}); err != nil {
			t.Fatal(err)
		}
		_, err = b.ExecuteActivity(b.acts.Record, activities.RecordInput{ID: "c1", Run: "r1", Call: call, At: time.Now().UTC(),
			Outcome: approval.Outcome{ID: "c1", Digest: digest, Status: approval.StatusExecuted, Result: json.RawMessage(`"made up"`)}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.store.Call(t.Context(), "c1")
		if err != nil || r.View.Status != approval.StatusBlocked || r.View.Error.Code != approval.CodeUnknownTool || r.Permit != nil || r.View.Result != nil {
			t.Errorf("%+v, %v", r, err)
		}
	}
	t.Run("of Pawl's worker", func(t *testing.T) {
		b := setup(t)
		claim(b, b.call(), "pawl-tools-mine")
	})
	t.Run("of other workers", func(t *testing.T) {
		b := setup(t)
		if _, err := b.publish("a", spec("mail")); err != nil {
			t.Fatal(err)
		}
		claim(b, approval.Call{Tool: "mail", Args: json.RawMessage(`{"to":"x"}`)}, "pawl-tools-mine")
	})
	t.Run("of nobody any more", func(t *testing.T) {
		b := setup(t)
		if _, err := b.publish("a", spec("mail")); err != nil {
			t.Fatal(err)
		}
		call := approval.Call{Tool: "mail", Args: json.RawMessage(`{"to":"x"}`)}
		b.admitCall("c1", call)
		if _, err := b.store.ForgetTools(t.Context(), "mail"); err != nil {
			t.Fatal(err)
		}
		claim(b, call, "pawl-tools-a")
	})
}

// What was refused is on record, also if somebody wrote another batch under the same number before.
func TestRefusalsAreNotHidden(t *testing.T) {
	b := setup(t)
	b.admit()
	refuse := func(refusals ...activities.Refusal) {
		t.Helper()
		if _, err := b.ExecuteActivity(b.acts.Refuse, activities.RefuseInput{ID: "c1", Run: "r1", Batch: 1, Refusals: refusals, At: time.Now().UTC()}); err != nil {
			t.Fatal(err)
		}
	}
	forged := activities.Refusal{Answer: approval.Answer{DecisionID: "forged", Outcome: approval.AnswerForbidden}, Signal: approval.SignalApprove}
	refuse()
	refuse(forged)
	refuse(forged) // an attempt after its answer was lost
	page, err := b.store.Entries(t.Context(), store.EntryQuery{Subject: "c1", Kind: audit.KindRefused})
	if err != nil || len(page.Items) != 2 || !strings.Contains(string(page.Items[1].Payload), "forged") {
		t.Errorf("%+v, %v", page.Items, err)
	}
}
