package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/rest"
)

// everybodyWorld has a call that waits, one whose outcome is unknown, and a token with each role.
func everybodyWorld(t *testing.T) (w *world, token string) {
	w = (&fakeLogin{}).world(t)
	w.server.o.Callers = &fakeCallers{}
	w.request("pawl-1")
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
	s := w.store
	doc, err := json.Marshal([]any{s.records, s.entries, s.applied, s.tokens, s.sessions, s.keys,
		len(w.temporal.starts), signals})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(doc)
}

var addressOf = strings.NewReplacer(":id", "pawl-1", ":decision_id", "d1", ":session", "s1", ":agent", "a1",
	":digest", "d1", ":file", "page.js", "*path", "decode")

// Whatever a browser fetches by itself, ahead or for somebody who only looks, decides nothing. The
// callback, with a state that is good once, is the one exception; see TestCallbackAhead.
func TestLookingChangesNothing(t *testing.T) {
	kinds := map[string][]string{
		"plain": nil, "a browser's": {"Accept", "text/html"}, "of another site": {"Sec-Fetch-Site", "cross-site"},
		"ahead": {"Sec-Purpose", "prefetch"}, "rendered ahead": {"Sec-Purpose", "prefetch;prerender"},
		"ahead, as it was": {"Purpose", "prefetch"},
	}
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
