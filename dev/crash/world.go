//go:build unix

package crash

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/dev/child"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/store"
	temporalclient "go.temporal.io/sdk/client"
	temporallog "go.temporal.io/sdk/log"
)

// patience bounds every wait. The longest that is due is a step that was cut off: Temporal gives it
// 30 s before it hands it to somebody else.
const patience = 90 * time.Second

// world is what a crash test kills: processes, the files they keep, and the tools, which live in
// the test and count what really ran.
type world struct {
	spec
	people
	t         *testing.T
	dir       string
	tools     *tools
	hardening *hardening // nil: the world is plain

	parts    []*part
	temporal *part   // the one in which Temporal runs
	apis     []*part // those that serve the HTTP API
	workers  []*part // those whose death or pause may cut off a tool
	agent    *asker  // nil: all is in one process
	caller   *asker
	askers   []*asker // both, if both are there

	stormBegan    time.Time
	stormPatience time.Duration   // bounds waits while it lasts
	stormOver     context.Context // done when nothing strikes any more

	// Of Postgres; nil and empty: the store is a SQLite file.
	database    *part
	databaseURL string

	logKey string // file of the key that seals the audit log, in dir
	open   func(context.Context) (storeReader, func() error, error)

	mu   sync.Mutex
	sent map[string]sentDecision // what people decided, by decision ID
	// acknowledged is when the API first said that a decision was made, by its ID.
	acknowledged map[string]time.Time
	changed      chan struct{} // closed when a part begins or ceases to serve
}

// storeReader is what the checker reads.
type storeReader interface {
	store.Reader
	store.KeyReader
	store.LogReader
	ID(context.Context) (string, error)
}

func newWorld(t *testing.T, o spec) *world {
	w := &world{
		spec: o, t: t, dir: t.TempDir(), tools: newTools(t),
		changed: make(chan struct{}), sent: map[string]sentDecision{}, acknowledged: map[string]time.Time{},
	}
	if o.hardened {
		w.hardening = &hardening{w: w}
	} else {
		w.people = w.newPeople()
	}
	for name, text := range map[string]string{"tools.yaml": w.tools.file(), "policy.yaml": o.policy()} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, p := range w.parts {
			p.down(syscall.SIGKILL, 0)
			if t.Failed() {
				p.report(t)
			}
		}
	})
	return w
}

// add makes a part that runs a program with arguments and, beside the test's own, variables. It is
// not started yet.
func (w *world) add(name, program string, args []string, variables ...string) *part {
	p := &part{w: w, name: name, args: args}
	p.command = func(flags ...string) *exec.Cmd {
		cmd := exec.Command(w.program(program), slices.Concat(p.args, flags)...)
		cmd.Dir, cmd.Env = w.dir, programs.Environment(variables...)
		return cmd
	}
	w.parts = append(w.parts, p)
	return p
}

// start starts every part but the askers, and returns when all serve.
func (w *world) start(flags ...string) {
	w.t.Helper()
	for _, p := range w.parts {
		if !slices.ContainsFunc(w.askers, func(k *asker) bool { return k.part == p }) {
			p.up(flags...)
		}
	}
	w.ready()
}

// ready waits until every part that is wanted serves.
func (w *world) ready() {
	w.t.Helper()
	w.until("every part serves", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !slices.ContainsFunc(w.parts, func(p *part) bool { return p.wanted && !p.last().serving })
	})
}

// kill is kill -9 of parts, of all if none is named.
func (w *world) kill(parts ...*part) {
	if len(parts) == 0 {
		parts = w.parts
	}
	for _, p := range parts {
		p.down(syscall.SIGKILL, 0)
	}
}

// served notes that a process serves.
func (w *world) served(x *process, at child.Addresses) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x.serving, x.at = true, at
	if p := x.part; p.wanted && len(p.absences) > 0 {
		p.absences[len(p.absences)-1].to = time.Now()
	}
	w.notify()
}

// ended notes the end of a process. It reports whether the part is wanted, and until when, and whether
// something that it needs was away in the process's time.
func (w *world) ended(x *process) (wanted, finishing, excused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := x.part
	x.died, x.serving = time.Now(), false
	p.leaves(x.died)
	excused = p.retries
	for _, need := range p.needs {
		excused = excused || !need.last().serving || need.wasAway(x.born, x.died)
	}
	w.notify()
	return p.wanted, p.finishing, excused
}

// leaves notes from when on the part is away, until it serves again; w.mu is held.
func (p *part) leaves(from time.Time) {
	if n := len(p.absences); n == 0 || !p.absences[n-1].to.IsZero() {
		p.absences = append(p.absences, span{from: from})
	}
}

// wasAway reports whether a part was away, or paused, at any moment of a time; w.mu is held.
func (p *part) wasAway(from, to time.Time) bool {
	if touch(p.absences, from, to) {
		return true
	}
	for _, x := range p.processes {
		if touch(x.pauses, from, to) {
			return true
		}
	}
	return false
}

func touch(spans []span, from, to time.Time) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.touches(from, to) })
}

// cutOff reports whether the process that took a run was paused at any moment of it, or was dead at
// its end.
func (w *world) cutOff(r toolRun) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.parts {
		for _, x := range p.processes {
			dead := !x.died.IsZero() && x.died.Before(r.ended)
			if x.PID() == r.pid && (dead || touch(x.pauses, r.started, r.ended)) {
				return true
			}
		}
	}
	return false
}

// notify wakes who waits for a change; w.mu is held.
func (w *world) notify() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// deaths counts the processes that ended.
func (w *world) deaths() (n int) {
	for _, p := range w.parts {
		for _, x := range p.processes {
			if x.Ended() {
				n++
			}
		}
	}
	return n
}

// serving waits until one of the parts serves, and returns that process. Of several it takes any.
func (w *world) serving(ctx context.Context, parts ...*part) (*process, error) {
	for {
		w.mu.Lock()
		var serving []*process
		for _, p := range parts {
			if x := p.last(); x != nil && x.serving {
				serving = append(serving, x)
			}
		}
		changed := w.changed
		w.mu.Unlock()
		if len(serving) > 0 {
			return serving[rand.IntN(len(serving))], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// as is a client of one person or agent. Each of its connections goes to any API that serves, and
// waits while none does.
func (w *world) as(name string) *client.Client {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		x, err := w.serving(ctx, w.apis...)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(x.at.API, "http://"))
	}
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}
	w.t.Cleanup(transport.CloseIdleConnections)
	o := client.Options{URL: "http://localhost", Reviewer: name, HTTP: &http.Client{Transport: transport}}
	if w.hardening != nil {
		o.Reviewer, o.Token = "", w.hardening.token(name)
	}
	c, err := client.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// dialTemporal is a client of the Temporal that runs now.
func (w *world) dialTemporal() temporalclient.Client {
	w.t.Helper()
	x, err := w.serving(w.t.Context(), w.temporal)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := dial(w.t.Context(), x, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// dial connects to a process of Temporal, with a keyring or without.
func dial(ctx context.Context, x *process, keys *codec.Keyring) (temporalclient.Client, error) {
	logger := temporallog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	o := temporalclient.Options{HostPort: x.at.Temporal, Logger: logger}
	if keys != nil {
		if err := keys.Configure(&o); err != nil {
			return nil, err
		}
	}
	return temporalclient.DialContext(ctx, o)
}

// until polls until f is true.
func (w *world) until(what string, f func() bool) {
	w.t.Helper()
	if !poll(w.t.Context(), patience, f) {
		w.t.Fatalf("waited %v in vain: %s", patience, what)
	}
}

func poll(ctx context.Context, most time.Duration, f func() bool) bool {
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
