package workflows_test

import (
	"context"
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
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
)

const storeID = "store-1"

const signedDoc = `{"tool":"sign","args":{"to":"ann","secret":"hunter2"},"requester":"agent:billing","owner":"olga"}`

func newKey(t testing.TB) sign.Key {
	t.Helper()
	k, err := sign.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// trust makes a key one of the store's.
func (h *harness) trust(k sign.Key) {
	h.t.Helper()
	if _, _, err := h.store.AddKey(context.Background(), store.NewKey{SigningKey: store.SigningKey{ID: k.ID(), Public: k.Public(), CreatedAt: time.Now()}}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) endKey(k sign.Key, revoke bool, at time.Time) {
	h.t.Helper()
	if _, _, err := h.store.EndKey(context.Background(), store.EndKeyParams{ID: k.ID(), Revoke: revoke, At: at}); err != nil {
		h.t.Fatal(err)
	}
}

// signed is a decision about the running call as the API would send it.
func (h *harness) signed(k sign.Key, kind approval.DecisionKind, id, reviewer string, change ...func(*approval.Decision, *string, *string)) approval.DecisionSignal {
	h.t.Helper()
	d := approval.Decision{
		ID: id, Kind: kind, Reviewer: reviewer, Channel: "api", Groups: []string{"staff"}, Method: "token", Notes: "fine, hunter2", At: h.Now().UTC(),
	}
	callID, digest := "call-1", h.state().Digest
	for _, f := range change {
		f(&d, &callID, &digest)
	}
	d, err := sign.Sign(k, d, storeID, callID, digest)
	if err != nil {
		h.t.Fatal(err)
	}
	return approval.DecisionSignal{
		DecisionID: d.ID, Reviewer: d.Reviewer, Channel: d.Channel, Notes: d.Notes, Digest: h.state().Digest,
		Groups: d.Groups, Method: d.Method, Envelope: d.Envelope, NotesSalt: d.NotesSalt,
	}
}

func TestOnlySignedDecisionsCount(t *testing.T) {
	h := setup(t)
	trusted, other := newKey(t), newKey(t)
	h.trust(trusted)
	h.OnActivity(h.acts.AnswerTimes, mock.Anything, mock.Anything).Return(
		func(context.Context, activities.AnswersInput) (activities.Answers, error) {
			return activities.Answers{InTime: map[string][]time.Time{approval.SignalApprove: slices.Repeat([]time.Time{h.Now()}, 20)}}, nil
		})
	h.after(time.Second, func() {
		forged := h.signed(other, approval.Approve, "forged", "ana")
		claims := strings.Replace(string(forged.Envelope), other.ID(), trusted.ID(), 1)
		renamed := forged
		renamed.DecisionID, renamed.Envelope = "renamed", json.RawMessage(claims)
		altered := h.signed(trusted, approval.Approve, "altered", "ana")
		altered.Reviewer = "ben"
		relabelled := h.signed(trusted, approval.Approve, "fresh", "ana")
		relabelled.DecisionID = "relabelled"
		huge := h.signed(trusted, approval.Approve, "huge", "ana")
		huge.Envelope = json.RawMessage(`"` + strings.Repeat("x", sign.MaxEnvelope) + `"`)
		list := h.signed(trusted, approval.Approve, "list", "ana")
		list.Envelope = json.RawMessage(`[]`)
		for _, s := range []any{
			nil,
			signal("unsigned", "ana"),
			map[string]any{"decision_id": "says so", "reviewer": "ana", "authenticated": true},
			approval.DecisionSignal{DecisionID: "claims", Reviewer: "ana", Channel: "api", Groups: []string{"staff"}, Method: "token"},
			forged, renamed, altered, relabelled, huge, list,
			h.signed(trusted, approval.Approve, "another call", "ana", func(_ *approval.Decision, id, _ *string) { *id = "call-2" }),
			h.signed(trusted, approval.Approve, "another digest", "ana", func(_ *approval.Decision, _, digest *string) { *digest = "d2" }),
			h.signed(trusted, approval.Reject, "turned", "ana"),
			h.signed(trusted, approval.Approve, "own", "Olga"),
			h.signed(trusted, approval.Approve, "expired", "ana", func(d *approval.Decision, _, _ *string) { d.At = d.At.Add(-sign.Life - time.Minute) }),
			h.signed(trusted, approval.Approve, "ahead", "ana", func(d *approval.Decision, _, _ *string) { d.At = d.At.Add(sign.Life + time.Minute) }),
		} {
			h.SignalWorkflow(approval.SignalApprove, s)
		}
		h.SignalWorkflow(approval.SignalReject, signal("unsigned no", "ana"))
		h.SignalWorkflow(approval.SignalReject, nil)
	})
	h.after(2*time.Second, func() {
		forbidden, invalid := approval.AnswerForbidden, approval.AnswerInvalid
		for id, want := range map[string]approval.AnswerOutcome{
			"approve-1": forbidden, "unsigned": forbidden, "approve-3": invalid, "claims": forbidden, "forged": forbidden, "renamed": forbidden,
			"altered": forbidden, "relabelled": forbidden, "huge": invalid, "list": invalid, "another call": forbidden,
			"another digest": forbidden, "turned": forbidden, "own": forbidden, "expired": forbidden, "ahead": forbidden, "unsigned no": forbidden, "reject-2": forbidden,
		} {
			h.answered(id, want)
		}
		for _, a := range h.state().Answers {
			if a.Message == "" {
				t.Errorf("%s is refused without a reason", a.DecisionID)
			}
		}
		if s := h.state(); s.Status != approval.StatusPending || len(s.Votes) != 0 || s.Requirement.Decisions != approval.DecisionsSigned {
			t.Errorf("%+v", s.View)
		}
		h.SignalWorkflow(approval.SignalApprove, h.signed(trusted, approval.Approve, "good", "ana"))
	})
	out := h.call(signedDoc)
	h.want(out, approval.StatusExecuted, "", 1)
	if !out.Decision.Authenticated || out.Decision.By != "ana" || strings.Contains(out.Decision.Notes, "hunter2") {
		t.Errorf("%+v", out.Decision)
	}

	record, err := h.store.Call(t.Context(), "call-1")
	if err != nil {
		t.Fatal(err)
	}
	v := record.View.Votes
	if len(v) != 1 || !v[0].Authenticated || v[0].Groups[0] != "staff" || v[0].Envelope != nil || v[0].NotesSalt != "" || !record.View.Decision.Authenticated {
		t.Errorf("%+v", record.View)
	}
	var evidence []json.RawMessage
	if err := json.Unmarshal([]byte(record.Permit.Evidence), &evidence); err != nil || len(evidence) != 1 {
		t.Fatalf("the claim rests on %q, %v", record.Permit.Evidence, err)
	}
	h.kinds("call-1") // nothing hidden shows
	decided := h.entries(audit.KindDecided)[0]
	var kept struct {
		Decision approval.Decision `json:"decision"`
	}
	if err := json.Unmarshal(decided.Payload, &kept); err != nil || kept.Decision.NotesSalt != "" {
		t.Fatalf("%s, %v", decided.Payload, err)
	}
	keys := []sign.PublicKey{{ID: trusted.ID(), Store: storeID, Public: trusted.Public()}}
	if s, err := sign.VerifyKept(kept.Decision.Envelope, "call-1", record.View.Digest, keys); err != nil || s.Reviewer != "ana" {
		t.Errorf("an auditor finds %+v, %v", s, err)
	}
	refused := 0
	for _, e := range h.entries(audit.KindRefused) {
		refused += strings.Count(string(e.Payload), `"outcome":`)
	}
	if refused != 18 {
		t.Errorf("%d refusals are on record", refused)
	}
}

func (h *harness) entries(kind audit.Kind) []audit.Entry {
	h.t.Helper()
	page, err := h.store.Entries(context.Background(), store.EntryQuery{Subject: "call-1", Kind: kind})
	if err != nil || len(page.Items) == 0 {
		h.t.Fatalf("no entry of the kind %s, %v", kind, err)
	}
	return page.Items
}

func TestSignedRejection(t *testing.T) {
	h := setup(t)
	k := newKey(t)
	h.trust(k)
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalReject, h.signed(k, approval.Reject, "no", "olga")) })
	out := h.call(signedDoc)
	h.want(out, approval.StatusRejected, approval.CodeRejected, 0)
	if !out.Decision.Authenticated || strings.Contains(out.Error.Message+out.Decision.Notes, "hunter2") {
		t.Errorf("%+v %+v", out.Error, out.Decision)
	}
	record, err := h.store.Call(t.Context(), "call-1")
	if err != nil || !record.View.Decision.Authenticated || record.View.Votes[0].Envelope != nil {
		t.Errorf("%+v, %v", record.View, err)
	}
	if !strings.Contains(string(h.entries(audit.KindDecided)[0].Payload), `"payloadType"`) {
		t.Error("the entry does not hold the envelope")
	}
}

