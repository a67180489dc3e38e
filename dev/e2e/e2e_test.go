// Package e2e_test runs the whole of Pawl against a real Temporal, in this process or in processes
// of its own.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

const patience = 30 * time.Second

// world is a stack, and the tools' other side, which outlives it.
type world struct {
	*stack.Stack
	t       *testing.T
	config  stack.Config
	logger  *slog.Logger // nil: nothing is logged
	maxWait time.Duration
	toolURL string

	mu     sync.Mutex
	ran    map[string]int // runs by call ID
	behave http.HandlerFunc
}

const e2ePolicy = `
redact_fields: [secret]
rules:
  - {tool: read, auto_approve: true}
  - {tool: read_broken, auto_approve: true}
  - {tool: send, require_approval: true, risk_level: high}
  - {tool: hasty, require_approval: true, timeout: 2}
`

func newWorld(t *testing.T, change ...func(*stack.Config)) *world {
	t.Helper()
	w := &world{t: t, ran: map[string]int{}}
	w.behave = func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"got":%s}`, body)
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.ran[r.Header.Get("Pawl-Call-Id")]++
		w.mu.Unlock()
		w.behave(rw, r)
	}))
	t.Cleanup(server.Close)
	w.toolURL = server.URL

	dir := t.TempDir()
	tools := "tools:\n"
	for _, name := range []string{"read", "read_broken", "send", "hasty"} {
		tools += fmt.Sprintf("  - {name: %s, http: {url: %q, timeout: 20s}, schema: {type: object, required: [to], properties: {to: {type: string}, secret: {type: string}}, additionalProperties: false}}\n",
			name, server.URL)
	}
	c := stack.Default()
	c.Data = filepath.Join(dir, "data")
	c.APIListen, c.TemporalListen, c.NoUI = "127.0.0.1:0", "127.0.0.1:0", true
	c.Policy = []string{write(t, dir, "policy.yaml", e2ePolicy)}
	c.Tools = write(t, dir, "tools.yaml", tools)
	for _, f := range change {
		f(&c)
	}
	w.config = c
	w.start()
	return w
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (w *world) start() {
	w.t.Helper()
	s, err := stack.Start(w.t.Context(), stack.Options{Config: w.config, Logger: w.logger, MaxWait: w.maxWait})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Stack = s
	w.t.Cleanup(func() {
		if w.Stack == s {
			w.stop()
		}
	})
}

func (w *world) stop() {
	w.t.Helper()
	if err := w.Close(); err != nil {
		w.t.Error(err)
	}
	w.Stack = nil
}

func (w *world) runs(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ran[id]
}

// answer is an HTTP answer with its body taken apart.
type answer struct {
	code int
	head http.Header
	doc  map[string]any
}

func (a answer) text(field string) string {
	s, _ := a.doc[field].(string)
	return s
}

func (w *world) http(method, url, body string, headers ...string) answer {
	w.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Error(err)
		return answer{}
	}
	defer resp.Body.Close()
	doc, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Error(err)
	}
	a := answer{code: resp.StatusCode, head: resp.Header}
	if err := json.Unmarshal(doc, &a.doc); err != nil {
		w.t.Errorf("%s %s: %d %s", method, url, resp.StatusCode, doc)
	}
	return a
}

func (w *world) post(path, body string, headers ...string) answer {
	w.t.Helper()
	return w.http(http.MethodPost, w.API+path, body, headers...)
}

func (w *world) get(path string) answer {
	w.t.Helper()
	return w.http(http.MethodGet, w.API+path, "")
}

// call starts a call and returns its ID.
func (w *world) call(doc string) string {
	w.t.Helper()
	a := w.post("/api/calls", doc)
	if a.code != http.StatusAccepted || a.head.Get("Location") != "/api/calls/"+a.text("id") {
		w.t.Fatalf("start: %d %v", a.code, a.doc)
	}
	return a.text("id")
}

// pending starts a call and waits until reviewers can see it.
func (w *world) pending(doc string) string {
	w.t.Helper()
	id := w.call(doc)
	w.until("the call is pending", func() bool { return w.status(id) == approval.StatusPending })
	return id
}

func (w *world) status(id string) approval.Status {
	record, err := w.Store.Call(context.Background(), id)
	if err != nil {
		return ""
	}
	return record.View.Status
}

func (w *world) decide(id, what, reviewer, body string) answer {
	w.t.Helper()
	return w.post("/api/requests/"+id+"/"+what, body, "X-Pawl-Reviewer", reviewer)
}

// ends waits for the call's outcome and checks that workflow and store agree.
func (w *world) ends(id string, status approval.Status, runs int) map[string]any {
	w.t.Helper()
	var last answer
	w.until(fmt.Sprintf("%s ends %s", id, status), func() bool {
		last = w.get("/api/calls/" + id + "?wait=5s")
		return approval.Status(last.text("status")).Ended()
	})
	if last.text("status") != string(status) || w.runs(id) != runs {
		w.t.Errorf("call %s ended %v after %d runs, want %s after %d", id, last.doc, w.runs(id), status, runs)
	}
	if s := w.status(id); s != status {
		w.t.Errorf("the store says %s, want %s", s, status)
	}
	w.checkEntries(id)
	return last.doc
}

func (w *world) checkEntries(id string) []audit.Kind {
	w.t.Helper()
	page, err := w.Store.Entries(context.Background(), store.EntryQuery{Subject: id})
	if err != nil {
		w.t.Fatal(err)
	}
	var kinds []audit.Kind
	for _, e := range page.Items {
		if err := e.Check(); err != nil {
			w.t.Error(err)
		}
		if bytes.Contains(e.Payload, []byte("hunter2")) {
			w.t.Errorf("entry %s/%s shows a secret", id, e.Step)
		}
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func (w *world) until(what string, f func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			w.t.Fatalf("in vain waited until %s", what)
		case <-tick.C:
		}
	}
}

// settles lets a person say what became of a call whose outcome is unknown. That is said once, and
// whoever asks for the call's outcome hears of it.
func (w *world) settles(api, id string) {
	w.t.Helper()
	path := api + "/api/requests/" + id + "/settle"
	first := `{"ran":true,"notes":"it is in the tool's log","result":{"found":1}}`
	for range 2 {
		if a := w.http(http.MethodPost, path, first, "X-Pawl-Reviewer", "ana"); a.code != http.StatusOK || a.doc["settled"] == nil {
			w.t.Errorf("settling %s: %d %v", id, a.code, a.doc)
		}
	}
	a := w.http(http.MethodPost, path, `{"ran":false,"notes":"it is not"}`, "X-Pawl-Reviewer", "bo")
	if a.code != http.StatusConflict || a.text("code") != rest.CodeSettled {
		w.t.Errorf("settling %s otherwise: %d %v", id, a.code, a.doc)
	}
	a = w.http(http.MethodGet, api+"/api/calls/"+id, "")
	said, _ := a.doc["settled"].(map[string]any)
	if a.text("status") != "outcome_unknown" || said["ran"] != true || said["by"] != "ana" || fmt.Sprint(said["result"]) != "map[found:1]" {
		w.t.Errorf("the outcome of %s says %v", id, a.doc)
	}
}
