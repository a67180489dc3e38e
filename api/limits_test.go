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
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

func TestFailuresSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFailures()
		bad, good := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		for n := range failureBurst {
			if _, many := f.failed(bad); many {
				t.Fatalf("too many after %d", n)
			}
		}
		if wait, many := f.failed(bad); !many || wait <= 0 || wait > failurePause {
			t.Errorf("after %d failures: %v, for %v", failureBurst, many, wait)
		}
		if _, many := f.failed(good); many {
			t.Error("another address is slowed down")
		}
		time.Sleep(2 * failurePause)
		if _, many := f.failed(bad); many {
			t.Error("slowed down for ever")
		}

		six, neighbour, far := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("2001:db8:0:1::1")
		for range failureBurst {
			f.failed(six)
		}
		if _, many := f.failed(neighbour); !many {
			t.Error("another address of the same /64 is not slowed down")
		}
		if _, many := f.failed(far); many {
			t.Error("another /64 is slowed down")
		}
		for n := range 2 * maxRemembered {
			f.failed(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}))
		}
		if n := len(f.of.items); n != maxRemembered || f.of.order.Len() != n {
			t.Errorf("%d addresses are remembered", n)
		}
	})
}

// Programs with bad tokens keep nobody out who shares their address with them.
func TestGoodTokensWorkBesideBadOnes(t *testing.T) {
	w := guardedWorld(t)
	revoked := w.token("old", rest.RoleReviewer)
	id, _ := auth.TokenID(revoked)
	if _, _, err := w.store.RevokeToken(t.Context(), store.RevokeParams{ID: id, By: "root", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	made, _, err := auth.Issue(rest.TokenSpec{Subject: "elsewhere", Roles: []rest.Role{rest.RoleReviewer}}, "root", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"pawl_wrong", "no.jwt.either", revoked, made} {
		for range failureBurst {
			w.with(bad, "GET", "/api/whoami", "")
		}
		expect(t, w.with(bad, "GET", "/api/whoami", ""), 429, rest.CodeTooManyFailures)
		expect(t, w.with(w.token("rita", rest.RoleReviewer), "GET", "/api/whoami", ""), 200, "")
	}
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

func TestLongPollsAreBounded(t *testing.T) {
	for what, want := range map[string]struct {
		limits Limits
		waits  int
	}{
		"by default": {Limits{}, 2 * DefaultPending}, "with pending calls": {Limits{Pending: 3}, 6},
		"as given": {Limits{Pending: 3, Waits: 1}, 1}, "not at all": {Limits{Pending: -1}, -2},
	} {
		if err := want.limits.validate(); err != nil || want.limits.Waits != want.waits {
			t.Errorf("%s: %d, %v", what, want.limits.Waits, err)
		}
	}

	w := guardedWorld(t, func(o *Options) { o.Limits = Limits{Waits: 2} })
	agent, other := w.token("agent:a", rest.RoleAgent), w.token("agent:b", rest.RoleAgent)
	w.temporal.onStart = func(f *fakeWorkflow) {
		f.state.View = view(f.id, approval.StatusPending)
		f.state.Requester = f.call.Requester
		w.store.put(store.Record{View: f.state.View, IsRequest: true})
	}
	mine := expect(t, w.with(agent, "POST", "/api/calls", `{"tool":"t"}`), 202, "")["id"].(string)
	a, err := auth.NewTokens(w.store).Authenticate(t.Context(), agent)
	if err != nil {
		t.Fatal(err)
	}
	hold := func(wait time.Duration, fits bool) func() {
		t.Helper()
		done, err := w.server.quotas.hold(a, wait)
		if (err == nil) != fits {
			t.Fatalf("fits %v: %v", fits, err)
		}
		return done
	}
	first, _ := hold(time.Second, true), hold(time.Second, true)
	hold(0, true)
	hold(time.Second, false)
	started := len(w.temporal.starts)
	for _, refused := range [][]string{
		{"GET", "/api/calls/" + mine + "?wait=1ms", ""}, {"POST", "/api/calls", `{"tool":"t","wait":"1ms"}`},
	} {
		rec := w.with(agent, refused[0], refused[1], refused[2])
		expect(t, rec, 429, rest.CodeTooManyWaits)
		if rec.Header().Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", rec.Header().Get("Retry-After"))
		}
	}
	if len(w.temporal.starts) != started {
		t.Error("the call was started all the same")
	}
	expect(t, w.with(agent, "GET", "/api/calls/"+mine, ""), 200, "")
	expect(t, w.with(other, "POST", "/api/calls", `{"tool":"t","wait":"1ms"}`), 202, "")
	first()
	for range 3 { // each gives its place back
		expect(t, w.with(agent, "GET", "/api/calls/"+mine+"?wait=1ms", ""), 200, "")
	}
	for range 3 {
		if _, err := w.server.quotas.hold(auth.Local(), time.Second); err != nil {
			t.Error("where nobody is known:", err)
		}
	}
}
