package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// fakeCallers knows no calls, and tells what it was asked for.
type fakeCallers struct {
	store     *fakeStore // of calls that are settled
	taken     []string
	delivered []string
	released  []string
	renewed   atomic.Int32
	said      []audit.Settled
	sources   []string // of lists
}

func (*fakeCallers) StartCaller(context.Context, string, approval.Call, string, approval.Actor) (store.Record, error) {
	return store.Record{}, store.ErrNoPermit
}

func (*fakeCallers) ReportLate(context.Context, string, approval.Call, approval.SentReport) error {
	return nil
}

func (f *fakeCallers) Settle(
	_ context.Context, id string, _ approval.Call, said audit.Settled,
) (store.Record, error) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	said.Settled.At = testTime
	r, _, err := store.ApplySettle(f.store.records[id], store.SettleParams{ID: id, Settled: said.Settled})
	if err == nil {
		f.store.records[id] = r
		f.said = append(f.said, said)
	}
	return r, err
}

func (f *fakeCallers) OfferOwn(_ context.Context, _, source string, _ []store.OwnTool) ([]string, error) {
	f.sources = append(f.sources, source)
	return f.taken, nil
}

func (*fakeCallers) Attach(context.Context, string) (string, error) { return "", store.ErrNotFound }
func (*fakeCallers) AlikeKey(context.Context) ([]byte, error)       { return []byte("key"), nil }

func (f *fakeCallers) Renew(context.Context, string) error {
	f.renewed.Add(1)
	return nil
}

func (f *fakeCallers) Release(_ context.Context, id string) error {
	f.released = append(f.released, id)
	return nil
}

func (f *fakeCallers) Deliver(_ context.Context, id string) error {
	f.delivered = append(f.delivered, id)
	return nil
}

// An API that may only read its store refuses calls of callers when they start, not after their
// approval.
func TestReadOnlyAPIRefusesCallersAtTheStart(t *testing.T) {
	w := newWorld(t)
	call := `{"tool":"bash","execution":"caller"}`
	expect(t, w.send("POST", "/api/calls", call), http.StatusForbidden, rest.CodeReadOnly)
	expect(t, w.send("PUT", "/api/agents/a/tools", `{"tools":[]}`), http.StatusForbidden, rest.CodeReadOnly)
	w.ended("pawl-1", approval.StatusRejected)
	expect(t, w.send("POST", "/api/calls/pawl-1/release", ""), http.StatusForbidden, rest.CodeReadOnly)
	body := `{"start_id":"0123456789abcdef"}`
	expect(t, w.send("POST", "/api/calls/pawl-1/start", body), http.StatusForbidden, rest.CodeReadOnly)
	expect(t, w.send("POST", "/api/calls/pawl-1/outcome", `{"start_id":"0123456789abcdef","status":"not_run"}`),
		http.StatusForbidden, rest.CodeReadOnly)
	if n := len(w.temporal.workflows); n != 0 {
		t.Errorf("%d calls were started", n)
	}
}

func TestBadRequestsOfCallers(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Callers = &fakeCallers{} })
	w.ended("pawl-1", approval.StatusRejected)
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/api/calls", `{"tool":"bash","attach":true}`},
		{"POST", "/api/calls", `{"tool":"bash","start_id":"0123456789abcdef"}`},
		{"POST", "/api/calls", `{"tool":"bash","execution":"caller","start_id":"short"}`},
		{"POST", "/api/calls", `{"tool":"bash","execution":"reviewer"}`},
		{"POST", "/api/calls", `{"tool":"bash","execution":"caller","report_within":"25h"}`},
		{"POST", "/api/calls/pawl-1/release", `{"start_id":"0123456789abcdef"}`},
		{"POST", "/api/calls/pawl-1/start", `{}`},
		{"POST", "/api/calls/pawl-1/start", `{"start_id":"short"}`},
		{"POST", "/api/calls/pawl-1/outcome", `{"start_id":"0123456789abcdef","status":"done"}`},
		{"POST", "/api/calls/pawl-1/outcome", `{"start_id":"0123456789abcdef","status":"not_run","result":1}`},
		{"POST", "/api/calls/pawl-1/outcome", `{"start_id":"0123456789abcdef","status":"executed","result_digest":"x"}`},
		{"POST", "/api/calls/wait", `{"calls":[]}`},
		{"POST", "/api/calls/wait", `{"calls":[{"id":""}]}`},
		{"PUT", "/api/agents/a/tools", `{"tools":[{"name":"no name"}]}`},
	} {
		expect(t, w.send(c.method, c.path, c.body), http.StatusBadRequest, rest.CodeInvalidRequest)
	}
}

