package api

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
)

// begin is the first page of a workflow's history.
func (f *fakeTemporal) begin(id string) (proto.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begins++
	w := f.workflows[id]
	if w == nil || w.input == nil {
		return nil, serviceerror.NewNotFound("workflow not found for ID")
	}
	event := &historypb.HistoryEvent{
		EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
		Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
				WorkflowType: &commonpb.WorkflowType{Name: w.typ}, Input: w.input, FirstExecutionRunId: w.run,
			},
		},
	}
	return &workflowservice.GetWorkflowExecutionHistoryResponse{History: &historypb.History{Events: []*historypb.HistoryEvent{event}}}, nil
}

// What an API says of a call that one person was to approve, after other policies were applied.
func TestPolicyNow(t *testing.T) {
	const (
		id    = "pawl-1"
		first = "rules: [{tool: refund, require_approval: true}]"
	)
	call := approval.Call{Tool: "refund", Args: raw(`{"amount":120,"card":"4111"}`), Nonce: approval.NewNonce()}
	digest, err := call.Digest(id)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		policy string
		setup  func(*world, *fakeWorkflow)
		effect rest.PolicyEffect // empty: nothing is said
		says   string            // in the reason, or else in a problem
		offers string            // what approving does, to a reviewer
	}{
		"denied":              {"deny: [refund]", nil, rest.EffectBlocked, "forbids this call", "ends as blocked"},
		"denied by an amount": {"deny: [{capability: refund, amount_gt: 100}]", nil, rest.EffectBlocked, "forbids this call", "ends as blocked"},
		"denied by what is hidden": {"redact_fields: [card]\ndeny: [{capability: refund, contains: '4111'}]", nil,
			rest.EffectBlocked, "forbids this call", "ends as blocked"},
		"more people":  {"rules: [{tool: refund, approvals: 3}]", nil, rest.EffectWaits, "approvals: 1 → 3", "1 of 3"},
		"allowed":      {"allow: [refund]", nil, rest.EffectNone, "without asking", "the last approval"},
		"the same":     {"rules: [{tool: refund, approvals: 1}]", nil, "", "", "the last approval"},
		"fewer people": {"rules: [{tool: refund, timeout: 1h}]", nil, "", "", "the last approval"},
		"of an other":  {"deny: [{capability: refund, amount_gt: 1000}]", nil, "", "", "the last approval"},
		"since a time": {"rules: [{tool: refund, when: 'now > timestamp(\"2020-01-01T00:00:00Z\")', deny: true}]", nil, rest.EffectBlocked, "forbids", "ends as blocked"},
		"its approval": {"deny: [refund]", func(_ *world, f *fakeWorkflow) { f.state.Status = approval.StatusApproved }, rest.EffectBlocked, "forbids", ""},
		"its permit": {"deny: [refund]", func(w *world, f *fakeWorkflow) {
			f.state.Status = approval.StatusApproved
			w.permit(id)
		}, rest.EffectBlocked, "if it is started now", ""},
		"a permit is final": {"rules: [{tool: refund, approvals: 3}]", func(w *world, f *fakeWorkflow) {
			f.state.Status = approval.StatusApproved
			w.permit(id)
		}, "", "", ""},
		"its tool runs": {"deny: [refund]", func(_ *world, f *fakeWorkflow) { f.state.Status = approval.StatusExecuting }, "", "", ""},
		"other arguments": {"deny: [refund]", func(_ *world, f *fakeWorkflow) {
			other := call
			other.Args = raw(`{"amount":1}`)
			f.input = payloads(other)
		}, "", "other arguments than those that are on record", "the last approval"},
		"what nobody can read": {"deny: [refund]", func(_ *world, f *fakeWorkflow) { f.input = payloads("no call") }, "",
			"can't be read: does this process have the keyring", "the last approval"},
		"without the keyring": {"deny: [refund]", func(_ *world, f *fakeWorkflow) {
			f.input.Payloads[0].Metadata["encoding"] = []byte(codec.Encoding)
		}, "", "can't be read: does this process have the keyring", "the last approval"},
		"no history": {"deny: [refund]", func(_ *world, f *fakeWorkflow) { f.input = nil }, "", "", "the last approval"},
		"a policy that can't be used": {"deny: [refund]", func(w *world, _ *fakeWorkflow) {
			w.store.applied[len(w.store.applied)-1].Set.Layers[0].Text = "later: 1"
		}, "", "can't be used by this version of Pawl", "the last approval"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f := w.request(id)
			r := w.store.records[id]
			r.View.Digest, f.state.Digest, f.input = digest, digest, payloads(call)
			set, err := policy.Compile(policy.File{Name: "org.yaml", Data: []byte(first)})
			if err != nil {
				t.Fatal(err)
			}
			r.Verdict = set.Evaluate(call, testTime)
			w.store.put(r)
			w.put(policyBody(t, first, `,"expect":0`))
			if doc := expect(t, w.get("/api/requests/"+id), 200, ""); doc["policy_now"] != nil || w.temporal.begins != 0 {
				t.Errorf("under the policy that let it wait: %v, %d histories read", doc["policy_now"], w.temporal.begins)
			}
			w.put(policyBody(t, c.policy, `,"expect":1`))
			if c.setup != nil {
				c.setup(w, f)
			}
			rec := w.get("/api/requests/" + id)
			doc := expect(t, rec, 200, "")
			if strings.Contains(rec.Body.String(), "4111") {
				t.Errorf("a raw value: %s", rec.Body)
			}
			now, _ := doc["policy_now"].(map[string]any)
			effect, _ := now["effect"].(string)
			reason, _ := now["reason"].(string)
			if effect != string(c.effect) || effect != "" && (!strings.Contains(reason, c.says) || now["version"] != 2.0) {
				t.Errorf("%v, want %s with %q", now, c.effect, c.says)
			}
			if problem := policyProblem(doc); c.effect == "" && (c.says == "") != (problem == "") || !strings.Contains(reason+problem, c.says) {
				t.Errorf("the problem %q, want one with %q", problem, c.says)
			}
			if offer, _ := doc["you"].(map[string]any)["if_approve"].(string); !strings.Contains(offer, c.offers) || (offer == "") != (c.offers == "") {
				t.Errorf("approving does %q, want %q", offer, c.offers)
			}
		})
	}
}

