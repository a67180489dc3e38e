package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	pawlclient "github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// What somebody tries who may read and write everything in Temporal, where only signed decisions
// count. Nothing of it may run a tool, and each try is on record where Pawl saw it. The other half
// is in attack_workflow_test.go.

func TestAttackBySignal(t *testing.T) {
	b := newBesieged(t)
	stranger, err := sign.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	// An approval that rita made, of another call, is there for all to read.
	other := b.asks("send")
	b.mustApprove(b.rita, other)
	b.until("the other call has run", func() bool { return b.runs(other.ID) == 1 })
	captured := b.signalled(other.ID, approval.SignalApprove)[0]
	if len(captured.Envelope) == 0 {
		t.Fatal("the API signs nothing")
	}
	const forbidden, invalid = approval.AnswerForbidden, approval.AnswerInvalid
	type change = func(d *approval.Decision, callID, digest *string)
	for name, tc := range map[string]struct {
		signal  string
		payload func(v approval.View) any
		want    approval.AnswerOutcome
	}{
		"nothing":              {approval.SignalApprove, func(approval.View) any { return nil }, forbidden},
		"a name":               {approval.SignalApprove, func(approval.View) any { return approval.DecisionSignal{Reviewer: "rita"} }, forbidden},
		"an unsigned no":       {approval.SignalReject, func(approval.View) any { return approval.DecisionSignal{Reviewer: "rita"} }, forbidden},
		"says authenticated":   {approval.SignalApprove, func(approval.View) any { return map[string]any{"reviewer": "rita", "authenticated": true} }, invalid},
		"the API's own fields": {approval.SignalApprove, func(v approval.View) any { s := captured; s.Envelope, s.Digest = nil, v.Digest; return s }, forbidden},
		"replayed":             {approval.SignalApprove, func(approval.View) any { return captured }, approval.AnswerStale},
		"replayed, refitted":   {approval.SignalApprove, func(v approval.View) any { s := captured; s.Digest = v.Digest; return s }, forbidden},
		"a key of one's own":   {approval.SignalApprove, func(v approval.View) any { return b.sealed(stranger, v) }, forbidden},
		"under the API's key's name": {approval.SignalApprove, func(v approval.View) any {
			s := b.sealed(stranger, v)
			s.Envelope = json.RawMessage(strings.Replace(string(s.Envelope), stranger.ID(), b.key.ID(), 1))
			return s
		}, forbidden},
		"re-signed": {approval.SignalApprove, func(v approval.View) any {
			s := b.sealed(b.key, v)
			var e map[string]any
			if err := json.Unmarshal(s.Envelope, &e); err != nil {
				t.Fatal(err)
			}
			var mine map[string]any
			if err := json.Unmarshal(b.sealed(stranger, v).Envelope, &mine); err != nil {
				t.Fatal(err)
			}
			e["signatures"] = mine["signatures"]
			s.Envelope, _ = json.Marshal(e)
			return s
		}, forbidden},
		"a no sent as a yes": {approval.SignalApprove, func(v approval.View) any {
			return b.sealed(b.key, v, change(func(d *approval.Decision, _, _ *string) { d.Kind = approval.Reject }))
		}, forbidden},
		"other arguments": {approval.SignalApprove, func(v approval.View) any {
			return b.sealed(b.key, v, change(func(_ *approval.Decision, _, digest *string) { *digest = strings.Repeat("0", 64) }))
		}, forbidden},
		"expired": {approval.SignalApprove, func(v approval.View) any {
			return b.sealed(b.key, v, change(func(d *approval.Decision, _, _ *string) { d.At = d.At.Add(-sign.Life - time.Minute) }))
		}, forbidden},
		"by who asked": {approval.SignalApprove, func(v approval.View) any {
			return b.sealed(b.key, v, change(func(d *approval.Decision, _, _ *string) { d.Reviewer = "Olga" }))
		}, forbidden},
		"more groups": {approval.SignalApprove, func(v approval.View) any { s := b.sealed(b.key, v); s.Groups = append(s.Groups, "board"); return s }, forbidden},
		"no envelope": {approval.SignalApprove, func(v approval.View) any {
			s := b.sealed(b.key, v)
			s.Envelope = json.RawMessage(`{"payloadType":"application/vnd.pawl.decision+json","payload":"","signatures":[]}`)
			return s
		}, invalid},
		"an oversized envelope": {approval.SignalApprove, func(v approval.View) any {
			s := b.sealed(b.key, v)
			s.Envelope = json.RawMessage(`{"payload":"` + strings.Repeat("A", sign.MaxEnvelope) + `"}`)
			return s
		}, invalid},
		"an oversized signal": {approval.SignalApprove, func(v approval.View) any {
			s := b.sealed(b.key, v)
			s.Notes = strings.Repeat("x", 500_000)
			return s
		}, invalid},
		"text": {approval.SignalApprove, func(approval.View) any { return "yes" }, invalid},
	} {
		t.Run(name, func(t *testing.T) {
			v := b.asks("send")
			before := b.allRuns()
			if err := b.Client.SignalWorkflow(t.Context(), v.ID, "", tc.signal, tc.payload(v)); err != nil {
				t.Fatal(err)
			}
			b.until("the try is on record", func() bool { return b.refusals(v.ID)[tc.want] == 1 })
			if b.status(v.ID) != approval.StatusPending || b.allRuns() != before {
				t.Errorf("it is %s, and %d tools ran", b.status(v.ID), b.allRuns()-before)
			}
			shown, err := b.rita.Request(t.Context(), v.ID)
			if err != nil || len(shown.Votes) != 0 {
				t.Errorf("votes %v, %v", shown.Votes, err)
			}
			// And nobody was kept from deciding.
			b.mustApprove(b.rita, v)
			b.until("it has run", func() bool { return b.status(v.ID) == approval.StatusExecuted })
			record, err := b.Store.Call(t.Context(), v.ID)
			if err != nil || !record.View.Decision.Authenticated || record.View.Decision.By != "rita" || b.runs(v.ID) != 1 {
				t.Errorf("%+v, %d runs, %v", record.View.Decision, b.runs(v.ID), err)
			}
			b.checkEntries(v.ID)
		})
	}
}

