package workflows_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
)

const (
	sendOne    = "rules: [{tool: send, require_approval: true, timeout: 60s, redact_fields: [secret]}]"
	sendTwo    = "rules: [{tool: send, approvals: [{count: 2}], timeout: 60s, redact_fields: [secret]}]"
	sendSigned = "rules: [{tool: send, decisions: signed, timeout: 60s, redact_fields: [secret]}]"
	sendNever  = "rules: [{tool: send, deny: true}]"
)

func (h *harness) apply(text string) {
	h.t.Helper()
	ctx := context.Background()
	v, err := active.Version(ctx, h.store)
	if err == nil {
		_, err = active.Apply(ctx, h.store, active.Change{
			Files: []policy.File{{Name: "p.yaml", Data: []byte(text)}}, Expect: v.Version, By: "ana", Channel: "cli",
		})
	}
	if err != nil {
		h.t.Error(err)
	}
}

// following is a harness whose policy is the store's, at first sendOne.
func following(t *testing.T) *harness { return followingFrom(t, sendOne) }

func followingFrom(t *testing.T, text string) *harness {
	t.Helper()
	h := setup(t)
	h.apply(text)
	p, err := active.Follow(t.Context(), active.Options{Store: h.store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	h.acts.Policy = p
	return h
}

// meanwhile is a store that lets something happen once, when a call is tightened or claimed.
type meanwhile struct {
	store.Store
	happens         sync.Once
	tighten, before func()
}

func (m *meanwhile) Tighten(ctx context.Context, p store.TightenParams) (store.Record, error) {
	if m.tighten != nil {
		m.happens.Do(m.tighten)
	}
	return m.Store.Tighten(ctx, p)
}

func (m *meanwhile) Claim(ctx context.Context, p store.ClaimParams) (store.Record, error) {
	if m.before != nil {
		m.happens.Do(m.before)
	}
	return m.Store.Claim(ctx, p)
}

// permitted is a store that lets something happen when a permit was taken.
type permitted struct {
	store.Store
	then func()
}

func (p *permitted) Admit(ctx context.Context, a store.AdmitParams) (store.Record, bool, error) {
	r, fresh, err := p.Store.Admit(ctx, a)
	if r.Permit != nil {
		p.then()
	}
	return r, fresh, err
}

func (p *permitted) Claim(ctx context.Context, c store.ClaimParams) (store.Record, error) {
	r, err := p.Store.Claim(ctx, c)
	p.then()
	return r, err
}

func TestTightenedCallsWaitOn(t *testing.T) {
	h := following(t)
	h.after(time.Second, func() { h.apply(sendTwo); h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann")) })
	h.after(2*time.Second, func() {
		h.answered("d1", approval.AnswerRecorded)
		s := h.state()
		if v := s.View; s.Judging || v.Status != approval.StatusPending || v.Decision != nil || len(v.Votes) != 1 || v.Requirement.Approvals[0].Count != 2 {
			t.Errorf("judging %v, %+v", s.Judging, v)
		}
		if votes := h.votesOnRecord(); votes != "d1" {
			t.Errorf("on record are %q", votes)
		}
		h.SignalWorkflow(approval.SignalApprove, signal("d2", "ann")) // again the same person
	})
	h.after(3*time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("d3", "bob")) })
	h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
	h.answered("d3", approval.AnswerResolved)
	equal(t, h.kinds("call-1"), []audit.Kind{
		audit.KindRequested, audit.KindTightened, audit.KindDecided, audit.KindDecided, audit.KindClaimed, audit.KindStarted, audit.KindEnded,
	})
}

// What the votes still meet is claimed at once.
func TestTightenedButMet(t *testing.T) {
	h := following(t)
	h.apply(sendTwo)
	if err := h.acts.Policy.(*active.Policy).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.after(time.Second, func() {
		h.apply("rules: [{tool: send, approvals: [{count: 2}], timeout: 60s}]\ndeny: [other]")
		h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann"))
		h.SignalWorkflow(approval.SignalApprove, signal("d2", "bob"))
	})
	h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
	h.answered("d1", approval.AnswerRecorded)
	h.answered("d2", approval.AnswerResolved)
}

func TestPolicyChangesBeforeTheClaim(t *testing.T) {
	for name, tc := range map[string]struct {
		policy string
		status approval.Status
		code   string
		says   string // the message
		vote   approval.AnswerOutcome
	}{
		"never":   {sendNever, approval.StatusBlocked, approval.CodePolicyChanged, "forbids", approval.AnswerAlreadyResolved},
		"too few": {sendTwo, approval.StatusExpired, approval.CodeExpired, "the policy changed", approval.AnswerRecorded},
		"not signed": {
			sendSigned, approval.StatusExpired, approval.CodeExpired, "the policy changed", approval.AnswerForbidden,
		},
	} {
		for steps, ordinary := range map[string]bool{"fast path": false, "ordinary steps": true} {
			t.Run(name+", "+steps, func(t *testing.T) {
				h := following(t)
				h.acts.Ordinary = ordinary
				h.after(time.Second, func() { h.apply(tc.policy); h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann")) })
				out := h.call(sendDoc)
				h.want(out, tc.status, tc.code, 0)
				h.answered("d1", tc.vote)
				if !strings.Contains(out.Error.Message, tc.says) {
					t.Errorf("it says %q", out.Error.Message)
				}
			})
		}
	}
}

// Decisions that come while the call is judged again are judged after it: a rejection and a
// withdrawal win unless the permit was taken.
func TestDecisionsDuringTheClaim(t *testing.T) {
	reject := func(h *harness) { h.SignalWorkflow(approval.SignalReject, signal("d2", "bob")) }
	withdraw := func(h *harness) {
		h.SignalWorkflow(approval.SignalCancel, approval.CancelSignal{DecisionID: "d2", By: "agent"})
	}
	approve := func(h *harness) { h.SignalWorkflow(approval.SignalApprove, signal("d2", "bob")) }
	for name, tc := range map[string]struct {
		comes  func(*harness)
		policy string // empty: the permit is taken
		status approval.Status
		code   string
		answer approval.AnswerOutcome
	}{
		"rejected":               {reject, sendTwo, approval.StatusRejected, approval.CodeRejected, approval.AnswerResolved},
		"withdrawn":              {withdraw, sendTwo, approval.StatusCancelled, approval.CodeCancelled, approval.AnswerResolved},
		"approved":               {approve, sendTwo, approval.StatusExecuted, "", approval.AnswerResolved},
		"rejected, but claimed":  {reject, "", approval.StatusExecuted, "", approval.AnswerAlreadyResolved},
		"withdrawn, but claimed": {withdraw, "", approval.StatusExecuted, "", approval.AnswerAlreadyResolved},
		"approved, but claimed":  {approve, "", approval.StatusExecuted, "", approval.AnswerAlreadyResolved},
	} {
		t.Run(name, func(t *testing.T) {
			h := following(t)
			during := &meanwhile{Store: h.store}
			if tc.policy == "" {
				during.before = func() { tc.comes(h) }
			} else {
				during.tighten = func() { tc.comes(h) }
			}
			h.acts.Store = during
			h.after(time.Second, func() {
				if tc.policy != "" {
					h.apply(tc.policy)
				}
				h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann"))
			})
			runs := int32(0)
			if tc.status == approval.StatusExecuted {
				runs = 1
			}
			h.want(h.call(sendDoc), tc.status, tc.code, runs)
			h.answered("d2", tc.answer)
		})
	}
}

// Until the claim has returned, the vote that would settle a call is neither answered nor shown: who
// finds it among the votes would take it for one of several.
func TestNoAnswerBeforeTheClaim(t *testing.T) {
	h := following(t)
	asked := false
	h.acts.Store = &meanwhile{Store: h.store, before: func() {
		asked = true
		s := h.state()
		_, answered := s.Find("d1")
		if !s.Judging || answered || len(s.View.Votes) > 0 || s.View.Status != approval.StatusPending || s.View.Decision != nil {
			t.Errorf("judging %v, answered %v, %+v", s.Judging, answered, s.View)
		}
	}}
	h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann")) })
	h.want(h.call(sendDoc), approval.StatusExecuted, "", 1)
	if v := h.state().View; !asked || len(v.Votes) != 1 {
		t.Errorf("asked %v, %+v", asked, v.Votes)
	}
	h.answered("d1", approval.AnswerResolved)
}

// Another policy is applied when the permit is taken already.
func TestPolicyChangesBeforeTheTool(t *testing.T) {
	const readDoc = `{"tool":"read","args":{"to":"x"}}`
	for name, doc := range map[string]string{
		"approved": sendDoc, "allowed": readDoc, "approved, ordinary": sendDoc, "allowed, ordinary": readDoc,
	} {
		h := following(t)
		h.acts.Ordinary = strings.HasSuffix(name, "ordinary")
		h.apply(sendOne + "\nallow: [read]")
		if err := h.acts.Policy.(*active.Policy).Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.acts.Store = &permitted{Store: h.store, then: func() { h.apply("deny: ['*']") }}
		h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann")) })
		h.want(h.call(doc), approval.StatusBlocked, approval.CodePolicyChanged, 0)
		if r, err := h.store.Call(t.Context(), "call-1"); err != nil || r.Permit == nil || !r.Permit.Void {
			t.Errorf("%s: the permit is %+v, %v", name, r.Permit, err)
		}
	}
}

// A rejection that the API put on record while the call was about to be claimed wins, whether or not
// its signal ever comes.
func TestRejectionsOnRecord(t *testing.T) {
	for name, tc := range map[string]struct {
		comes  string // who sends a rejection while the call is claimed; empty: nobody
		answer approval.AnswerOutcome
	}{
		"its signal is lost": {"", ""},
		"its signal comes":   {"bob", approval.AnswerResolved},
		"another one's does": {"eve", approval.AnswerInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			h := following(t)
			h.acts.Store = &meanwhile{Store: h.store, before: func() {
				at := time.Now().UTC().Truncate(time.Microsecond)
				e, err := audit.New("call-1", "sent/d2", at, audit.Sent{DecisionID: "d2", Reviewer: "bob", Channel: "api", Digest: "d", At: at})
				if err == nil {
					err = h.store.Append(t.Context(), e)
				}
				if err != nil {
					t.Error(err)
				}
				if tc.comes != "" {
					h.SignalWorkflow(approval.SignalReject, signal("d2", tc.comes))
				}
			}}
			h.after(time.Second, func() { h.SignalWorkflow(approval.SignalApprove, signal("d1", "ann")) })
			out := h.call(sendDoc)
			h.want(out, approval.StatusRejected, approval.CodeRejected, 0)
			v := h.state().View
			if len(v.Votes) != 2 || v.Votes[0].ID != "d1" || v.Votes[1].ID != "d2" || v.Votes[1].Kind != approval.Reject {
				t.Errorf("the votes are %+v", v.Votes)
			}
			if out.Decision.By != "bob" || out.Error.Message != "bob rejected the call" {
				t.Errorf("%+v, %+v", out.Decision, out.Error)
			}
			h.answered("d1", approval.AnswerAlreadyResolved)
			if tc.comes != "" {
				h.answered("d2", tc.answer)
			}
		})
	}
}
