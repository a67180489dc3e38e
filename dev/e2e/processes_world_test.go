//go:build unix

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// site is where processes of Pawl's own run: a Temporal that is not theirs
// (this test's process), a Postgres, and the tools' other side.
type site struct {
	t        *testing.T
	temporal *stack.Stack
	postgres *pgtest.Cluster
	pawl     string // the binary

	tools, policy string // files

	mu   sync.Mutex
	runs map[string]int
	hold map[string]chan struct{} // tool slow: it runs until its channel is closed
}

func newSite(t *testing.T) *site {
	s := &site{t: t, postgres: pgtest.NewCluster(t), runs: map[string]int{}, hold: map[string]chan struct{}{}}
	dir := t.TempDir()
	s.pawl = filepath.Join(dir, "pawl")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", s.pawl, "./cmd/pawl").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := stack.Default()
	c.Data, c.TemporalListen = filepath.Join(dir, "data"), "127.0.0.1:0"
	c.NoUI, c.NoAPI, c.NoWorker = true, true, true
	var err error
	if s.temporal, err = stack.Start(t.Context(), stack.Options{Config: c}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.temporal != nil {
			if err := s.temporal.Close(); err != nil {
				t.Error(err)
			}
		}
	})

	server := httptest.NewServer(http.HandlerFunc(s.tool))
	t.Cleanup(server.Close)
	s.tools = write(t, dir, "tools.yaml", fmt.Sprintf(`tools:
  - {name: read, http: {url: "%[1]s/read"}}
  - {name: send, http: {url: "%[1]s/send"}}
  - {name: slow, http: {url: "%[1]s/slow"}}
`, server.URL))
	s.policy = write(t, dir, "policy.yaml", `rules:
  - {tool: read, auto_approve: true}
  - {tool: slow, auto_approve: true}
  - {tool: send, require_approval: true}
`)
	return s
}

func (s *site) tool(rw http.ResponseWriter, r *http.Request) {
	_, _ = io.ReadAll(r.Body)
	id := r.Header.Get("Pawl-Call-Id")
	s.mu.Lock()
	s.runs[id]++
	var hold chan struct{}
	if r.URL.Path == "/slow" {
		hold = make(chan struct{})
		s.hold[id] = hold
	}
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write([]byte(`{"done":true}`))
}

func (s *site) ran(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[id]
}

// release lets a slow call's tool end.
func (s *site) release(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.hold[id])
}

// database makes an empty database.
func (s *site) database(t *testing.T) string { return pgtest.Create(t, s.postgres.URL, "") }

// environment is that of a process in a namespace, on a store.
func (s *site) environment(namespace, database string) []string {
	return append(os.Environ(), "TEMPORAL_ADDRESS="+s.temporal.Temporal, "TEMPORAL_NAMESPACE="+namespace, "PAWL_DATABASE_URL="+database)
}

// process is a running `pawl worker` or `pawl api`.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan error
	Ready struct {
		Ready                  bool
		API, Health, Namespace string
		TaskQueue              string `json:"task_queue"`
	}

	mu   sync.Mutex
	said bytes.Buffer // stderr
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// begin starts a process, and kills it when the test ends.
func (s *site) begin(t *testing.T, env []string, args ...string) (*process, io.Reader) {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(s.pawl, args...), ended: make(chan error, 1)}
	p.cmd.Env, p.cmd.Stderr = env, p
	stdout, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout = out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	done := make(chan struct{})
	go func() {
		p.ended <- p.cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-done
		stdout.Close()
		if t.Failed() {
			t.Logf("%v said:\n%s", args, p.stderr())
		}
	})
	return p, stdout
}

// serve starts a process and waits until it serves.
func (s *site) serve(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p, stdout := s.begin(t, env, args...)
	if err := json.NewDecoder(stdout).Decode(&p.Ready); err != nil || !p.Ready.Ready {
		t.Fatalf("%v does not serve: %v\n%s", args, err, p.stderr())
	}
	return p
}

func (s *site) worker(t *testing.T, env []string, more ...string) *process {
	t.Helper()
	return s.serve(t, env, append([]string{"worker", "--policy", s.policy, "--tools", s.tools, "--health-listen", "127.0.0.1:0"}, more...)...)
}

func (s *site) api(t *testing.T, env []string) *process {
	t.Helper()
	return s.serve(t, env, "api", "--listen", "127.0.0.1:0")
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the process to end and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case err := <-p.ended:
		var e *exec.ExitError
		if err != nil && !errors.As(err, &e) {
			p.t.Fatal(err)
		}
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("in vain waited for it to end:\n%s", p.stderr())
		return 0
	}
}

// readiness is an answer of /readyz.
type readiness struct {
	Ready  bool
	Checks map[string]string
}

func (p *process) readyz() (code int, r readiness) {
	resp, err := http.Get(p.Ready.Health + "/readyz")
	if err != nil {
		return 0, r
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		p.t.Error(err)
	}
	return resp.StatusCode, r
}

// pawl runs one command and returns what it said and its exit code.
func (s *site) run(t *testing.T, env []string, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.pawl, args...)
	cmd.Env = env
	b, err := cmd.CombinedOutput()
	var e *exec.ExitError
	if err != nil && !errors.As(err, &e) {
		t.Error(err)
	}
	if strings.Contains(string(b), "hunter2") {
		t.Errorf("%v shows a password:\n%s", args, b)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// want runs one command and checks its exit code and some of its words.
func (s *site) want(t *testing.T, env []string, code int, words []string, args ...string) string {
	t.Helper()
	out, got := s.run(t, env, args...)
	missing := false
	for _, w := range words {
		missing = missing || !strings.Contains(out, w)
	}
	if got != code || missing {
		t.Errorf("pawl %v: exit code %d, want %d and %q:\n%s", args, got, code, words, out)
	}
	return out
}

// waitFor waits for a condition.
func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	(&world{t: t}).until(what, f)
}
