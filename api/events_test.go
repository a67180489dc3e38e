package api

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// listen opens a stream of events; next is its next event that is no heartbeat, empty at its end.
func (w *world) listen(base, token string) (next func() string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, base+"/api/events", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { answer.Body.Close() })
	if got := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || got != "text/event-stream" {
		w.t.Fatalf("events: %d %s", answer.StatusCode, got)
	}
	return eventsOf(answer.Body)
}

// eventsOf reads events that are no heartbeats, empty at their end.
func eventsOf(body io.Reader) (next func() string) {
	lines := bufio.NewScanner(body)
	return func() string {
		event := ""
		for lines.Scan() {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = name
			} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return event + " " + data
			}
		}
		return ""
	}
}

// changes puts something about a call of a requester on record.
func (w *world) changes(id, requester string) {
	w.t.Helper()
	w.store.put(store.Record{View: approval.View{ID: id, Requester: requester, Status: approval.StatusPending}, IsRequest: true})
	e, err := audit.New(id, "sent/"+id, time.Now(), audit.Sent{DecisionID: "d"})
	if err == nil {
		err = w.store.Append(w.t.Context(), e)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestEventsAreForWhoMaySeeTheRequests(t *testing.T) {
	w := guardedWorld(t)
	base, stop := w.serve()
	bot, ana, eve := w.token("bot", rest.RoleAgent), w.token("ana", rest.RoleReviewer), w.token("eve", rest.RoleAuditor)
	own, all, read := w.listen(base, bot), w.listen(base, ana), w.listen(base, eve)
	for _, next := range []func() string{own, all, read} {
		if got := next(); got != "reset {}" {
			t.Fatalf("the first event is %q", got)
		}
	}
	w.changes("pawl-1", "other")
	for _, next := range []func() string{all, read} {
		if got := next(); got != `changed {"id":"pawl-1","revision":0}` {
			t.Errorf("heard %q", got)
		}
	}
	w.changes("pawl-2", "bot")
	if got := own(); got != `changed {"id":"pawl-2","revision":0}` { // the first that it hears of
		t.Errorf("an agent hears %q", got)
	}

	root := w.token("root", rest.RoleAdmin)
	expect(t, w.with(root, "POST", "/api/tokens/"+tokenID(t, ana)+"/revoke", ""), 200, "")
	w.changes("pawl-3", "bot")
	if got := own(); got != `changed {"id":"pawl-3","revision":0}` {
		t.Errorf("heard %q", got)
	}
	for got := all(); got != ""; got = all() { // what came before the revocation
		if strings.Contains(got, "pawl-3") {
			t.Errorf("whose token is revoked hears %q", got)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("a server with listeners stops with %v", err)
	}
	for got := own(); got != ""; got = own() {
		t.Errorf("heard %q of a server that stopped", got)
	}
}

func TestEventsAreRefused(t *testing.T) {
	w := guardedWorld(t, func(o *Options) { o.Limits.Waits = 1 })
	base, _ := w.serve()
	expect(t, w.send("GET", "/api/events", ""), 401, rest.CodeUnauthenticated)
	ana := w.token("ana", rest.RoleReviewer)
	w.listen(base, ana)()
	expect(t, w.with(ana, "GET", "/api/events", ""), 429, rest.CodeTooManyWaits)
	if rec := w.with(ana, "HEAD", "/api/events", ""); rec.Code != 200 || rec.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %d %v", rec.Code, rec.Header())
	}
}
