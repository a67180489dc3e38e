package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
)

// applyPolicy makes a text the active policy, as one file.
func applyPolicy(t *testing.T, w *world, api, text string) {
	t.Helper()
	version := w.http(http.MethodGet, api+"/api/policy", "").doc["version"]
	body := fmt.Sprintf(`{"layers":[{"name":"p.yaml","text":%q}],"expect":%v}`, text, version)
	if a := w.http(http.MethodPut, api+"/api/policy", body, "X-Pawl-Reviewer", "ana"); a.code != http.StatusOK {
		t.Fatalf("%d %v", a.code, a.doc)
	}
}

// testPolicyChangesUnderRequests applies policies while requests wait, and approves those then.
func testPolicyChangesUnderRequests(t *testing.T, w *world, api string) {
	const (
		one   = "rules: [{tool: send, require_approval: true, timeout: 5m}]"
		two   = "rules: [{tool: send, approvals: [{count: 2}], decisions: any, timeout: 5m}]"
		never = "rules: [{tool: send, deny: true}]"
	)
	pending := func() string {
		t.Helper()
		id := w.http(http.MethodPost, api+"/api/calls", `{"tool":"send","args":{"to":"x"}}`).text("id")
		waitFor(t, "it waits", func() bool { return w.http(http.MethodGet, api+"/api/requests/"+id, "").text("status") == "pending" })
		return id
	}
	approve := func(id, by string) answer {
		t.Helper()
		return w.http(http.MethodPost, api+"/api/requests/"+id+"/approve", `{}`, "X-Pawl-Reviewer", by)
	}
	// effect is what the view of a call that waits says about the active policy.
	effect := func(id string) string {
		t.Helper()
		now, _ := w.http(http.MethodGet, api+"/api/requests/"+id, "").doc["policy_now"].(map[string]any)
		effect, _ := now["effect"].(string)
		return effect
	}
	status := func(id string) answer { return w.http(http.MethodGet, api+"/api/calls/"+id+"?wait=20s", "") }

	applyPolicy(t, w, api, one)
	same, stricter, denied, laxer := pending(), pending(), pending(), pending()
	if a := approve(same, "ana"); a.text("outcome") != "resolved" || status(same).text("status") != "executed" {
		t.Errorf("under the same policy: %d %v", a.code, a.doc)
	}
	applyPolicy(t, w, api, two)
	if e := effect(stricter); e != "waits" {
		t.Errorf("a call that takes two approvals by now shows %q", e)
	}
	if a := approve(stricter, "ana"); a.text("outcome") != "recorded" || !strings.Contains(a.text("message"), "the policy changed") {
		t.Errorf("under a stricter policy: %d %v", a.code, a.doc)
	}
	applyPolicy(t, w, api, one)
	if e := effect(stricter) + effect(denied); e != "" {
		t.Errorf("a policy that says what it said shows %q", e)
	}
	if a := approve(stricter, "ben"); a.text("outcome") != "resolved" || status(stricter).text("status") != "executed" {
		t.Errorf("the second approval: %d %v", a.code, a.doc)
	}
	applyPolicy(t, w, api, never)
	if e := effect(denied); e != "blocked" {
		t.Errorf("a call that is forbidden by now shows %q", e)
	}
	approve(denied, "ana")
	a := status(denied)
	if failure, _ := a.doc["error"].(map[string]any); a.text("status") != string(approval.StatusBlocked) || failure["code"] != approval.CodePolicyChanged {
		t.Errorf("under a policy that forbids: %d %v", a.code, a.doc)
	}
	applyPolicy(t, w, api, "rules: [{tool: send, auto_approve: true}]")
	if e := effect(laxer); e != "none" {
		t.Errorf("a call that would run by now shows %q", e)
	}
	if a := approve(laxer, "ana"); a.text("outcome") != "resolved" || status(laxer).text("status") != "executed" {
		t.Errorf("under a laxer policy: %d %v", a.code, a.doc)
	}
}

func TestPolicyChangesUnderRequests(t *testing.T) {
	w := newWorld(t)
	testPolicyChangesUnderRequests(t, w, w.API)
}

// The API reads what calls were started with also where only workers and it can.
func TestPolicyChangesUnderEncryptedRequests(t *testing.T) {
	w := newWorld(t, func(c *stack.Config) { c.Encrypt = true })
	testPolicyChangesUnderRequests(t, w, w.API)
}
