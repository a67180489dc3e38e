package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
)

// waitFor waits for a condition that another goroutine brings about.
func waitFor(t testing.TB, what string, done func() bool) {
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

// serve runs the server on a port of its own; stop ends it and returns what Serve did.
func (w *world) serve() (base string, stop func() error) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, l) }()
	stop = func() error { cancel(); return <-served }
	w.t.Cleanup(cancel)
	return "http://" + l.Addr().String(), stop
}

func TestServeRefusesOtherMachines(t *testing.T) {
	w := newWorld(t)
	for _, address := range []string{"0.0.0.0:0", "[::]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Logf("%s: %v", address, err)
			continue
		}
		if err := w.server.Serve(context.Background(), l); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: %v", address, err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the listener is left open: %v", address, err)
		}
	}
	unix, err := net.Listen("unix", t.TempDir()+"/pawl.sock")
	if err != nil {
		t.Skip(err)
	}
	if err := w.server.Serve(context.Background(), unix); err == nil {
		t.Error("a unix socket is served")
	}
}

func TestServeChecksThePort(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Hosts = []string{"pawl.internal"} })
	base, stop := w.serve()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(base, "http://"))
	for host, status := range map[string]int{
		"localhost:" + port: 200, "[::1]:" + port: 200, "pawl.internal:" + port: 200, "127.0.0.1": 200,
		"localhost:1": 421, "pawl.internal:1": 421, "evil.example:" + port: 421,
	} {
		r, _ := http.NewRequest("GET", base+"/healthz", nil)
		r.Host = host
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", host, resp.StatusCode, status)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// At shutdown, requests that wait are answered with what is known.
func TestShutdownAnswersWaiters(t *testing.T) {
	w := newWorld(t)
	w.request("pawl-1")
	base, stop := w.serve()
	type answer struct {
		status int
		body   string
		err    error
	}
	answers := make(chan answer, 2)
	read := func(resp *http.Response, err error) {
		if err != nil {
			answers <- answer{err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		answers <- answer{resp.StatusCode, string(body), err}
	}
	go func() { read(http.Get(base + "/api/calls/pawl-1?wait=60s")) }()
	go func() {
		read(http.Post(base+"/api/calls", "application/json", strings.NewReader(`{"tool":"t","wait":"60s"}`)))
	}()
	waitFor(t, "both wait", func() bool { return w.temporal.waiters() == 2 })
	begun := time.Now()
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("shutdown took %v", d)
	}
	got := map[int]string{}
	for range 2 {
		a := <-answers
		if a.err != nil {
			t.Fatal(a.err)
		}
		got[a.status] = a.body
	}
	for status, want := range map[int]string{200: `"status":"pending"`, 202: `"status":"evaluating"`} {
		if !strings.Contains(got[status], want) {
			t.Errorf("%d: %q", status, got[status])
		}
	}
}

// A caller that leaves ends its waiting, not its call.
func TestDisconnectEndsOnlyTheWaiting(t *testing.T) {
	w := newWorld(t)
	base, stop := w.serve()
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan error)
	go func() {
		r, _ := http.NewRequestWithContext(ctx, "POST", base+"/api/calls", strings.NewReader(`{"tool":"t","idempotency_key":"k1","wait":"60s"}`))
		r.Header.Set("Content-Type", "application/json")
		_, err := http.DefaultClient.Do(r)
		left <- err
	}()
	id := approval.KeyedID(auth.LocalSubject, "k1")
	waitFor(t, "the call waits", func() bool { return w.temporal.waiters() == 1 })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("client got %v", err)
	}
	waitFor(t, "the waiting ends", func() bool { return w.temporal.waiters() == 0 })
	w.temporal.complete(id, executed(id))
	resp, err := http.Get(base + "/api/calls/" + id)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var o approval.Outcome
	if err := json.NewDecoder(resp.Body).Decode(&o); err != nil || o.Status != approval.StatusExecuted {
		t.Errorf("%+v %v", o, err)
	}
	if f := w.temporal.get(id); len(f.signals) != 0 {
		t.Errorf("leaving sent %v", f.signals)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A waiting request outlives the time that its arrival may take.
func TestReadDeadlineDoesNotEndWaiting(t *testing.T) {
	w := newWorld(t)
	w.request("pawl-1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: w.server, ReadTimeout: 500 * time.Millisecond}
	go hs.Serve(l)
	defer hs.Close()
	done := make(chan error, 1)
	go func() {
		resp, err := http.Get(fmt.Sprintf("http://%s/api/calls/pawl-1?wait=1500ms", l.Addr()))
		if err == nil {
			defer resp.Body.Close()
			if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), `"pending"`) {
				err = fmt.Errorf("%d %s", resp.StatusCode, body)
			}
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReadyz(t *testing.T) {
	golden(t, "ready", newWorld(t).get("/readyz"))

	w := newWorld(t, func(o *Options) {
		o.Ready = func(context.Context) error { return errors.New("hunter2") }
	})
	w.temporal.healthErr = errors.New("hunter2")
	w.store.err = errors.New("hunter2")
	rec := w.get("/readyz")
	if rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	golden(t, "not_ready", rec)
	if rec := w.get("/healthz"); rec.Code != 200 {
		t.Errorf("healthz is %d", rec.Code)
	}

	// What the API can do without is told and no more.
	w = newWorld(t, func(o *Options) { o.TaskQueue = "calls" })
	w.temporal.deserted["calls/Workflow"], w.temporal.lacks = true, approval.SearchAgent
	golden(t, "ready_without", w.get("/readyz"))

	w = newWorld(t, func(o *Options) { o.Namespace = "payments" })
	if rec := w.get("/readyz"); rec.Code != 503 || !strings.Contains(rec.Body.String(), `"namespace":"missing"`) || !strings.Contains(rec.Body.String(), `\"payments\"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}

	// A check that never returns is a check that fails.
	w = newWorld(t, func(o *Options) {
		o.Ready = func(context.Context) error { select {} }
	})
	if rec := w.get("/readyz"); rec.Code != 503 || !strings.Contains(rec.Body.String(), `"service":"unavailable"`) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