// permit gives a call its permit, which nobody has used.
func (w *world) permit(id string) {
	r := w.store.records[id]
	r.Permit = &store.Permit{Run: "run-1"}
	w.store.put(r)
}

// policyProblem is what the answer says about the policy among what is in the call's way.
func policyProblem(doc map[string]any) string {
	waiting, _ := doc["waiting"].(map[string]any)
	problems, _ := waiting["problems"].([]any)
	for _, p := range problems {
		if p := p.(map[string]any); p["code"] == rest.ObstaclePolicy {
			return p["message"].(string)
		}
	}
	return ""
}

// A reviewer sees in what the active policy differs about a call, and which of that counts for it.
func TestPolicyNowCompares(t *testing.T) {
	asks := func(text string) approval.Verdict {
		t.Helper()
		set, err := policy.Compile(policy.File{Name: "org.yaml", Data: []byte("redact_fields: [card]\nrules:\n  - " + text)})
		if err != nil {
			t.Fatal(err)
		}
		return set.Evaluate(approval.Call{Tool: "refund", Args: raw(`{"card":"4111"}`)}, testTime)
	}
	const less = " ⟦asks for less: this call keeps what it took⟧"
	for _, c := range []struct{ was, now, want string }{
		{"{tool: refund, approvals: 1}", "{tool: refund, deny: true}", "verdict: needs approval → denied"},
		{"{tool: refund, approvals: 1}", "{tool: refund, auto_approve: true}", "verdict: needs approval → runs without asking"},
		{"{tool: refund, approvals: 1}", "{tool: 'ref*', approvals: 3}",
			"rule: org.yaml:3 tool refund → org.yaml:3 tool ref*; approvals: 1 → 3"},
		{"{tool: refund, approvals: 1, deny_count: 2, risk_level: low}",
			"{tool: refund, approvals: 2, require_reason: true, risk_level: high, deny_count: 3}",
			"risk: low → high ⟦of new calls; this one keeps its own⟧; approvals: 1 → 2; deny count: 2 → 3" + less +
				"; require reason: false → true"},
		{"{tool: refund, approvals: 1}", "{tool: refund, approvals: [{group: sre, count: 1}]}", "approvals by sre: 0 → 1"},
		{"{tool: refund, approvals: [{group: sre, count: 1}]}", "{tool: refund, approvals: [{group: finance, count: 2}]}",
			"approvals: 1 → 2; approvals by finance: 0 → 2; approvals by sre: 1 → 0" + less},
	} {
		was := asks(c.was)
		r := store.Record{View: approval.View{Requirement: was.Requirement}, Verdict: was}
		now := compared(approval.Call{Tool: "refund", Args: raw(`{"card":"4111"}`)}, r, asks(c.now),
			store.PolicyVersion{Version: 2, At: testTime})
		if now == nil || len(now.Compare) != 1 || !now.At.Equal(testTime) {
			t.Errorf("%s → %s: %+v", c.was, c.now, now)
			continue
		}
		var got []string
		for _, row := range now.Compare[0].Rows {
			text := present.Plain(row.Name) + ": " + present.Plain(row.Was[0].Spans) + " → " + present.Plain(row.Value[0].Spans)
			if row.Note != nil {
				text += " " + present.Plain(row.Note)
			}
			got = append(got, text)
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s → %s:\n%s\nwant\n%s", c.was, c.now, text, c.want)
		}
	}
}
