package activities_test

import (
	"encoding/json"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

// A call is an attempt of a call that the store has, of the same agent and requester; any other is
// blocked with one message, whether or not somebody has such a call, and links nothing.
func TestAttemptOf(t *testing.T) {
	b := setup(t)
	of := func(id string) approval.Call {
		c := b.call()
		c.Requester, c.Agent, c.AttemptOf = "ci", "bot", id
		return c
	}
	first := b.admitCall("first", of(""))
	foreign, other := of(""), of("")
	foreign.Requester, other.Agent = "eve", "tester"
	b.admitCall("foreign", foreign)
	b.admitCall("other-agent", other)
	if first.View.AttemptOf != "" {
		t.Errorf("%+v", first.View)
	}
	second := b.admitCall("second", of("first"))
	if second.View.Status != approval.StatusPending || second.View.AttemptOf != "first" {
		t.Errorf("%+v", second.View)
	}
	for _, id := range []string{"foreign", "other-agent", "unknown", "firs", "itself"} {
		v := b.admitCall("bad-"+id, of(id)).View
		if id == "itself" {
			v = b.admitCall("itself", of("itself")).View
		}
		if v.Status != approval.StatusBlocked || v.Error.Code != approval.CodeInvalid ||
			v.Error.Message != approval.ErrNoAttempt.Error() || v.AttemptOf != "" {
			t.Errorf("%s: %+v, %+v", id, v, v.Error)
		}
	}
	again := b.admitCall("second", of("first"))
	if again.View.AttemptOf != "first" || again.View.Status != approval.StatusPending {
		t.Errorf("again: %+v", again.View)
	}
}

// The store learns which calls are identical, hidden arguments included, and not what they hide.
func TestIdenticalCallsAreFound(t *testing.T) {
	b := setup(t)
	b.follow("redact_fields: [card]\nrules: [{tool: pay, require_approval: true}]")
	pay := func(id, card, agent string) {
		c := approval.Call{Tool: "pay", Agent: agent, Nonce: id, Args: json.RawMessage(`{"amount":1,"card":"` + card + `"}`)}
		b.admitCall(id, c)
	}
	pay("a", "4111", "bot")
	pay("b", "4222", "bot")
	pay("c", "4111", "bot")
	pay("d", "4111", "other")
	pay("e", "4111", "bot")
	for id, want := range map[string][]string{"a": nil, "b": nil, "c": {"a"}, "d": nil, "e": {"c", "a"}} {
		views, err := b.store.Previous(t.Context(), id)
		if err != nil || len(views) != len(want) {
			t.Errorf("%s: %d, %v", id, len(views), err)
			continue
		}
		for i, v := range views {
			if v.ID != want[i] || string(v.Args) != `{"amount":1,"card":"[redacted]"}` {
				t.Errorf("%s: %s %s", id, v.ID, v.Args)
			}
		}
	}
}
