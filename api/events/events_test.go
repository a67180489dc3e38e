package events

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/store"
)

// source is a log of changes.
type source struct {
	mu    sync.Mutex
	log   []store.Change
	err   error
	looks int
}

func (s *source) Changes(_ context.Context, after int64) ([]store.Change, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	end := int64(len(s.log))
	if s.err != nil || after < 0 {
		return nil, end, s.err
	}
	return slices.Clone(s.log[after:]), end, nil
}

func (s *source) change(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		requester, _, _ := strings.Cut(id, "-")
		s.log = append(s.log, store.Change{ID: id, Requester: requester, Revision: int64(len(s.log))})
	}
}

func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *source) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

// bench is a hub that is served.
type bench struct {
	*testing.T
	*source
	hub    *Hub
	server *httptest.Server
	good   atomic.Pointer[error] // what Good answers
}

func setup(t *testing.T) *bench {
	b := &bench{T: t, source: &source{}}
	b.hub = New(b.source, slog.New(slog.DiscardHandler))
	b.hub.times = times{interval: 2 * time.Millisecond, heartbeat: 20 * time.Millisecond, write: time.Second}
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := Listener{Requester: r.URL.Query().Get("requester"), Good: func() error {
			if err := b.good.Load(); err != nil {
				return *err
			}
			return nil
		}}
		if err := b.hub.Serve(r.Context(), w, who); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(b.server.Close)
	return b
}

// stream is what one listener hears.
type stream struct {
	*testing.T
	lines  *bufio.Scanner
	status int
	leave  context.CancelFunc
}

func (b *bench) listen(requester string) *stream {
	b.Helper()
	ctx, leave := context.WithTimeout(b.Context(), 20*time.Second)
	b.Cleanup(leave)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.URL+"?requester="+requester, nil)
	if err != nil {
		b.Fatal(err)
	}
	answer, err := b.server.Client().Do(r)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { answer.Body.Close() })
	return &stream{b.T, bufio.NewScanner(answer.Body), answer.StatusCode, leave}
}

// next is the next event that is not a heartbeat; empty: the stream has ended.
func (s *stream) next() (event string) {
	for s.lines.Scan() {
		line := s.lines.Text()
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			event = name
		} else if data, ok := strings.CutPrefix(line, "data: "); ok {
			return event + " " + data
		}
	}
	return ""
}

// heartbeat waits for the next one.
func (s *stream) heartbeat() (heard bool) {
	for s.lines.Scan() {
		if strings.HasPrefix(s.lines.Text(), ":") {
			return true
		}
	}
	return false
}

func (s *stream) expect(events ...string) {
	s.Helper()
	var got []string
	for range events {
		got = append(got, s.next())
	}
	slices.Sort(got)
	if !slices.Equal(got, events) {
		s.Fatalf("heard %q, want %q", got, events)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestListenersHearWhatTheyMay(t *testing.T) {
	b := setup(t)
	b.change("bob-0")
	all, bob := b.listen(""), b.listen("bob")
	all.expect("reset {}")
	bob.expect("reset {}")
	b.change("ann-1", "bob-2")
	all.expect(`changed {"id":"ann-1","revision":1}`, `changed {"id":"bob-2","revision":2}`)
	bob.expect(`changed {"id":"bob-2","revision":2}`)
	b.change("ann-3")
	b.change("bob-4\nevent: reset")
	bob.expect(`changed {"id":"bob-4\nevent: reset","revision":4}`)
}

func TestNobodyLooksWhileNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		h := New(s, slog.New(slog.DiscardHandler))
		listen := func() (leave func()) {
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				if err := h.Serve(ctx, &connection{ResponseRecorder: httptest.NewRecorder()}, anybody); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
			return leave
		}
		looks := func(in time.Duration) int {
			before := s.looked()
			time.Sleep(in)
			synctest.Wait()
			return s.looked() - before
		}
		first, second := listen(), listen()
		if got := looks(10*usual.interval + usual.interval/2); got != 10 {
			t.Errorf("two listen, and there are %d looks in ten intervals", got)
		}
		first()
		if got := looks(10 * usual.interval); got != 10 {
			t.Errorf("one listens, and there are %d looks in ten intervals", got)
		}
		second()
		synctest.Wait()
		if got := looks(time.Hour); got != 0 {
			t.Errorf("nobody listens, and there are %d looks", got)
		}
		third := listen()
		if got := looks(10 * usual.interval); got < 9 {
			t.Errorf("somebody listens again, and there are %d looks in ten intervals", got)
		}
		third()
		synctest.Wait()
	})
}

// Who has no good credential any more hears nothing more after a heartbeat, also where nothing changes.
func TestStreamEndsWithItsCredential(t *testing.T) {
	b := setup(t)
	one := b.listen("")
	one.expect("reset {}")
	revoked := errors.New("revoked")
	b.good.Store(&revoked)
	for got := one.next(); got != ""; got = one.next() { // what came before the heartbeat
		t.Errorf("heard %q though nothing changed", got)
	}
	busy := setup(t)
	other := busy.listen("")
	other.expect("reset {}")
	busy.good.Store(&revoked)
	for i := 0; other.next() != ""; i++ { // it ends at a heartbeat, however much changes
		busy.change(fmt.Sprint("a-", i))
	}
	if got := b.listen("").next(); got != "" {
		t.Errorf("heard %q without a credential", got)
	}
}