// A withdrawal can only deny, and whoever may send the signal may end the workflow altogether.
func TestWithdrawalsNeedNoSignature(t *testing.T) {
	h := setup(t)
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{By: "ana"}) })
	out := h.call(signedDoc)
	h.want(out, approval.StatusCancelled, approval.CodeCancelled, 0)
	if out.Decision.Authenticated {
		t.Errorf("%+v", out.Decision)
	}
}

// A key that is replaced while calls wait strands none of them.
func TestKeyAddedAfterTheCall(t *testing.T) {
	h := setup(t)
	old, fresh := newKey(t), newKey(t)
	h.trust(old)
	h.after(time.Second, func() {
		h.trust(fresh)
		h.endKey(old, false, time.Now())
		h.SignalWorkflow(approval.SignalApprove, h.signed(newKey(t), approval.Approve, "forged", "ana"))
		h.SignalWorkflow(approval.SignalApprove, h.signed(fresh, approval.Approve, "d1", "ana"))
	})
	out := h.call(signedDoc)
	h.want(out, approval.StatusExecuted, "", 1)
	h.answered("forged", approval.AnswerForbidden)
	h.answered("d1", approval.AnswerResolved)
}

func TestKeyRevokedAfterTheCall(t *testing.T) {
	h := setup(t)
	k := newKey(t)
	h.trust(k)
	h.after(time.Second, func() {
		h.endKey(k, true, time.Now())
		h.SignalWorkflow(approval.SignalApprove, h.signed(k, approval.Approve, "d1", "ana"))
	})
	out := h.call(signedDoc)
	h.want(out, approval.StatusBlocked, approval.CodeUntrusted, 0)
	record, err := h.store.Call(t.Context(), "call-1")
	if err != nil || record.Permit != nil || record.View.Votes[0].Authenticated {
		t.Errorf("%+v, %v", record, err)
	}
}

