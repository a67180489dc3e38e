package e2e_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

// sayings is a log that can be read while it is written.
type sayings struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *sayings) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *sayings) has(words string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), words)
}

// judgedBy is the digest of the policy that judged a call.
func (w *world) judgedBy(id string) string {
	w.t.Helper()
	r, err := w.Store.Call(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Verdict.Policy.Digest
}

// textOf is a policy's only layer, as the API shows it.
func (a answer) textOf(t *testing.T) string {
	t.Helper()
	layers, _ := a.doc["layers"].([]any)
	if len(layers) != 1 {
		t.Fatalf("%d %v", a.code, a.doc)
	}
	text, _ := layers[0].(map[string]any)["text"].(string)
	return text
}

// The dev stack goes by its policy files as they change.
func TestPolicyFilesChange(t *testing.T) {
	said := &sayings{}
	w := newWorld(t)
	w.stop()
	w.logger = slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w.start()
	file := w.config.Policy[0]
	change := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	send := `{"tool":"send","args":{"to":"x"},"wait":"20s"}`

	first := w.get("/api/policy")
	if first.doc["version"] != 1.0 || first.text("by") != "pawl-dev" || first.textOf(t) != e2ePolicy {
		t.Errorf("at first: %v", first.doc)
	}
	waiting := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	if got := w.judgedBy(waiting); got != first.text("digest") {
		t.Errorf("judged by %s, and active is %s", got, first.text("digest"))
	}

	change("rules: [{tool: send, auto_approve: true}]\n")
	var ran string
	w.until("a call is judged by the changed files", func() bool {
		a := w.post("/api/calls", `{"tool":"send","args":{"to":"x"}}`)
		w.until("it is judged", func() bool { return w.status(a.text("id")) != "" })
		ran = a.text("id")
		return w.judgedBy(ran) != first.text("digest")
	})
	w.ends(ran, approval.StatusExecuted, 1)
	w.until("the log says what became laxer", func() bool {
		return said.has("THE CHANGED POLICY FILES ARE LAXER") && said.has("require_approval → allow")
	})
	second := w.get("/api/policy")
	if second.doc["version"] != 2.0 || w.judgedBy(ran) != second.text("digest") {
		t.Errorf("judged by %s, and active is %v", w.judgedBy(ran), second.doc)
	}
	if old := w.get("/api/policy/" + w.judgedBy(waiting)); old.textOf(t) != e2ePolicy {
		t.Errorf("the text of the first call's policy: %v", old.doc)
	}

	change("rules: [{tool: send, auto_aprove: true}]\n")
	w.until("the log says what is broken", func() bool {
		return said.has("THE POLICY FILES ARE BROKEN") && said.has(file+":1:") && said.has("auto_approve")
	})
	if a := w.post("/api/calls", send); a.text("status") != "executed" || w.judgedBy(a.text("id")) != second.text("digest") {
		t.Errorf("beside broken files: %d %v", a.code, a.doc)
	}
	change("rules: [{tool: send, require_approval: true}]\n")
	w.until("the mended files are active", func() bool { return w.get("/api/policy").doc["version"] == 3.0 })

	// What was judged before stands.
	if a := w.decide(waiting, "approve", "ana", `{}`); a.text("outcome") != "resolved" {
		t.Errorf("%d %v", a.code, a.doc)
	}
	w.ends(waiting, approval.StatusExecuted, 1)
	if got := w.judgedBy(waiting); got != first.text("digest") {
		t.Errorf("its verdict is now by %s", got)
	}

	// What others apply counts until the files change, or the stack starts.
	a := w.http("PUT", w.API+"/api/policy", `{"layers":[{"name":"x.yaml","text":"rules: []"}],"expect":3}`, "X-Pawl-Reviewer", "ana")
	if a.code != 200 || a.doc["version"] != 4.0 {
		t.Errorf("%d %v", a.code, a.doc)
	}
	w.stop()
	w.start()
	if now := w.get("/api/policy"); now.doc["version"] != 5.0 || !strings.Contains(now.textOf(t), "tool: send") {
		t.Errorf("after the start: %v", now.doc)
	}
}
