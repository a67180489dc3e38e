package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
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
		two   = "rules: [{tool: send, approvals: [{count: 2}], timeout: 5m}]"
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
	status := func(id string) answer { return w.http(http.MethodGet, api+"/api/calls/"+id+"?wait=20s", "") }

	applyPolicy(t, w, api, one)
	same, stricter, denied, laxer := pending(), pending(), pending(), pending()
	if a := approve(same, "ana"); a.text("outcome") != "resolved" || status(same).text("status") != "executed" {
		t.Errorf("under the same policy: %d %v", a.code, a.doc)
	}
	applyPolicy(t, w, api, two)
	if a := approve(stricter, "ana"); a.text("outcome") != "recorded" || !strings.Contains(a.text("message"), "the policy changed") {
		t.Errorf("under a stricter policy: %d %v", a.code, a.doc)
	}
	applyPolicy(t, w, api, one)
	if a := approve(stricter, "ben"); a.text("outcome") != "resolved" || status(stricter).text("status") != "executed" {
		t.Errorf("the second approval: %d %v", a.code, a.doc)
	}
	applyPolicy(t, w, api, never)
	approve(denied, "ana")
	a := status(denied)
	if failure, _ := a.doc["error"].(map[string]any); a.text("status") != string(approval.StatusBlocked) || failure["code"] != approval.CodePolicyChanged {
		t.Errorf("under a policy that forbids: %d %v", a.code, a.doc)
	}
	applyPolicy(t, w, api, "rules: [{tool: send, auto_approve: true}]")
	if a := approve(laxer, "ana"); a.text("outcome") != "resolved" || status(laxer).text("status") != "executed" {
		t.Errorf("under a laxer policy: %d %v", a.code, a.doc)
	}
}

func TestPolicyChangesUnderRequests(t *testing.T) {
	w := newWorld(t)
	testPolicyChangesUnderRequests(t, w, w.API)
}
