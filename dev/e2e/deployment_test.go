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
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/child"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// deployment is where Pawl's programs run as processes of their own: a Temporal in the test's
// process, a Postgres, and what the tools' HTTP calls reach.
type deployment struct {
	*endpoints
	temporal *stack.Stack
	postgres *pgtest.Cluster
	pawl     string // the program

	tools, policy string // files
}

// endpoints are what the tools' HTTP calls reach.
type endpoints struct {
	mu   sync.Mutex
	runs map[string]int           // by call ID
	hold map[string]chan struct{} // of tool slow, which runs until its channel is closed
}

func newDeployment(t *testing.T) *deployment {
	d := &deployment{
		endpoints: &endpoints{runs: map[string]int{}, hold: map[string]chan struct{}{}},
		postgres:  pgtest.NewCluster(t), pawl: filepath.Join(programs.Build(t, "pawl"), "pawl"),
	}
	dir := t.TempDir()
	c := stack.Default()
	c.Data, c.TemporalListen = filepath.Join(dir, "data"), "127.0.0.1:0"
	c.NoUI, c.NoAPI, c.NoWorker = true, true, true
	var err error
	if d.temporal, err = stack.Start(t.Context(), stack.Options{Config: c}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.temporal != nil {
			if err := d.temporal.Close(); err != nil {
				t.Error(err)
			}
		}
	})

	server := httptest.NewServer(d.endpoints)
	t.Cleanup(server.Close)
	d.tools = write(t, dir, "tools.yaml", fmt.Sprintf(`tools:
  - {name: read, http: {url: "%[1]s/read"}}
  - {name: send, http: {url: "%[1]s/send"}}
  - {name: slow, http: {url: "%[1]s/slow"}}
`, server.URL))
	d.policy = write(t, dir, "policy.yaml", plainRules+`  - {tool: release, decisions: any, deny_count: 2, stages: [{name: team, approvals: 1}, {name: ops, approvals: 1}]}
`)
	return d
}

// plainRules are what every version of Pawl executes.
const plainRules = `rules:
  - {tool: read, auto_approve: true}
  - {tool: slow, auto_approve: true}
  - {tool: send, require_approval: true}
`

func (e *endpoints) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	_, _ = io.ReadAll(r.Body)
	id := r.Header.Get("Pawl-Call-Id")
	e.mu.Lock()
	e.runs[id]++
	var hold chan struct{}
	if r.URL.Path == "/slow" {
		hold = make(chan struct{})
		e.hold[id] = hold
	}
	e.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write([]byte(`{"done":true}`))
}

func (e *endpoints) ran(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[id]
}

// release lets a slow call's tool end.
func (e *endpoints) release(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.hold[id])
}

// database makes an empty database.
func (d *deployment) database(t *testing.T) string { return pgtest.Create(t, d.postgres.URL, "") }

// environment is that of a process in a namespace, on a store.
func (d *deployment) environment(namespace, database string) []string {
	return programs.Environment("TEMPORAL_ADDRESS="+d.temporal.Temporal, "TEMPORAL_NAMESPACE="+namespace, "PAWL_DATABASE_URL="+database)
}

// setUp makes a namespace and a database, and returns the environment of processes on them.
func (d *deployment) setUp(t *testing.T, namespace string) []string {
	t.Helper()
	env := d.environment(namespace, d.database(t))
	d.want(t, env, 0, nil, "setup")
	return env
}

// process is a running pawl, which is killed when the test ends.
type process struct {
	*child.Process
	child.Addresses // of one that serves

	t    *testing.T
	args []string

	mu  sync.Mutex
	log bytes.Buffer // all of its standard error
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start starts a process. What it writes to standard output goes to stdout, or is for ready if that
// is nil.
func (d *deployment) start(t *testing.T, env []string, stdout io.Writer, args ...string) *process {
	t.Helper()
	p := &process{t: t, args: args}
	cmd := exec.Command(d.pawl, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, stdout, p
	var err error
	if p.Process, err = child.Start(cmd, child.Options{Kill: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%v wrote to standard error:\n%s", args, p.stderr())
		}
	})
	return p
}

// ready waits until it serves.
func (p *process) ready() *process {
	p.t.Helper()
	var err error
	if p.Addresses, err = p.Process.Ready(p.t.Context()); err != nil {
		p.t.Fatalf("%v does not serve: %v\n%s", p.args, err, p.stderr())
	}
	return p
}

// serve starts a process and waits until it serves.
func (d *deployment) serve(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return d.start(t, env, nil, args...).ready()
}

func (d *deployment) worker(t *testing.T, env []string, more ...string) *process {
	t.Helper()
	args := []string{"worker", "--policy", d.policy, "--tools", d.tools, "--health-listen", "127.0.0.1:0"}
	return d.serve(t, env, append(args, more...)...)
}

func (d *deployment) api(t *testing.T, env []string) *process {
	t.Helper()
	return d.serve(t, env, "api", "--listen", "127.0.0.1:0")
}

// exit waits for the process to end and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.Done:
		return p.State().ExitCode()
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
	resp, err := http.Get(p.Health + "/readyz")
	if err != nil {
		return 0, r
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		p.t.Error(err)
	}
	return resp.StatusCode, r
}

// run runs one command and returns its output and its exit code.
func (d *deployment) run(t *testing.T, env []string, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), d.pawl, args...)
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
func (d *deployment) want(t *testing.T, env []string, code int, words []string, args ...string) string {
	t.Helper()
	out, got := d.run(t, env, args...)
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