// The executor looks again: between claim and tool a worker may have been away.
func TestKeyRevokedAfterTheClaim(t *testing.T) {
	h := setup(t)
	k := newKey(t)
	h.trust(k)
	h.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		if info.ActivityType.Name == "Execute" {
			h.endKey(k, true, time.Now())
		}
	})
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, h.signed(k, approval.Approve, "d1", "ana")) })
	out := h.call(signedDoc)
	h.want(out, approval.StatusBlocked, approval.CodeUntrusted, 0)
	record, err := h.store.Call(t.Context(), "call-1")
	if err != nil || record.Permit == nil || !record.Permit.Void || !record.Permit.UsedAt.IsZero() {
		t.Errorf("%+v, %v", record.Permit, err)
	}
	h.entries(audit.KindNotStarted)
}

// A tool that may be run again is run again only while that holds.
func TestKeyRevokedBetweenAttempts(t *testing.T) {
	h := setup(t)
	h.acts.Decisions = approval.DecisionsSigned
	k := newKey(t)
	h.trust(k)
	starts := 0
	h.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		if info.ActivityType.Name == "Execute" {
			if starts++; starts == 2 {
				h.endKey(k, true, time.Now())
			}
		}
	})
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, h.signed(k, approval.Approve, "d1", "ana")) })
	h.want(h.call(`{"tool":"retry","args":{"to":"x"}}`), approval.StatusOutcomeUnknown, approval.CodeUnknown, 1)
}

