package worker_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/tool"
	"github.com/pawlhq/pawl/worker"
)

// The tools that a file makes judge answers as it says.
func TestToolsJudgeAnswers(t *testing.T) {
	status, body := 200, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	defer server.Close()
	path := filepath.Join(t.TempDir(), "tools.yaml")
	text := fmt.Sprintf(`tools:
- {name: plain, http: {url: %q}}
- {name: says, success: result.ok, error: result.why, http: {url: %q, failed_statuses: [503], unknown_statuses: [404]}}
- {name: remote, success: result.ok, error: result.why, activity: {task_queue: q}}
- {name: other, activity: {task_queue: q}}
`, server.URL, server.URL)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := worker.LoadTools(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	tools := map[string]*tool.Tool{}
	for _, made := range list {
		tools[made.Name()] = made
	}
	for _, c := range []struct {
		name      string
		status    int
		body      string
		end, says string
	}{
		{"plain", 200, `{"ok":false}`, "ran", ""},
		{"plain", 200, `{"isError":true}`, "failed", "isError"},
		{"plain", 503, `{"ok":true}`, "unknown", "503"},
		{"plain", 404, `{"ok":true}`, "failed", "404"},
		{"says", 200, `{"ok":true,"isError":true}`, "ran", ""},
		{"says", 200, `{"ok":false,"why":"no money"}`, "failed", "no money"},
		{"says", 200, `{}`, "unknown", "ok is missing"},
		{"says", 200, ``, "unknown", "can't be evaluated"},
		{"says", 200, `{"ok":`, "unknown", "says it is JSON and is not"},
		{"says", 503, `{"ok":true}`, "failed", "503"},
		{"says", 404, `{"ok":true}`, "unknown", "404"},
		{"remote", 0, `{"ok":true}`, "ran", ""},
		{"remote", 0, `{"ok":false,"why":"no money"}`, "failed", "no money"},
		{"other", 0, `{"isError":true,"content":[{"type":"text","text":"denied"}]}`, "failed", "denied"},
		{"other", 0, `{"ok":false}`, "ran", ""},
	} {
		status, body = c.status, c.body
		err := tools[c.name].Judge(json.RawMessage(c.body))
		if c.status > 0 {
			_, err = tools[c.name].Run(t.Context(), tool.Invocation{CallID: "c1", Digest: "d", Args: json.RawMessage("{}")})
		}
		end := "ran"
		switch {
		case tool.IsUnknown(err):
			end = "unknown"
		case err != nil:
			end = "failed"
		}
		if end != c.end || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s, %d %s: %s (%v), want %s with %q", c.name, c.status, c.body, end, err, c.end, c.says)
		}
	}
}