// Going back in time brings old approvals back, but none of them twice.
func TestAttackByReset(t *testing.T) {
	b := newBesieged(t)
	t.Run("of a call that ran", func(t *testing.T) {
		v := b.asks("send")
		b.mustApprove(b.rita, v)
		b.until("it has run", func() bool { return b.status(v.ID) == approval.StatusExecuted })
		old := b.signalled(v.ID, approval.SignalApprove)[0]
		b.reset(v.ID)
		_ = b.Client.SignalWorkflow(t.Context(), v.ID, "", approval.SignalApprove, old) // the run may be over already
		b.closed(v.ID)
		if b.runs(v.ID) != 1 || b.status(v.ID) != approval.StatusExecuted {
			t.Errorf("%s after %d runs", b.status(v.ID), b.runs(v.ID))
		}
	})
	t.Run("of a call that was denied", func(t *testing.T) {
		v := b.asks("read_broken")
		b.mustApprove(b.rita, v)
		old := b.signalled(v.ID, approval.SignalApprove)[0]
		if _, err := b.ben.Decide(t.Context(), v.ID, pawlclient.Decision{Kind: approval.Reject}); err != nil {
			t.Fatal(err)
		}
		b.until("it is denied", func() bool { return b.status(v.ID) == approval.StatusRejected })
		b.reset(v.ID)
		_ = b.Client.SignalWorkflow(t.Context(), v.ID, "", approval.SignalApprove, old)
		b.closed(v.ID)
		if b.runs(v.ID) != 0 || b.status(v.ID) != approval.StatusRejected {
			t.Errorf("%s after %d runs", b.status(v.ID), b.runs(v.ID))
		}
	})
	t.Run("of a call that waits for a second approval", func(t *testing.T) {
		v := b.asks("read_broken")
		b.mustApprove(b.rita, v)
		old := b.signalled(v.ID, approval.SignalApprove)[0]
		b.reset(v.ID)
		for range 3 {
			if err := b.Client.SignalWorkflow(t.Context(), v.ID, "", approval.SignalApprove, old); err != nil {
				t.Fatal(err)
			}
		}
		renamed := old
		renamed.DecisionID = "another"
		if err := b.Client.SignalWorkflow(t.Context(), v.ID, "", approval.SignalApprove, renamed); err != nil {
			t.Fatal(err)
		}
		b.until("the renamed one is refused", func() bool { return b.refusals(v.ID)[approval.AnswerForbidden] == 1 })
		if b.runs(v.ID) != 0 || b.status(v.ID) != approval.StatusPending {
			t.Errorf("%s after %d runs", b.status(v.ID), b.runs(v.ID))
		}
		b.mustApprove(b.ben, v)
		b.until("it has run", func() bool { return b.status(v.ID) == approval.StatusExecuted })
		if b.runs(v.ID) != 1 {
			t.Errorf("%d runs", b.runs(v.ID))
		}
	})
	t.Run("a fresh workflow under its ID, with other arguments", func(t *testing.T) {
		v := b.asks("send")
		b.mustApprove(b.rita, v)
		b.until("it has run", func() bool { return b.status(v.ID) == approval.StatusExecuted })
		old := b.signalled(v.ID, approval.SignalApprove)[0]
		run, err := b.Client.SignalWithStartWorkflow(t.Context(), v.ID, approval.SignalApprove, old, client.StartWorkflowOptions{
			TaskQueue: approval.TaskQueue, WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		}, approval.WorkflowType, json.RawMessage(`{"tool":"send","args":{"to":"mallory"},"requester":"agent:billing","owner":"olga"}`))
		if err != nil {
			t.Fatal(err)
		}
		var out approval.Outcome
		if err := run.Get(t.Context(), &out); err != nil || out.Status != approval.StatusBlocked || b.runs(v.ID) != 1 {
			t.Errorf("%+v after %d runs, %v", out, b.runs(v.ID), err)
		}
	})
}

// What a group must approve is approved by who is in it at that moment.
func TestGroupsByTokens(t *testing.T) {
	b := newBesieged(t)
	v := b.asks("hasty")
	if _, err := b.approves(b.ben, v); approval.CodeOf(err) != string(approval.AnswerForbidden) {
		t.Errorf("no member: %v", err)
	}
	text, k, err := b.admin.NewToken(t.Context(), rest.TokenSpec{Subject: "cy", Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"finance"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.admin.RevokeToken(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := b.approves(b.by(text), v); err == nil {
		t.Error("a member no more approved")
	}
	if _, err := b.approves(b.person(rest.TokenSpec{Subject: "cy", Roles: []rest.Role{rest.RoleReviewer}}), v); approval.CodeOf(err) != string(approval.AnswerForbidden) {
		t.Errorf("out of the group: %v", err)
	}
	if b.allRuns() != 0 {
		t.Errorf("%d runs", b.allRuns())
	}
	b.mustApprove(b.rita, v)
	b.until("it has run", func() bool { return b.runs(v.ID) == 1 })
}
