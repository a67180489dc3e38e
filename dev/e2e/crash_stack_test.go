//go:build unix

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	temporalclient "go.temporal.io/sdk/client"
	temporallog "go.temporal.io/sdk/log"
)

// crashPatience bounds every wait. The longest that is due is a step that was
// cut off: Temporal gives it 30 s before it hands it to somebody else.
const crashPatience = 90 * time.Second

const crashPolicy = `
rules:
  - {tool: allowed, auto_approve: true}
  - {tool: allowed_slow, auto_approve: true}
  - {tool: allowed_block, auto_approve: true}
  - {tool: "*", require_approval: true}
`

// crashStack is a data directory and the pawl-dev process that runs on it, if
// one does: a real process, in a group of its own, that is killed as a whole.
type crashStack struct {
	t      *testing.T
	binary string
	dir    string
	tools  *crashTools
	api    *client.Client // reaches whichever process runs, and waits while none does

	mu        sync.Mutex
	processes []*crashProcess // the last one is the latest
	running   *crashProcess   // nil: none serves
	changed   chan struct{}   // closed when running changes
	kills     []time.Time     // when each process was certainly dead
}

type crashProcess struct {
	cmd   *exec.Cmd
	log   crashLog
	ready chan crashAddresses
	at    crashAddresses
	done  chan struct{} // closed when it has ended, with err
	err   error
}

type crashAddresses struct {
	Ready         bool
	API, Temporal string
}

func newCrashStack(t *testing.T, binary string) *crashStack {
	s := &crashStack{t: t, binary: binary, dir: t.TempDir(), tools: newCrashTools(t), changed: make(chan struct{})}
	s.api = s.as("ana")
	for name, text := range map[string]string{"tools.yaml": s.tools.file(), "policy.yaml": crashPolicy} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, p := range s.processes {
			p.kill()
			if t.Failed() && i >= len(s.processes)-2 {
				t.Logf("process %d of %d, the end of its stderr:\n%s", i+1, len(s.processes), p.log.tail(4<<10))
			}
		}
	})
	return s
}

// as is a client of one reviewer. It follows the stack from port to port.
func (s *crashStack) as(reviewer string) *client.Client {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		p, err := s.serving(ctx)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(p.at.API, "http://"))
	}
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}
	s.t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(client.Options{URL: "http://localhost", Reviewer: reviewer, HTTP: &http.Client{Transport: transport}})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// serving waits until a process serves.
