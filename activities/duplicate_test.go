package activities_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

func collapsing() verdict {
	return verdict{
		Kind: approval.VerdictRequire, Requirement: approval.OneApproval(), Timeout: approval.DefaultTimeout,
		ValidFor: approval.DefaultValidFor, Collapse: true, Redact: []string{"card"},
	}
}

func TestIdenticalCallsCollapse(t *testing.T) {
	base := approval.Call{
		Tool: "pay", Args: json.RawMessage(`{"amount":1}`), Labels: map[string]string{"k": "v"},
		Agent: "a", Team: "t", Session: "s", Requester: "r", Owner: "o", Reason: "because", Nonce: "n1",
	}
	for name, c := range map[string]struct {
		change   func(*approval.Call)
		policy   func(*verdict)
		collapse bool
	}{
		"the same":            {nil, nil, true},
		"other words":         {func(c *approval.Call) { c.Reason, c.Title, c.Description = "please", "Pay", "it" }, nil, true},
		"other key":           {func(c *approval.Call) { c.IdempotencyKey = "k" }, nil, true},
		"other spelling":      {func(c *approval.Call) { c.Args = json.RawMessage(` {"amount": 1.0 } `) }, nil, true},
		"asks for approval":   {func(c *approval.Call) { c.RequireApproval = true }, nil, true}, // which it needs anyway
		"other arguments":     {func(c *approval.Call) { c.Args = json.RawMessage(`{"amount":2}`) }, nil, false},
		"other label":         {func(c *approval.Call) { c.Labels = map[string]string{"k": "w"} }, nil, false},
		"other agent":         {func(c *approval.Call) { c.Agent = "b" }, nil, false},
		"other team":          {func(c *approval.Call) { c.Team = "u" }, nil, false},
		"other session":       {func(c *approval.Call) { c.Session = "z" }, nil, false},
		"other requester":     {func(c *approval.Call) { c.Requester = "q" }, nil, false},
		"other owner":         {func(c *approval.Call) { c.Owner = "p" }, nil, false},
		"policy without it":   {nil, func(v *verdict) { v.Collapse = false }, false},
		"stricter policy":     {nil, func(v *verdict) { v.Requirement = &approval.Requirement{Approvals: []approval.Approvals{{Count: 2}}} }, false},
		"another policy":      {nil, func(v *verdict) { v.Policy.Digest = "d2" }, false},
		"shorter wait":        {nil, func(v *verdict) { v.Timeout = 1 }, false},
		"other risk":          {nil, func(v *verdict) { v.Risk = approval.RiskHigh }, false},
		"allowed by now":      {nil, func(v *verdict) { *v = verdict{Kind: approval.VerdictAllow, Collapse: true} }, false},
		"denied by now":       {nil, func(v *verdict) { *v = verdict{Kind: approval.VerdictDeny, Collapse: true} }, false},
		"more fields hidden":  {nil, func(v *verdict) { v.Redact = []string{"amount"} }, false},
		"bad arguments by it": {func(c *approval.Call) { c.Args = json.RawMessage(`{"amount":"1"}`) }, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.acts.Policy = collapsing()
			if a := b.admitCall("c1", base); a.View.Status != approval.StatusPending {
				t.Fatalf("%+v", a.View)
			}
			call, policy := base, collapsing()
			call.Nonce = "n2"
			if c.change != nil {
				c.change(&call)
			}
			if c.policy != nil {
				c.policy(&policy)
			}
			b.acts.Policy = policy
			a := b.admitCall("c2", call)
			if got := a.View.Error != nil && a.View.Error.Code == approval.CodeDuplicate; got != c.collapse {
				t.Fatalf("collapsed: %v; %+v", got, a.View)
			}
			if !c.collapse {
				return
			}
			o := a.View.Outcome()
			if o.Status != approval.StatusBlocked || o.DuplicateOf != "c1" || !strings.Contains(o.Error.Message, "c1") || o.ID != "c2" ||
				a.Claimed || a.View.Deadline != nil || a.View.Requirement != nil {
				t.Errorf("%+v", a)
			}
			again := b.admitCall("c2", call)
			if again.View.DuplicateOf != "c1" || !again.View.EndedAt.Equal(*a.View.EndedAt) {
				t.Errorf("a repeat: %+v", again.View)
			}
			page, err := b.store.Entries(t.Context(), store.EntryQuery{Subject: "c2"})
			if err != nil || len(page.Items) != 1 || page.Items[0].Kind != audit.KindBlocked || !strings.Contains(string(page.Items[0].Payload), `"same_as":"c1"`) {
				t.Errorf("on record: %+v, %v", page.Items, err)
			}
			requests, err := b.store.Calls(t.Context(), store.CallQuery{Requests: true})
			if err != nil || len(requests.Items) != 1 {
				t.Errorf("reviewers see %d requests, %v", len(requests.Items), err)
			}
		})
	}
}

// A call with something hidden is never compared: nothing may be kept by which it could be guessed.
// Nor is one of which nobody knows whose it is.
func TestCallsThatNeverCollapse(t *testing.T) {
	for name, call := range map[string]approval.Call{
		"a hidden label":          {Labels: map[string]string{"card": "4111"}, Requester: "r"},
		"a label that repeats it": {Labels: map[string]string{"note": "card: 4111"}, Requester: "r"},
		"nobody's":                {},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.acts.Policy = collapsing()
			call.Tool, call.Args = "pay", json.RawMessage(`{"amount":1}`)
			for _, id := range []string{"c1", "c2"} {
				if a := b.admitCall(id, call); a.View.Status != approval.StatusPending {
					t.Errorf("%+v", a.View)
				}
			}
		})
	}
	t.Run("a hidden argument", func(t *testing.T) {
		b := setup(t)
		v := collapsing()
		v.Redact = []string{"amount"}
		b.acts.Policy = v
		for _, id := range []string{"c1", "c2"} {
			if a := b.admitCall(id, approval.Call{Tool: "pay", Args: json.RawMessage(`{"amount":1}`), Requester: "r"}); a.View.Status != approval.StatusPending {
				t.Errorf("%+v", a.View)
			}
		}
	})
}

func TestTheLikeOfAnEndedCallIsANewRequest(t *testing.T) {
	b := setup(t)
	b.acts.Policy = collapsing()
	call := approval.Call{Tool: "pay", Args: json.RawMessage(`{"amount":1}`), Requester: "r"}
	first := b.admitCall("c1", call)
	if _, _, err := b.store.Finish(t.Context(), store.FinishParams{
		Outcome: approval.Outcome{ID: "c1", Tool: "pay", Status: approval.StatusRejected, Digest: first.View.Digest}, At: first.View.CreatedAt,
	}); err != nil {
		t.Fatal(err)
	}
	if a := b.admitCall("c2", call); a.View.Status != approval.StatusPending {
		t.Errorf("%+v", a.View)
	}
}
