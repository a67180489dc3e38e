package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// everybodyWorld has a call that waits, two whose callers run the tools (pawl-2 waits, pawl-3 was
// rejected), and a token with each role.
func everybodyWorld(t *testing.T) (w *world, token string) {
	w = (&fakeLogin{}).world(t)
	w.server.o.Callers = &fakeCallers{}
	w.request("pawl-1")
	w.request("pawl-2")
	byCaller := func(r *store.Record) { r.View.Execution, r.View.Requester = approval.ExecutionCaller, "root" }
	waits := w.store.records["pawl-2"]
	byCaller(&waits)
	w.store.put(waits)
	w.ended("pawl-3", approval.StatusRejected, byCaller)
	return w, w.token("root", rest.Roles...)
}

// state is all that requests can change.
func (w *world) state() string {
	w.t.Helper()
	w.temporal.mu.Lock()
	defer w.temporal.mu.Unlock()
	signals := map[string]int{}
	for id, f := range w.temporal.workflows {
		signals[id] = len(f.signals)
	}
	s, f := w.store, w.server.o.Callers.(*fakeCallers)
	doc, err := json.Marshal([]any{s.records, s.entries, s.applied, s.tokens, s.sessions, s.keys,
		len(w.temporal.starts), signals, f.delivered, f.released, f.renewed.Load(), f.said, f.sources})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(doc)
}

var addressOf = strings.NewReplacer(":id", "pawl-1", ":decision_id", "d1", ":session", "s1", ":agent", "a1",
	":digest", "d1", ":file", "page.js", "*path", "decode")

// lookedAhead are the headers of requests by which a browser looks ahead.
var lookedAhead = map[string][]string{
	"ahead": {"Sec-Purpose", "prefetch"}, "rendered ahead": {"Sec-Purpose", "prefetch;prerender"},
	"ahead, as it was": {"Purpose", "prefetch"},
}

// Whatever a browser fetches by itself, ahead or for somebody who only looks, decides nothing. A GET
// may do these things only: the callback uses up a state that is good once (see TestCallbackAhead),
// whoever reads a call whose caller runs the tool holds it or is told its end (see
// TestLookingAheadAtACallersCall), and what is refused for want of a role or a good token is on record.
func TestLookingChangesNothing(t *testing.T) {
	kinds := map[string][]string{
		"plain": nil, "a browser's": {"Accept", "text/html"}, "of another site": {"Sec-Fetch-Site", "cross-site"},
	}
	maps.Copy(kinds, lookedAhead)
	queries := []string{"", "?decision=approve&digest=d1&everywhere=true"}
	w, token := everybodyWorld(t)
	looks := 0
	for key := range w.server.access {
		method, path, _ := strings.Cut(key, " ")
		path = addressOf.Replace(path)
		before := w.state()
		for kind, header := range kinds {
			for _, query := range queries {
				for _, verb := range []string{http.MethodGet, http.MethodHead} {
					header := append([]string{"Host", "pawl.example.com", "Authorization", "Bearer " + token}, header...)
					rec := w.send(verb, path+query, "", header...)
					if looks++; w.state() != before {
						t.Fatalf("%s %s%s (%s) changed something", verb, path, query, kind)
					}
					if method == http.MethodPost && rec.Code < 300 && !alsoRead(w, path) {
						t.Errorf("%s %s is answered %d", verb, path, rec.Code)
					}
				}
			}
		}
	}
	if looks < 40*len(kinds)*len(queries) {
		t.Errorf("looked %d times only", looks)
	}
}

// A call whose caller runs the tool is held, and its end is told, by whoever reads it: not by a
// browser that looks ahead, nor by who asks for the header only.
func TestLookingAheadAtACallersCall(t *testing.T) {
	w, token := everybodyWorld(t)
	for _, path := range []string{"/api/calls/pawl-2?wait=10ms", "/api/calls/pawl-3", "/api/calls/pawl-3?wait=10ms"} {
		look := func(verb string, header ...string) (changed bool) {
			before := w.state()
			rec := w.send(verb, path, "", append([]string{"Host", "pawl.example.com", "Authorization", "Bearer " + token}, header...)...)
			if rec.Code != http.StatusOK {
				t.Fatalf("%s %s: %d %s", verb, path, rec.Code, rec.Body)
			}
			return w.state() != before
		}
		for kind, header := range lookedAhead {
			if look(http.MethodGet, header...) || look(http.MethodHead, header...) {
				t.Errorf("%s, looked at %s, changed something", path, kind)
			}
		}
		if look(http.MethodHead) {
			t.Errorf("HEAD %s changed something", path)
		}
		if !look(http.MethodGet) || !look(http.MethodGet, "Purpose", "fetch") {
			t.Errorf("whoever reads %s does not hold it, nor is told", path)
		}
	}
}

// alsoRead reports whether an address can be read, too.
func alsoRead(w *world, path string) bool {
	for key := range w.server.access {
		if method, at, _ := strings.Cut(key, " "); method == http.MethodGet && addressOf.Replace(at) == path {
			return true
		}
	}
	return false
}

// What changes something is refused where another site asks for it, whoever is signed in.
func TestNothingIsChangedFromOtherSites(t *testing.T) {
	w, token := everybodyWorld(t)
	secret := cookieOf(t, w.send("POST", sessionPath, `{"token":"`+token+`"}`, "Host", "pawl.example.com",
		"Origin", publicURL, "Sec-Fetch-Site", "same-origin"), sessionCookie)
	for name, from := range map[string][]string{
		"another site":              {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		"another subdomain":         {"Sec-Fetch-Site", "same-site", "Origin", "https://evil.example.com"},
		"a sandboxed frame":         {"Sec-Fetch-Site", "cross-site", "Origin", "null"},
		"an old browser":            {"Origin", "https://evil.example"},
		"another port":              {"Origin", "https://pawl.example.com:8443"},
		"the same host without TLS": {"Origin", "http://pawl.example.com"},
	} {
		for key := range w.server.access {
			method, path, _ := strings.Cut(key, " ")
			if method == http.MethodGet || method == http.MethodHead {
				continue
			}
			path = addressOf.Replace(path)
			for _, who := range [][]string{{"Authorization", "Bearer " + token}, {"Cookie", sessionCookie + "=" + secret}} {
				before := w.state()
				header := append(append([]string{"Host", "pawl.example.com"}, from...), who...)
				rec := w.send(method, path, `{}`, header...)
				if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), rest.CodeCrossOrigin) {
					t.Errorf("%s %s from %s with %s: %d %s", method, path, name, who[0], rec.Code, rec.Body)
				}
				if w.state() != before {
					t.Errorf("%s %s from %s changed something", method, path, name)
				}
			}
		}
	}
}
