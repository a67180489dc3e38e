package e2e_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

const (
	startOne = `"start_id":"e2e-start-number-1"`
	startTwo = `"start_id":"e2e-start-number-2"`
)

// Callers run their own tools, over HTTP, on a real Temporal.
func TestCallersRunTheirTools(t *testing.T) {
	w := newWorld(t)
	applyPolicy(t, w, w.API, `rules:
  - {tool: [ls, bash], auto_approve: true}
  - {tool: rm, require_approval: true, timeout: 5m}
`)
	post := func(path, body string, code int) answer {
		t.Helper()
		a := w.http(http.MethodPost, w.API+path, body)
		if a.code != code {
			t.Fatalf("POST %s: %d %v, want %d", path, a.code, a.doc, code)
		}
		return a
	}
	begin := func(tool, more string, code int) answer {
		t.Helper()
		body := fmt.Sprintf(`{"tool":%q,"args":{"path":"/tmp"},"execution":"caller","agent":"coder"%s}`, tool, more)
		return post("/api/calls", body, code)
	}
	waitFor(t, "the policy is in force", func() bool {
		return w.http(http.MethodPost, w.API+"/api/calls", `{"tool":"ls","execution":"caller","wait":"5s"}`).text("status") == "approved"
	})
	code := func(a answer) string { return a.text("code") }
	approve := func(id string) {
		t.Helper()
		waitFor(t, "it waits", func() bool { return w.http(http.MethodGet, w.API+"/api/requests/"+id, "").text("status") == "pending" })
		a := w.http(http.MethodPost, w.API+"/api/requests/"+id+"/approve", `{}`, "X-Pawl-Reviewer", "ana")
		if a.code != http.StatusOK {
			t.Fatalf("%d %v", a.code, a.doc)
		}
	}

	t.Run("as the page shows it", func(t *testing.T) { callerPage(t, w, approve) })

	// Allowed: started in the same request, reported, and reported again.
	a := begin("ls", `,"wait":"20s",`+startOne, http.StatusOK)
	id := a.text("id")
	if args, _ := a.doc["args"].(map[string]any); a.text("status") != "executing" || args["path"] != "/tmp" {
		t.Fatalf("%v", a.doc)
	}
	if a := post("/api/calls/"+id+"/start", "{"+startTwo+"}", http.StatusConflict); code(a) != "started" {
		t.Errorf("a start by another one: %v", a.doc)
	}
	post("/api/calls/"+id+"/start", "{"+startOne+"}", http.StatusOK) // the answer was lost
	if a := post("/api/calls/"+id+"/outcome", `{"status":"executed",`+startTwo+"}", http.StatusConflict); code(a) != "started" {
		t.Errorf("a report by another one: %v", a.doc)
	}
	for range 2 {
		a := post("/api/calls/"+id+"/outcome", `{"status":"executed","result": [ "a<", "b" ],`+startOne+"}", http.StatusOK)
		if a.text("status") != "executed" || fmt.Sprint(a.doc["result"]) != "[a< b]" {
			t.Errorf("%v", a.doc)
		}
	}
	if a := post("/api/calls/"+id+"/outcome", `{"status":"failed",`+startOne+"}", http.StatusConflict); code(a) != "reported_late" || a.doc["call_outcome"] == nil {
		t.Errorf("another report: %v", a.doc)
	}
	if a := post("/api/calls/"+id+"/start", "{"+startOne+"}", http.StatusConflict); code(a) != "ended" {
		t.Errorf("a start after the end: %v", a.doc)
	}

	// Asked for: nothing starts before the approval, and the caller may come back for it.
	id = begin("rm", "", http.StatusAccepted).text("id")
	waitFor(t, "it is judged", func() bool { return w.http(http.MethodGet, w.API+"/api/requests/"+id, "").code == http.StatusOK })
	if a := post("/api/calls/"+id+"/start", "{"+startOne+"}", http.StatusConflict); code(a) != "not_approved" {
		t.Errorf("a start before the approval: %v", a.doc)
	}
	if a := post("/api/calls/"+id+"/outcome", `{"status":"executed",`+startOne+"}", http.StatusConflict); code(a) != "not_started" {
		t.Errorf("a report before the start: %v", a.doc)
	}
	changed := post("/api/calls/wait", `{"calls":[{"id":"`+id+`"},{"id":"pawl-nobody"}]}`, http.StatusOK)
	found := changed.doc["calls"].([]any)
	if len(found) != 2 || found[1].(map[string]any)["code"] != approval.CodeNotFound {
		t.Fatalf("%v", changed.doc)
	}
	revision := found[0].(map[string]any)["call"].(map[string]any)["revision"]
	approve(id)
	changed = post("/api/calls/wait", fmt.Sprintf(`{"calls":[{"id":%q,"revision":%q}],"wait":"20s"}`, id, revision), http.StatusOK)
	if v := changed.doc["calls"].([]any)[0].(map[string]any)["call"].(map[string]any); v["status"] != "approved" {
		t.Errorf("%v", v)
	}
	if a := w.http(http.MethodGet, w.API+"/api/calls/"+id+"?wait=20s", ""); a.text("status") != "approved" {
		t.Errorf("the wait ends when the tool may start: %v", a.doc)
	}

	// Taken up again by whoever asks the same, as long as nobody is there.
	post("/api/calls/"+id+"/release", `{}`, http.StatusOK)
	if a := begin("rm", `,"attach":true,`+startTwo, http.StatusOK); a.text("id") != id || a.text("status") != "executing" {
		t.Errorf("attached: %v", a.doc)
	}
	post("/api/calls/"+id+"/cancel", `{}`, http.StatusConflict)
	if a := post("/api/calls/"+id+"/outcome", `{"status":"not_run",`+startTwo+"}", http.StatusOK); a.text("status") != "failed" {
		t.Errorf("not run: %v", a.doc)
	}

	// Two that ask the same at once are two, though neither waits; the next one takes up what is released.
	var both []string
	for range 2 {
		id = begin("rmdir", `,"attach":true`, http.StatusAccepted).text("id")
		both = append(both, id)
		waitFor(t, "it waits", func() bool { return w.http(http.MethodGet, w.API+"/api/requests/"+id, "").text("status") == "pending" })
	}
	for _, id := range both {
		post("/api/calls/"+id+"/release", ``, http.StatusOK)
	}
	for _, id := range both {
		if a := begin("rmdir", `,"attach":true`, http.StatusAccepted); a.text("id") != id {
			t.Errorf("attached to %v of %q, want %s", a.doc, both, id)
		}
		post("/api/calls/"+id+"/cancel", `{}`, http.StatusOK)
	}

	// A key finds its call at once, and before others that are the same.
	keyed := begin("mkdir", `,"attach":true,"idempotency_key":"k"`, http.StatusAccepted).text("id")
	id = begin("mkdir", `,"attach":true`, http.StatusAccepted).text("id")
	waitFor(t, "it waits", func() bool { return w.http(http.MethodGet, w.API+"/api/requests/"+id, "").text("status") == "pending" })
	post("/api/calls/"+id+"/release", ``, http.StatusOK)
	if a := begin("mkdir", `,"attach":true,"idempotency_key":"k"`, http.StatusAccepted); a.text("id") != keyed || keyed == id {
		t.Errorf("by its key: %v, want %s and not %s", a.doc, keyed, id)
	}
	if a := begin("mkdir", `,"attach":true,"idempotency_key":"another"`, http.StatusAccepted); a.text("id") != id {
		t.Errorf("by a key that is new: %v, want %s", a.doc, id)
	}
	for _, id := range []string{keyed, id} {
		post("/api/calls/"+id+"/cancel", `{}`, http.StatusOK)
	}

	// Withdrawn before the start.
	id = begin("ls", `,"wait":"20s"`, http.StatusAccepted).text("id")
	post("/api/calls/"+id+"/cancel", `{}`, http.StatusOK)
	if a := post("/api/calls/"+id+"/start", "{"+startOne+"}", http.StatusConflict); code(a) != "ended" {
		t.Errorf("a start after the withdrawal: %v", a.doc)
	}

	// Published tools have their schema checked, and workers' names are taken.
	put := func(body string) answer { return w.http(http.MethodPut, w.API+"/api/agents/coder/tools", body) }
	const schema = `{"type":"object","properties":{"path":{"type":"string"}},"additionalProperties":false}`
	if a := put(`{"tools":[{"name":"ls","schema":` + schema + `}]}`); a.code != http.StatusOK {
		t.Fatalf("%d %v", a.code, a.doc)
	}
	bad := `{"tool":"ls","args":{"nonsense":1},"execution":"caller","agent":"coder","wait":"20s"}`
	a = post("/api/calls", bad, http.StatusOK)
	if failure, _ := a.doc["error"].(map[string]any); failure["code"] != approval.CodeBadArguments {
		t.Errorf("bad arguments: %v", a.doc)
	}
	if a := put(`{"tools":[{"name":"send"}]}`); a.code != http.StatusConflict || code(a) != "tool_taken" {
		t.Errorf("a worker's name: %d %v", a.code, a.doc)
	}
	a = post("/api/calls", `{"tool":"send","args":{"to":"x"},"execution":"caller","wait":"20s"}`, http.StatusOK)
	if failure, _ := a.doc["error"].(map[string]any); failure["code"] != approval.CodeExecution {
		t.Errorf("a worker's tool: %v", a.doc)
	}
}
