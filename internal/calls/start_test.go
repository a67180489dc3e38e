package calls

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

func TestPrepare(t *testing.T) {
	call := approval.Call{Tool: "refund", Args: json.RawMessage(`{"to":"<a>"}`), Requester: "agent:a", IdempotencyKey: "k"}
	first, err := Prepare(call)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Prepare(call)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID != approval.KeyedID("agent:a", "k") || again.ID != first.ID || again.Fingerprint != first.Fingerprint {
		t.Errorf("one call under one key is two: %+v and %+v", first, again)
	}
	if first.Call.Nonce == "" || first.Call.Nonce == again.Call.Nonce {
		t.Errorf("nonces %q and %q", first.Call.Nonce, again.Call.Nonce)
	}
	call.Args = json.RawMessage(`{"to":"b"}`)
	if other, err := Prepare(call); err != nil || other.ID != first.ID || other.Fingerprint == first.Fingerprint {
		t.Errorf("another call under the key is the same: %+v, %v", other, err)
	}
	call.IdempotencyKey = ""
	if a, _ := Prepare(call); a.ID == first.ID {
		t.Error("a call without a key has the key's ID")
	}
	if _, err := Prepare(approval.Call{Tool: "two words"}); approval.CodeOf(err) != approval.CodeInvalid {
		t.Errorf("%v", err)
	}
}

func TestSummaryIsShortAndNoMarkup(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, c := range []struct{ tool, agent, want string }{
		{"refund", "billing-bot 2", "refund for billing-bot 2"},
		{"refund", "", "refund"},
		{"refund", "[click](http://evil.example)", "refund"},
		{"refund", "bot\u202e", "refund"},
		{long, long, long + " for " + long[:40] + "… (160 bytes more)"},
	} {
		got := summary(approval.Call{Tool: c.tool, Agent: c.agent})
		if got != c.want || len(got) > 400 {
			t.Errorf("%q by %q: %q", c.tool, c.agent, got)
		}
	}
	if got := summary(approval.Call{Tool: long, Agent: strings.Repeat("語", 66)}); len(got) > 400 {
		t.Errorf("%d bytes", len(got))
	}
}