// Whoever takes a credential back says so, and no heartbeat is waited for.
func TestStreamEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(&source{}, slog.New(slog.DiscardHandler))
		var revoked atomic.Bool
		good := func() error { return nil }
		serve := func(good func() error) (ended *atomic.Bool, leave func()) {
			ctx, leave := context.WithCancel(t.Context())
			ended = new(atomic.Bool)
			go func() {
				_ = h.Serve(ctx, &connection{ResponseRecorder: httptest.NewRecorder()}, Listener{Good: good})
				ended.Store(true)
			}()
			synctest.Wait()
			return ended, leave
		}
		other, leave := serve(good)
		ended, _ := serve(func() error {
			if revoked.Load() {
				return errors.New("revoked")
			}
			return nil
		})
		if h.Check(); ended.Load() || other.Load() {
			t.Error("a stream ended though its credential is good")
		}
		revoked.Store(true)
		h.Check()
		if synctest.Wait(); !ended.Load() || other.Load() {
			t.Errorf("ended: %v, and the other's: %v", ended.Load(), other.Load())
		}
		leave()
		synctest.Wait()
	})
}

func TestStoreThatFails(t *testing.T) {
	b := setup(t)
	one := b.listen("")
	if one.expect("reset {}"); !one.heartbeat() {
		t.Fatal("no heartbeat was heard")
	}
	b.fail(errors.New("away"))
	looks := b.looked()
	eventually(t, "it is looked again", func() bool { return b.looked() > looks+3 })
	if s := b.listen(""); s.status != http.StatusOK { // others listen already
		t.Errorf("answered %d", s.status)
	}
	b.change("a-1")
	b.fail(nil)
	one.expect(`changed {"id":"a-1","revision":0}`)

	other := setup(t)
	other.fail(errors.New("away"))
	if s := other.listen(""); s.status != http.StatusServiceUnavailable {
		t.Errorf("answered %d though the store is away", s.status)
	}
}

// While the store can't be read nobody hears that nothing changed.
func TestHeartbeatOnlyWhenKnown(t *testing.T) {
	l := &listener{pending: map[string]int64{}}
	if got := l.take(true); len(got) > 0 {
		t.Errorf("before any look: %q", got)
	}
	l.wake = make(chan struct{}, 1)
	l.hear(nil)
	if got := string(l.take(false)); got != "" {
		t.Errorf("nothing is due: %q", got)
	}
	if got := string(l.take(true)); got != ": nothing changed\n\n" {
		t.Errorf("after a look: %q", got)
	}
	if got := string(l.take(true)); got != "" {
		t.Errorf("after no further look: %q", got)
	}
}

func TestManyChangesBecomeAReset(t *testing.T) {
	l := &listener{pending: map[string]int64{}, wake: make(chan struct{}, 1)}
	var many []store.Change
	for i := range maxPending + 1 {
		many = append(many, store.Change{ID: fmt.Sprint(i)})
	}
	l.hear(many[:maxPending])
	l.hear(many[maxPending:])
	if got := string(l.take(false)); got != "event: reset\ndata: {}\n\n" {
		t.Errorf("sent %d bytes", len(got))
	}
}

// connection is a client's.
type connection struct {
	*httptest.ResponseRecorder
	stuck    bool // it reads nothing
	deadline time.Time
}

var anybody = Listener{Good: func() error { return nil }}

func (*connection) SetReadDeadline(time.Time) error      { return nil }
func (c *connection) SetWriteDeadline(t time.Time) error { c.deadline = t; return nil }
func (c *connection) Write(text []byte) (int, error) {
	if !c.stuck {
		return c.ResponseRecorder.Write(text)
	}
	time.Sleep(time.Until(c.deadline)) // in a test's own time
	return 0, os.ErrDeadlineExceeded
}

func TestSlowReadersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, began := New(&source{}, slog.New(slog.DiscardHandler)), time.Now()
		err := h.Serve(t.Context(), &connection{ResponseRecorder: httptest.NewRecorder(), stuck: true}, anybody)
		if took := time.Since(began); err != nil || len(h.joined) > 0 || took != usual.write {
			t.Errorf("%d listen, %v after %v", len(h.joined), err, took)
		}
	})
}

func TestListenersAreBounded(t *testing.T) {
	b := setup(t)
	one := b.listen("")
	one.expect("reset {}")
	b.hub.mu.Lock()
	for range MaxListeners - 1 {
		b.hub.joined[&listener{wake: make(chan struct{}, 1)}] = struct{}{}
	}
	b.hub.mu.Unlock()
	if s := b.listen(""); s.status != http.StatusServiceUnavailable {
		t.Errorf("one more was answered %d", s.status)
	}
}