func (s *crashStack) serving(ctx context.Context) (*crashProcess, error) {
	for {
		s.mu.Lock()
		p, changed := s.running, s.changed
		s.mu.Unlock()
		if p != nil {
			return p, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *crashStack) now(p *crashProcess) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = p
	close(s.changed)
	s.changed = make(chan struct{})
}

// spawn starts a process and returns at once.
func (s *crashStack) spawn(flags ...string) *crashProcess {
	s.t.Helper()
	p := &crashProcess{ready: make(chan crashAddresses, 1), done: make(chan struct{})}
	p.cmd = exec.Command(s.binary, append([]string{
		"--data", "data", "--tools", "tools.yaml", "--policy", "policy.yaml", "--no-ui",
		"--api-listen", "127.0.0.1:0", "--temporal-listen", "127.0.0.1:0",
	}, flags...)...)
	p.cmd.Dir, p.cmd.Stderr = s.dir, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	go func() {
		defer close(p.done)
		var at crashAddresses
		if json.NewDecoder(stdout).Decode(&at) == nil && at.Ready {
			p.ready <- at
		}
		_, _ = io.Copy(io.Discard, stdout)
		p.err = p.cmd.Wait()
	}()
	return p
}

// start starts a process and returns when it serves.
func (s *crashStack) start(flags ...string) {
	s.t.Helper()
	p := s.spawn(flags...)
	select {
	case p.at = <-p.ready:
		s.now(p)
	case <-p.done:
		s.t.Fatalf("pawl-dev did not start: %v", p.err)
	case <-time.After(crashPatience):
		s.t.Fatal("pawl-dev did not get ready")
	}
}

// kill is kill -9 of the whole group, and returns when it is dead.
func (s *crashStack) kill() {
	s.mu.Lock()
	p := s.processes[len(s.processes)-1]
	s.mu.Unlock()
	p.kill()
	s.ended()
}

func (s *crashStack) ended() {
	s.now(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kills = append(s.kills, time.Now())
}

func (p *crashProcess) kill() {
	select {
	case <-p.done: // its number may be somebody else's by now
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

func (s *crashStack) killed(from, to time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, at := range s.kills {
		if at.After(from) && at.Before(to) {
			return true
		}
	}
	return false
}

// temporal is a client of the process that runs now.
func (s *crashStack) temporal() temporalclient.Client {
	s.t.Helper()
	p, err := s.serving(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := temporalclient.Dial(temporalclient.Options{
		HostPort: p.at.Temporal, Logger: temporallog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// until polls until f is true.
func (s *crashStack) until(what string, f func() bool) {
	s.t.Helper()
	if !crashPoll(s.t.Context(), crashPatience, f) {
		s.t.Fatalf("waited %v in vain: %s", crashPatience, what)
	}
}

func crashPoll(ctx context.Context, most time.Duration, f func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// call starts a call and returns as soon as that is acknowledged.
func (s *crashStack) call(tool string, timeout time.Duration) client.View {
	s.t.Helper()
	v, _, err := s.api.Start(s.t.Context(), approval.Call{Tool: tool, Timeout: approval.Duration(timeout)}, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// pending starts a call and returns when it waits for people.
func (s *crashStack) pending(tool string, timeout time.Duration) client.View {
	s.t.Helper()
	return s.waits(s.call(tool, timeout).ID)
}

func (s *crashStack) waits(id string) (v client.View) {
	s.t.Helper()
	s.until("the call waits", func() bool {
		var err error
		v, err = s.api.Get(s.t.Context(), id, 0)
		return err == nil && v.Status == approval.StatusPending
	})
	return v
}

func (s *crashStack) approve(v client.View) {
	s.t.Helper()
	a, err := s.api.Decide(s.t.Context(), v.ID, client.Decision{Kind: approval.Approve, Digest: v.Digest})
	if err != nil || a.Outcome != approval.AnswerResolved {
		s.t.Fatalf("approving: %+v, %v", a, err)
	}
}

// ends waits for a call's end, which must be one of statuses.
func (s *crashStack) ends(id string, statuses ...approval.Status) client.View {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), crashPatience)
	defer cancel()
	v, err := s.api.Wait(ctx, id)
	if err != nil {
		s.t.Fatalf("call %s (last seen %s): %v", id, v.Status, err)
	}
	for _, status := range statuses {
		if v.Status == status {
			return v
		}
	}
	s.t.Errorf("call %s ended %s (%+v), want %v", id, v.Status, v.Error, statuses)
	return v
}

// post is one bare request, as an agent without our client would send it.
func (s *crashStack) post(path, body string) (status int, answer map[string]any) {
	s.t.Helper()
	p, err := s.serving(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, p.at.API+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Pawl-Reviewer", "ana")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		s.t.Fatalf("%s answered %s: %v", path, resp.Status, err)
	}
	return resp.StatusCode, answer
}

// crashLog keeps the end of what is written to it.
type crashLog struct {
	mu   sync.Mutex
	text []byte
}

func (l *crashLog) Write(b []byte) (int, error) {
	const most = 256 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	l.text = l.text[max(0, len(l.text)-most):]
	return len(b), nil
}

func (l *crashLog) tail(most int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[max(0, len(l.text)-most):])
}

func (l *crashLog) has(text string) bool { return strings.Contains(l.tail(256<<10), text) }

// crashBuild builds the program that users run. It is not built with the race
// detector when the tests are: that would build Temporal's server anew.
func crashBuild(t *testing.T) string {
	binary := filepath.Join(t.TempDir(), "pawl-dev")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../cmd/pawl-dev").CombinedOutput()
	if err != nil {
		t.Fatal(fmt.Errorf("go build: %w\n%s", err, out))
	}
	return binary
}