// What a call's end is in stops others from attaching to it; and workers' names stay theirs.
func TestCallersAreTold(t *testing.T) {
	f := &fakeCallers{}
	w := newWorld(t, func(o *Options) { o.Callers = f })
	w.ended("pawl-1", approval.StatusRejected, func(r *store.Record) { r.View.Execution = approval.ExecutionCaller })
	w.ended("pawl-2", approval.StatusRejected)
	for _, id := range []string{"pawl-1", "pawl-2"} {
		expect(t, w.get("/api/calls/"+id), http.StatusOK, "")
	}
	if len(f.delivered) != 1 || f.delivered[0] != "pawl-1" {
		t.Errorf("delivered: %q", f.delivered)
	}
	for range 2 { // it may be repeated
		if v := expect(t, w.send("POST", "/api/calls/pawl-2/release", "{}"), http.StatusOK, ""); v["id"] != "pawl-2" {
			t.Errorf("%v", v)
		}
	}
	expect(t, w.send("POST", "/api/calls/pawl-nobody/release", ""), http.StatusNotFound, approval.CodeNotFound)
	if want := []string{"pawl-2", "pawl-2"}; !slices.Equal(f.released, want) {
		t.Errorf("released: %q", f.released)
	}
	problem := expect(t, w.send("POST", "/api/calls/pawl-1/start", `{"start_id":"0123456789abcdef"}`), http.StatusConflict, rest.CodeEnded)
	if end, _ := problem["call_outcome"].(map[string]any); end["status"] != "rejected" {
		t.Errorf("%v", problem)
	}
	for _, body := range []string{`{"tools":[]}`, `{"source":"mcp:files","tools":[{"name":"files.read"}]}`} {
		expect(t, w.send("PUT", "/api/agents/a/tools", body), http.StatusOK, "")
	}
	expect(t, w.send("PUT", "/api/agents/a/tools", `{"source":"a\nb","tools":[]}`), http.StatusBadRequest, rest.CodeInvalidRequest)
	if len(f.sources) != 2 || f.sources[0] != "" || f.sources[1] != "mcp:files" {
		t.Errorf("lists of %q", f.sources)
	}
	f.taken = []string{"deploy"}
	expect(t, w.send("PUT", "/api/agents/a/tools", `{"tools":[{"name":"deploy"}]}`), http.StatusConflict, rest.CodeToolTaken)
}

// Every wait for a call that its caller runs keeps the call its own, and one that was given up does not.
func TestWaitsRenew(t *testing.T) {
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/calls/pawl-1?wait=10ms", ""},
		{"POST", "/api/calls/wait", `{"calls":[{"id":"pawl-1","revision":"REVISION"}],"wait":"10ms"}`},
	} {
		f := &fakeCallers{}
		w := newWorld(t, func(o *Options) { o.Callers = f })
		v := view("pawl-1", approval.StatusPending)
		v.Execution = approval.ExecutionCaller
		w.temporal.add(&fakeWorkflow{id: "pawl-1", state: approval.State{View: v}})
		w.store.put(store.Record{View: v, IsRequest: true})
		revision, _ := expect(t, w.get("/api/calls/pawl-1"), 200, "")["revision"].(string)
		body := strings.Replace(c.body, "REVISION", revision, 1)
		gone, leave := context.WithCancel(t.Context())
		leave()
		r := httptest.NewRequestWithContext(gone, c.method, c.path, strings.NewReader(body))
		r.Host = "localhost"
		r.Header.Set("Content-Type", "application/json")
		w.server.ServeHTTP(httptest.NewRecorder(), r)
		if n := f.renewed.Load(); n != 0 {
			t.Errorf("%s %s: renewed %d times for nobody", c.method, c.path, n)
		}
		w.send(c.method, c.path, body)
		if n := f.renewed.Load(); n != 1 {
			t.Errorf("%s %s: renewed %d times", c.method, c.path, n)
		}
	}
}

// lateStore does not know calls at first, as before they are judged.
type lateStore struct {
	*fakeStore
	misses atomic.Int32
}

func (s *lateStore) Call(ctx context.Context, id string) (store.Record, error) {
	if s.misses.Add(-1) >= 0 {
		return store.Record{}, store.ErrNotFound
	}
	return s.fakeStore.Call(ctx, id)
}

// A wait that began before the call was judged ends when the tool may start, and not when the time is up.
func TestAWaitFromBeforeTheVerdict(t *testing.T) {
	for _, misses := range []int32{0, 1, 2, 3, 5} {
		late := &lateStore{}
		w := newWorld(t, func(o *Options) {
			late.fakeStore = o.Store.(*fakeStore)
			o.Store, o.Callers = late, &fakeCallers{}
		})
		id, _ := expect(t, w.send("POST", "/api/calls", `{"tool":"bash","execution":"caller"}`), 202, "")["id"].(string)
		v := view(id, approval.StatusApproved)
		v.Execution = approval.ExecutionCaller
		w.temporal.get(id).state = approval.State{View: v}
		w.store.put(store.Record{View: v, Permit: &store.Permit{}})
		late.misses.Store(misses)
		begun := time.Now()
		expect(t, w.get("/api/calls/"+id+"?wait=25s"), 200, "")
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("with %d readings too early it took %v", misses, took)
		}
	}
}
