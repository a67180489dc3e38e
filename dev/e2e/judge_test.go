package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/store"
)

// applyPolicy makes texts the active policy, each as one file.
func applyPolicy(t *testing.T, w *world, api string, texts ...string) {
	t.Helper()
	version := w.http(http.MethodGet, api+"/api/policy", "").doc["version"]
	var layers []string
	for i, text := range texts {
		layers = append(layers, fmt.Sprintf(`{"name":"p%d.yaml","text":%q}`, i, text))
	}
	body := fmt.Sprintf(`{"layers":[%s],"expect":%v}`, strings.Join(layers, ","), version)
	if a := w.http(http.MethodPut, api+"/api/policy", body, "X-Pawl-Reviewer", "ana"); a.code != http.StatusOK {
		t.Fatalf("%d %v", a.code, a.doc)
	}
}

// testPolicyChangesUnderRequests applies policies while requests wait, and approves those then.
// unusable makes a policy active that no worker here can judge by.
func testPolicyChangesUnderRequests(t *testing.T, w *world, api string, unusable func(version int)) {
	const (
		one   = "rules: [{tool: send, require_approval: true, timeout: 5m}]"
		two   = "rules: [{tool: send, approvals: [{count: 2}], decisions: any, timeout: 5m}]"
		never = "rules: [{tool: send, deny: true}]"
	)
	pending := func() (id string) {
		t.Helper()
		waitFor(t, "a call waits", func() bool { // a worker may judge by the policy before for a moment
			id = w.http(http.MethodPost, api+"/api/calls", `{"tool":"send","args":{"to":"x"}}`).text("id")
			var last answer
			waitFor(t, "it is judged", func() bool {
				last = w.http(http.MethodGet, api+"/api/calls/"+id, "")
				return last.text("status") == "pending" || approval.Status(last.text("status")).Ended()
			})
			by, _ := last.doc["policy"].(map[string]any)
			return last.text("status") == "pending" && by["digest"] == w.http(http.MethodGet, api+"/api/policy", "").doc["digest"]
		})
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
	blocked := func(what, id string) {
		t.Helper()
		a := status(id)
		if failure, _ := a.doc["error"].(map[string]any); a.text("status") != string(approval.StatusBlocked) || failure["code"] != approval.CodePolicyChanged {
			t.Errorf("%s: %d %v", what, a.code, a.doc)
		}
	}

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
	blocked("under a policy that forbids", denied)
	applyPolicy(t, w, api, "rules: [{tool: send, auto_approve: true}]")
	if e := effect(laxer); e != "none" {
		t.Errorf("a call that would run by now shows %q", e)
	}
	if a := approve(laxer, "ana"); a.text("outcome") != "resolved" || status(laxer).text("status") != "executed" {
		t.Errorf("under a laxer policy: %d %v", a.code, a.doc)
	}
	// A policy that flips asks for more once, and never for less.
	applyPolicy(t, w, api, one)
	flips := pending()
	for range 2 {
		applyPolicy(t, w, api, two)
		if a := approve(flips, "ana"); a.text("outcome") != "recorded" {
			t.Errorf("one of two: %d %v", a.code, a.doc)
		}
		applyPolicy(t, w, api, one)
	}
	if entries := w.http(http.MethodGet, api+"/api/audit?kind=call.tightened&request_id="+flips, "").doc["total"]; entries != 1.0 {
		t.Errorf("it was tightened %v times", entries)
	}
	waitFor(t, "the vote is on record while the call waits", func() bool {
		return w.http(http.MethodGet, api+"/api/audit?kind=decision.counted&request_id="+flips, "").doc["total"] == 1.0
	})
	if a := approve(flips, "ben"); a.text("outcome") != "resolved" || status(flips).text("status") != "executed" {
		t.Errorf("the second of two: %d %v", a.code, a.doc)
	}

	layered, unsigned := pending(), pending()
	applyPolicy(t, w, api, one, never)
	approve(layered, "ana")
	blocked("under a new layer that forbids", layered)

	// Nobody is known here, so nobody can sign.
	applyPolicy(t, w, api, "rules: [{tool: send, decisions: signed, timeout: 5m}]")
	for range 2 {
		if a := approve(unsigned, "ana"); a.code != http.StatusForbidden {
			t.Errorf("unsigned, where decisions must be: %d %v", a.code, a.doc)
		}
	}
	w.http(http.MethodPost, api+"/api/calls/"+unsigned+"/cancel", "")
	if a := status(unsigned); a.text("status") != "cancelled" {
		t.Errorf("it ended %v", a.doc)
	}

	// Without another policy, but the one there is says something else by now.
	at := time.Now().Add(3 * time.Second)
	applyPolicy(t, w, api, fmt.Sprintf(`rules: [{tool: send, when: 'now >= timestamp("%s")', deny: true}, {tool: send, require_approval: true, timeout: 5m}]`,
		at.UTC().Format(time.RFC3339Nano)))
	late := pending()
	waitFor(t, "the time has come", func() bool { return time.Now().After(at.Add(time.Second)) })
	approve(late, "ana")
	blocked("at a time when it is forbidden", late)

	// Whatever comes while the claim judges again: nothing runs that the policy forbids by then.
	applyPolicy(t, w, api, one)
	var raced []string
	for range 4 {
		raced = append(raced, pending())
	}
	applyPolicy(t, w, api, never)
	var all sync.WaitGroup
	for i, id := range raced {
		all.Go(func() { approve(id, "ana") })
		all.Go(func() { w.http(http.MethodPost, api+"/api/requests/"+id+"/reject", `{}`, "X-Pawl-Reviewer", "ben") })
		if i%2 == 0 {
			all.Go(func() { w.http(http.MethodPost, api+"/api/calls/"+id+"/cancel", "") })
		}
	}
	all.Wait()
	for _, id := range raced {
		if a := status(id); !slices.Contains([]string{"blocked", "rejected", "cancelled"}, a.text("status")) {
			t.Errorf("raced: %v", a.doc)
		}
	}

	// While the active policy can't be used nothing is claimed, and nothing is lost.
	applyPolicy(t, w, api, one)
	held := pending()
	unusable(int(w.http(http.MethodGet, api+"/api/policy", "").doc["version"].(float64)) + 1)
	if a := approve(held, "ana"); a.code != http.StatusAccepted {
		t.Errorf("under a policy that can't be used: %d %v", a.code, a.doc)
	}
	if s := w.http(http.MethodGet, api+"/api/requests/"+held, "").text("status"); s != "pending" {
		t.Errorf("it is %s", s)
	}
	applyPolicy(t, w, api, one)
	waitFor(t, "it runs under one that can", func() bool { return status(held).text("status") == "executed" })
}

func TestPolicyChangesUnderRequests(t *testing.T) {
	w := newWorld(t)
	testPolicyChangesUnderRequests(t, w, w.API, w.unusablePolicy)
}

func (w *world) unusablePolicy(version int) {
	_, _, err := w.Store.ApplyPolicy(w.t.Context(), store.ApplyParams{
		Set:    store.PolicySet{Digest: strings.Repeat("ab", 32), Layers: []store.PolicyLayer{{Name: "new.yaml", Text: "later: 1"}}},
		Expect: int64(version - 1), At: time.Now(), By: "newer", Channel: "cli",
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// The API reads what calls were started with also where only workers and it can.
func TestPolicyChangesUnderEncryptedRequests(t *testing.T) {
	w := newWorld(t, func(c *stack.Config) { c.Encrypt = true })
	testPolicyChangesUnderRequests(t, w, w.API, w.unusablePolicy)
}
