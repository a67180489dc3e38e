package storetest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// awkward is text that careless storage changes.
const awkward = "ümlaut 🦀 <b>&amp;</b> \u2028 'quote' \"double\" \\ % _ \t\r\n\x7f \u202e end"

func valuesRoundTrip(t *testing.T, s store.Store) {
	text, err := json.Marshal(map[string]any{"text": awkward, "list": []any{1, 2.5, true, nil}})
	if err != nil {
		t.Fatal(err)
	}
	deadline := after(5)
	a := store.AdmitParams{
		View: approval.View{
			ID: "pawl/" + awkward, Tool: awkward, Args: text, Digest: awkward,
			Status: approval.StatusPending, Risk: approval.RiskCritical,
			Agent: awkward, Team: awkward, Session: awkward, Title: awkward, Description: awkward, Reason: awkward,
			Labels: map[string]string{awkward: awkward, "empty": ""}, Requester: awkward,
			CreatedAt: began, Deadline: &deadline,
			Policy:      &approval.PolicyRef{Digest: "d", Layer: "org", Rule: awkward},
			Requirement: &approval.Requirement{Approvals: []approval.Approvals{{Count: 2}, {Count: 1}}},
			AttemptOf:   awkward,
		},
		Verdict: approval.Verdict{
			Kind: approval.VerdictRequire, Risk: approval.RiskCritical, Requirement: approval.OneApproval(),
			Timeout: approval.Duration(time.Hour + time.Nanosecond), ValidFor: approval.DefaultValidFor,
			Redact: []string{"card", awkward}, Policy: approval.PolicyRef{Rule: awkward},
		},
		Run: awkward, IsRequest: true,
	}
	r := admit(t, s, a)
	same(t, "the view", r.View, a.View)
	same(t, "the verdict", r.Verdict, a.Verdict)
	if r.Run != a.Run {
		t.Errorf("the run is %q, want %q", r.Run, a.Run)
	}
	isStored(t, s, r)
	page := calls(t, s, store.CallQuery{Tool: awkward, Agent: awkward, Session: awkward})
	same(t, "the listed views", page.Items, []approval.View{a.View})
	if id, err := s.Resolve(t.Context(), "pawl/ü"); id != a.View.ID || err != nil {
		t.Errorf("Resolve answers %q, %v", id, err)
	}

	// A time in another zone is the same time.
	c := store.ClaimParams{
		ID: a.View.ID, Run: awkward, Digest: awkward,
		GoodUntil: after(1000), At: after(2).In(time.FixedZone("east", 3600)),
		Votes: []approval.Decision{{
			ID: awkward, Kind: approval.Approve, Reviewer: awkward, Channel: "api", Notes: awkward, At: after(1),
		}},
	}
	r = claim(t, s, c)
	if got := r.Permit.At; got != after(2) {
		t.Errorf("the claim is of %v, want %v", got, after(2))
	}
	same(t, "the votes", r.View.Votes, c.Votes)
	f := store.FinishParams{
		Outcome: approval.Outcome{
			ID: a.View.ID, Tool: awkward, Status: approval.StatusFailed,
			Result:   json.RawMessage(`"just a string"`),
			Error:    &approval.CallError{Code: approval.CodeToolFailed, Message: awkward},
			Decision: c.Votes[0].Final(), Digest: awkward,
		},
		At: after(4).In(time.FixedZone("west", -3600)),
	}
	r = finish(t, s, f)
	same(t, "the outcome", r.View.Outcome(), f.Outcome)
	if got := r.View.EndedAt; got == nil || *got != after(4) {
		t.Errorf("it ended at %v, want %v", got, after(4))
	}
	isStored(t, s, r)
}

func valuesLarge(t *testing.T, s store.Store) {
	large := func(size int) json.RawMessage {
		return json.RawMessage(`{"text":"` + strings.Repeat("é<", (size-11)/3) + `"}`)
	}
	a := allowed(t, "a")
	a.View.Args = large(approval.MaxArgs)
	e, err := audit.New("a", "requested", after(1), Payload{Of: audit.KindRequested, JSON: a.View.Args})
	if err != nil {
		t.Fatal(err)
	}
	a.Entries = []audit.Entry{e}
	admit(t, s, a)
	use(t, s, using(t, "a"))

	f := ending(t, "a", approval.StatusExecuted)
	f.Outcome.Result = large(approval.MaxResult)
	e, err = audit.New("a", "ended", after(4), Payload{Of: audit.KindEnded, JSON: f.Outcome.Result})
	if err != nil {
		t.Fatal(err)
	}
	f.Entries = []audit.Entry{e}
	r := isStored(t, s, finish(t, s, f))
	same(t, "the arguments", r.View.Args, a.View.Args)
	same(t, "the result", r.View.Result, f.Outcome.Result)
	wrote(t, s, "a", "requested", "started", "ended")
}
