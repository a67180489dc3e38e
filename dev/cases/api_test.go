package cases_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/programs"
)

type answer struct {
	code int
	doc  map[string]any
}

// send is a request of Ana's.
func send(t *testing.T, method, url, body string) (a answer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Pawl-Reviewer", "ana")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&a.doc); err != nil {
		t.Fatal(err)
	}
	a.code = res.StatusCode
	return a
}

func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// pawlDev starts a dev stack with the cases' policies and returns its API's address. PAWL_TEST_API is
// one that runs already.
func pawlDev(t *testing.T) (api string) {
	t.Helper()
	if api = os.Getenv("PAWL_TEST_API"); api != "" {
		return api
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(programs.Build(t, "pawl-dev"), "pawl-dev"), "--data", filepath.Join(dir, "data"),
		"--policy", file, "--api-listen", "127.0.0.1:0", "--temporal-listen", "127.0.0.1:0", "--no-ui")
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	var ready struct{ API string }
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	return ready.API
}

const policy = `rules:
  - {tool: "free.*", auto_approve: true}
  - {tool: "deny.*", deny: true}
  - {tool: "ask.*", require_approval: true, timeout: 10m}
  - {tool: "hasty.*", require_approval: true, timeout: 1s}
`
