package api

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

func TestFailuresSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFailures()
		bad, good := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		f.worked("shared")
		for n := range failureBurst {
			if _, blocked := f.blocked(bad, "x"); blocked {
				t.Fatalf("blocked after %d", n)
			}
			f.failed(bad, "x")
		}
		if wait, blocked := f.blocked(bad, "x"); !blocked || wait <= 0 || wait > failurePause {
			t.Errorf("after %d failures: blocked %v, for %v", failureBurst, blocked, wait)
		}
		if _, blocked := f.blocked(good, "x"); blocked {
			t.Error("another address is blocked")
		}
		if _, blocked := f.blocked(bad, "shared"); blocked {
			t.Error("a credential that worked is blocked with its neighbours")
		}
		f.failed(bad, "shared") // it was revoked
		if _, blocked := f.blocked(bad, "shared"); !blocked {
			t.Error("a credential that works no more is not")
		}
		time.Sleep(2 * failurePause)
		if _, blocked := f.blocked(bad, "x"); blocked {
			t.Error("blocked for ever")
		}

		six, neighbour, far := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8:0:1::1")
		for range failureBurst {
			f.failed(six, "x")
		}
		if _, blocked := f.blocked(neighbour, "x"); !blocked {
			t.Error("another address of the same /64 is not blocked")
		}
		if _, blocked := f.blocked(far, "x"); blocked {
			t.Error("another /64 is blocked")
		}
		for n := range 2 * maxRemembered {
			f.failed(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), "x")
			f.worked(fmt.Sprint("credential ", n))
		}
		if n, m := len(f.of.items), len(f.working.items); n != maxRemembered || m != maxRemembered || f.of.order.Len() != n || f.working.order.Len() != m {
			t.Errorf("%d addresses and %d credentials are remembered", n, m)
		}
	})
}

func TestTooManyFailuresAreToldSo(t *testing.T) {
	w := guardedWorld(t)
	good := w.token("rita", rest.RoleReviewer)
	expect(t, w.with(good, "GET", "/api/whoami", ""), 200, "")
	for range failureBurst {
		expect(t, w.with("pawl_wrong", "GET", "/api/whoami", ""), 401, rest.CodeTokenUnknown)
	}
	rec := w.with("pawl_wrong", "GET", "/api/whoami", "")
	expect(t, rec, http.StatusTooManyRequests, rest.CodeTooManyFailures)
	if rec.Header().Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", rec.Header().Get("Retry-After"))
	}
	expect(t, w.with(good, "GET", "/api/whoami", ""), 200, "")
	if rec := w.get("/healthz"); rec.Code != 200 {
		t.Errorf("what everybody may see answers %d", rec.Code)
	}
}

func TestLimits(t *testing.T) {
	w := guardedWorld(t, func(o *Options) { o.Limits = Limits{PerSecond: 0.5, Burst: 3} })
	agent, other := w.token("agent:a", rest.RoleAgent), w.token("agent:b", rest.RoleAgent)
	for range 3 {
		expect(t, w.with(agent, "POST", "/api/calls", `{"tool":"t"}`), 202, "")
	}
	rec := w.with(agent, "POST", "/api/calls", `{"tool":"t"}`)
	expect(t, rec, http.StatusTooManyRequests, rest.CodeTooManyRequests)
	if after := rec.Header().Get("Retry-After"); after != "2" {
		t.Errorf("Retry-After is %q", after)
	}
	expect(t, w.with(w.token("agent:a", rest.RoleAgent), "POST", "/api/calls", `{"tool":"t"}`), 429, rest.CodeTooManyRequests) // another token of the same
	expect(t, w.with(other, "POST", "/api/calls", `{"tool":"t"}`), 202, "")
	expect(t, w.with(agent, "GET", "/api/tools", ""), 200, "")

	w = newWorld(t) // where nobody is authenticated, all are one
	for range DefaultPending + 2*DefaultPerSecond + 1 {
		expect(t, w.send("POST", "/api/calls", `{"tool":"t"}`), 202, "")
	}
}

func TestPendingQuota(t *testing.T) {
	w := guardedWorld(t, func(o *Options) { o.Limits = Limits{Pending: 2} })
	agent, other := w.token("agent:a", rest.RoleAgent), w.token("agent:b", rest.RoleAgent)
	w.temporal.onStart = func(f *fakeWorkflow) {
		v := view(f.id, approval.StatusPending)
		v.Requester = f.call.Requester
		w.store.put(store.Record{View: v, IsRequest: true})
	}
	start := func(token, key string) map[string]any {
		t.Helper()
		return expect(t, w.with(token, "POST", "/api/calls", fmt.Sprintf(`{"tool":"t","idempotency_key":%q}`, key)), 202, "")
	}
	first := start(agent, "1")
	start(agent, "2")
	rec := w.with(agent, "POST", "/api/calls", `{"tool":"t","idempotency_key":"3"}`)
	body := expect(t, rec, http.StatusTooManyRequests, rest.CodeTooManyPending)
	if rec.Header().Get("Retry-After") == "" || !strings.Contains(body["detail"].(string), "2 of your calls") {
		t.Errorf("%v, Retry-After %q", body, rec.Header().Get("Retry-After"))
	}
	if again := start(agent, "1"); again["id"] != first["id"] { // what was started goes on
		t.Errorf("continued %v, want %v", again["id"], first["id"])
	}
	start(other, "1")
	id := first["id"].(string)
	v := w.store.records[id].View
	v.Status = approval.StatusRejected
	w.store.put(store.Record{View: v, IsRequest: true})
	start(agent, "3")
	expect(t, w.with(agent, "POST", "/api/calls", `{"tool":"t"}`), 429, rest.CodeTooManyPending)
}

func TestLimitsOptions(t *testing.T) {
	_, c := newFakeTemporal(t)
	for _, l := range []Limits{{Burst: -1}, {Pending: store.ExactTotal + 1}} {
		if _, err := New(Options{Temporal: c, Store: &fakeStore{}, Limits: l}); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
	w := guardedWorld(t, func(o *Options) { o.Limits = Limits{PerSecond: -1, Pending: -1} })
	agent := w.token("agent:a", rest.RoleAgent)
	for range 10 {
		expect(t, w.with(agent, "POST", "/api/calls", `{"tool":"t"}`), 202, "")
	}
}
