//go:build unix

package e2e_test

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
	"github.com/pawlhq/pawl/store"
	temporalclient "go.temporal.io/sdk/client"
	temporallog "go.temporal.io/sdk/log"
)

// crashPatience bounds every wait. The longest that is due is a step that was
// cut off: Temporal gives it 30 s before it hands it to somebody else.
const crashPatience = 90 * time.Second

// crashWorld is what a crash test kills: processes, the files they keep, and
// the tools, which live in the test and count what really ran.
type crashWorld struct {
	t     *testing.T
	dir   string
	seed  uint64 // of the storm
	tools *crashTools
	seal  *crashSeal // nil: the world is plain
	crashPeople

	parts    []*crashPart
	temporal *crashPart    // the one in which Temporal runs
	apis     []*crashPart  // those that serve the HTTP API
	workers  []*crashPart  // those whose death or sleep may cut off a tool
	agent    *crashPart    // nil: the world has no agent of its own
	storm    time.Time     // when it began
	patience time.Duration // in it

	// Of Postgres; nil and empty: the store is a SQLite file.
	database    *crashPart
	databaseURL string

	open func(context.Context) (crashStore, func() error, error)

	mu      sync.Mutex
	sent    map[string]crashSent // what people decided, by decision ID
	changed chan struct{}        // closed when a part begins or ceases to serve
}

// crashStore is what a checker reads.
type crashStore interface {
	store.Reader
	store.KeyReader
	ID(context.Context) (string, error)
}

func newCrashWorld(t *testing.T, site crashSite) *crashWorld {
	w := &crashWorld{t: t, dir: t.TempDir(), seed: site.seed, tools: newCrashTools(t), changed: make(chan struct{}), sent: map[string]crashSent{}}
	if site.sealed {
		w.seal = &crashSeal{w: w, pawl: site.pawl}
	} else {
		w.crashPeople = w.people()
	}
	for name, text := range map[string]string{"tools.yaml": w.tools.file(), "policy.yaml": crashPolicy} {
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

// add makes a part, which is not started yet.
func (w *crashWorld) add(name, binary string, needs []*crashPart, args ...string) *crashPart {
	p := &crashPart{w: w, name: name, needs: needs, args: args}
	p.command = func(flags ...string) *exec.Cmd {
		cmd := exec.Command(binary, append(slices.Clone(p.args), flags...)...)
		cmd.Dir = w.dir
		return cmd
	}
	w.parts = append(w.parts, p)
	return p
}

// env makes a part's processes get variables beside the test's own.
func (p *crashPart) env(variables ...string) *crashPart {
	inner := p.command
	p.command = func(flags ...string) *exec.Cmd {
		cmd := inner(flags...)
		cmd.Env = append(os.Environ(), variables...)
		return cmd
	}
	return p
}

// start starts every part but the agent, and returns when all serve.
func (w *crashWorld) start(flags ...string) {
	w.t.Helper()
	for _, p := range w.parts {
		if p != w.agent {
			p.up(flags...)
		}
	}
	w.ready()
}

// ready waits until every part that is wanted serves.
func (w *crashWorld) ready() {
	w.t.Helper()
	w.until("every part serves", func() bool {
		for _, p := range w.parts {
			w.mu.Lock()
			waits := p.wanted && !p.last().serves
			w.mu.Unlock()
			if waits {
				return false
			}
		}
		return true
	})
}

// kill is kill -9 of parts, of all if none is named.
func (w *crashWorld) kill(parts ...*crashPart) {
	if len(parts) == 0 {
		parts = w.parts
	}
	for _, p := range parts {
		p.down(syscall.SIGKILL, 0)
	}
}

// served notes that a life serves.
func (w *crashWorld) served(l *crashLife, at crashAddresses) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.serves, l.at = true, at
	if p := l.part; len(p.away) > 0 {
		p.away[len(p.away)-1].to = time.Now()
	}
	w.tell()
}

// ended notes the end of a life. It tells whether the part is wanted, and
// whether something that it needs was away in that life.
func (w *crashWorld) ended(l *crashLife) (wanted, excused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := l.part
	l.died, l.serves = time.Now(), false
	if n := len(p.away); n == 0 || !p.away[n-1].to.IsZero() {
		p.away = append(p.away, crashSpan{from: l.died})
	}
	excused = p.stubborn
	for _, need := range p.needs {
		excused = excused || !need.last().serves || need.wasAway(l.born, l.died)
	}
	w.tell()
	return p.wanted, excused
}

// wasAway reports whether a part was away, or asleep, at any moment of a time;
// w.mu is held.
func (p *crashPart) wasAway(from, to time.Time) bool {
	for _, s := range p.away {
		if s.touches(from, to) {
			return true
		}
	}
	for _, l := range p.lives {
		for _, s := range l.sleeps {
			if s.touches(from, to) {
				return true
			}
		}
	}
	return false
}

// cutOff reports whether the process with that number slept at any moment of a
// time, or was dead at its end.
func (w *crashWorld) cutOff(pid int, from, to time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.parts {
		for _, l := range p.lives {
			if l.cmd.Process.Pid != pid {
				continue
			}
			if !l.died.IsZero() && l.died.Before(to) {
				return true
			}
			for _, s := range l.sleeps {
				if s.touches(from, to) {
					return true
				}
			}
		}
	}
	return false
}

// tell wakes who waits for a change; w.mu is held.
func (w *crashWorld) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// deaths counts the processes that ended.
func (w *crashWorld) deaths() (n int) {
	for _, p := range w.parts {
		for _, l := range p.lives {
			select {
			case <-l.done:
				n++
			default:
			}
		}
	}
	return n
}

// serving waits until one of the parts serves, and returns where. Of several
// it takes any.
func (w *crashWorld) serving(ctx context.Context, parts ...*crashPart) (*crashLife, error) {
	for {
		w.mu.Lock()
		var serve []*crashLife
		for _, p := range parts {
			if l := p.last(); l != nil && l.serves {
				serve = append(serve, l)
			}
		}
		changed := w.changed
		w.mu.Unlock()
		if len(serve) > 0 {
			return serve[rand.IntN(len(serve))], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// as is a client of one person or agent. Each of its connections goes to any
// API that serves, and waits while none does.
func (w *crashWorld) as(name string) *client.Client {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		l, err := w.serving(ctx, w.apis...)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(l.at.API, "http://"))
	}
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16}
	w.t.Cleanup(transport.CloseIdleConnections)
	o := client.Options{URL: "http://localhost", Reviewer: name, HTTP: &http.Client{Transport: transport}}
	if w.seal != nil {
		o.Reviewer, o.Token = "", w.seal.token(name)
	}
	c, err := client.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// dialTemporal is a client of the Temporal that runs now.
func (w *crashWorld) dialTemporal() temporalclient.Client {
	w.t.Helper()
	l, err := w.serving(w.t.Context(), w.temporal)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := crashDial(w.t.Context(), l, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// crashDial connects to a life of Temporal, with a keyring or without.
func crashDial(ctx context.Context, l *crashLife, keys *codec.Keyring) (temporalclient.Client, error) {
	o := temporalclient.Options{HostPort: l.at.Temporal, Logger: temporallog.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	if keys != nil {
		if err := keys.Configure(&o); err != nil {
			return nil, err
		}
	}
	return temporalclient.DialContext(ctx, o)
}

// until polls until f is true.
func (w *crashWorld) until(what string, f func() bool) {
	w.t.Helper()
	if !crashPoll(w.t.Context(), crashPatience, f) {
		w.t.Fatalf("waited %v in vain: %s", crashPatience, what)
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