func TestGroupsCountSignedDecisionsOnly(t *testing.T) {
	h := setup(t)
	k := newKey(t)
	h.trust(k)
	in := func(groups ...string) func(*approval.Decision, *string, *string) {
		return func(d *approval.Decision, _, _ *string) { d.Groups = groups }
	}
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalApprove, approval.DecisionSignal{DecisionID: "raw", Reviewer: "ana", Channel: "api", Groups: []string{"finance", "security"}, Method: "token"})
		h.SignalWorkflow(approval.SignalApprove, h.signed(k, approval.Approve, "no member", "ben", in("staff")))
		h.SignalWorkflow(approval.SignalApprove, h.signed(k, approval.Approve, "one", "ana", in("finance")))
		h.SignalWorkflow(approval.SignalApprove, h.signed(k, approval.Approve, "same", "cy", in("finance")))
	})
	h.after(2*time.Second, func() {
		for id, want := range map[string]approval.AnswerOutcome{
			"raw": approval.AnswerForbidden, "no member": approval.AnswerForbidden, "one": approval.AnswerRecorded, "same": approval.AnswerRecorded,
		} {
			h.answered(id, want)
		}
		h.SignalWorkflow(approval.SignalApprove, h.signed(k, approval.Approve, "two", "dora", in("security")))
	})
	h.want(h.call(`{"tool":"teams","args":{"to":"x"}}`), approval.StatusExecuted, "", 1)
	if v := h.state().Votes; len(v) != 3 {
		t.Errorf("%+v", v)
	}
}

// Where any decision counts, one that carries an envelope is what the envelope says, or nothing.
func TestEnvelopesWhereAnyDecisionCounts(t *testing.T) {
	h := setup(t)
	k := newKey(t)
	h.trust(k)
	h.after(time.Second, func() {
		h.SignalWorkflow(approval.SignalApprove, h.signed(newKey(t), approval.Approve, "forged", "ana"))
	})
	h.after(2*time.Second, func() {
		h.answered("forged", approval.AnswerForbidden)
		h.SignalWorkflow(approval.SignalApprove, h.signed(k, approval.Approve, "good", "ana"))
	})
	out := h.call(sendDoc)
	h.want(out, approval.StatusExecuted, "", 1)
	if !out.Decision.Authenticated {
		t.Errorf("%+v", out.Decision)
	}

	h = setup(t)
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("raw", "ana")) })
	if out := h.call(sendDoc); out.Status != approval.StatusExecuted || out.Decision.Authenticated {
		t.Errorf("%+v", out)
	}
}

// The worker's setting goes for every call, whatever the policy says.
func TestEveryDecisionSigned(t *testing.T) {
	h := setup(t)
	h.acts.Decisions = approval.DecisionsSigned
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("raw", "ana")) })
	h.want(h.call(sendDoc), approval.StatusExpired, approval.CodeExpired, 0)
	h.answered("raw", approval.AnswerForbidden)
}

// Made-up keys by the hundred are asked for in few goes, and hold nobody up.
func TestFloodOfUnknownKeys(t *testing.T) {
	h := setup(t)
	k := newKey(t)
	h.trust(k)
	asked := 0
	h.SetOnLocalActivityStartedListener(func(_ *activity.Info, _ context.Context, args []any) {
		if _, keys := args[0].(activities.KeysInput); keys {
			asked++
		}
	})
	h.after(time.Second, func() {
		for i := range 500 {
			s := h.signed(k, approval.Approve, "d", "ana")
			s.DecisionID = "flood-" + strings.Repeat("x", i%100) + string(rune('a'+i/100))
			s.Envelope = json.RawMessage(strings.Replace(string(s.Envelope), k.ID(), newKey(t).ID(), 1))
			h.SignalWorkflow(approval.SignalApprove, s)
		}
	})
	h.after(3*time.Second, func() { h.SignalWorkflow(approval.SignalApprove, h.signed(k, approval.Approve, "good", "ana")) })
	h.want(h.call(signedDoc), approval.StatusExecuted, "", 1)
	if asked == 0 || asked > 101 {
		t.Errorf("keys were asked for %d times", asked)
	}
}
