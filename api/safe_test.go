package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// everybodyWorld has calls in each state that reading could change, and a token of root's with each
// role. Root asked for all but pawl-1; the callers of pawl-2 to pawl-4 run the tools.
func everybodyWorld(t *testing.T) (w *world, token string) {
	w = (&fakeLogin{}).world(t)
	w.server.o.Callers = &fakeCallers{}
	w.request("pawl-1")
	w.request("pawl-2")
	byRoot := func(r *store.Record) { r.View.Requester = "root" }
	byCaller := func(r *store.Record) {
		byRoot(r)
		r.View.Execution = approval.ExecutionCaller
	}
	waits := w.store.records["pawl-2"]
	byCaller(&waits)
	w.store.put(waits)
	w.ended("pawl-3", approval.StatusRejected, byCaller)
	approved := store.Record{View: view("pawl-4", approval.StatusApproved), IsRequest: true, Permit: &store.Permit{}}
	byCaller(&approved)
	w.store.put(approved)
	w.temporal.add(&fakeWorkflow{id: "pawl-4", state: approval.State{View: approved.View}})
	w.ended("pawl-5", approval.StatusExecuted, byRoot)
	w.ended("pawl-6", approval.StatusOutcomeUnknown, byRoot)
	return w, w.token("root", rest.Roles...)
}

// state is all that requests can change.
func (w *world) state() string { return w.kept() + w.told() }

// kept is the state without what told has, and without the record of who was refused.
func (w *world) kept() string {
	w.t.Helper()
	w.temporal.mu.Lock()
	defer w.temporal.mu.Unlock()
	signals := map[string]int{}
	for id, f := range w.temporal.workflows {
		signals[id] = len(f.signals)
	}
	s, f := w.store, w.server.o.Callers.(*fakeCallers)
	entries := slices.DeleteFunc(slices.Clone(s.entries), func(e audit.Entry) bool { return e.Kind == audit.KindForbidden })
	doc, err := json.Marshal([]any{s.records, entries, s.applied, s.tokens, s.sessions, s.keys,
		len(w.temporal.starts), signals, f.released, f.said, f.sources})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(doc)
}

// told is what callers change who read their own calls: they hold them, and are told their end.
func (w *world) told() string {
	f := w.server.o.Callers.(*fakeCallers)
	return fmt.Sprint(f.delivered, f.renewed.Load())
}

var addressOf = strings.NewReplacer(":id", "pawl-1", ":decision_id", "d1", ":session", "s1", ":agent", "a1",
	":digest", "d1", ":file", "page.js", "*path", "decode")

// lookedAhead are the headers of requests by which a browser looks ahead.
var lookedAhead = map[string][]string{
	"ahead": {"Sec-Purpose", "prefetch"}, "rendered ahead": {"Sec-Purpose", "prefetch;prerender"},
	"ahead, as it was": {"Purpose", "prefetch"},
}

// Whatever a browser fetches by itself, ahead or for somebody who only looks, decides nothing, whatever
// roles they have and whatever state the call is in. A GET
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
	look := func(who, token, key, id string) {
		isCaller := who == "everybody" || who == string(rest.RoleAgent)
		method, path, _ := strings.Cut(key, " ")
		path = addressOf.Replace(strings.Replace(path, ":id", id, 1))
		kept, told := w.kept(), w.told()
		for kind, header := range kinds {
			for _, query := range queries {
				for _, verb := range []string{http.MethodGet, http.MethodHead} {
					header := append([]string{"Host", "pawl.example.com", "Authorization", "Bearer " + token}, header...)
					rec := w.send(verb, path+query, "", header...)
					looks++
					if isCaller && verb == http.MethodGet && path == "/api/calls/"+id && lookedAhead[kind] == nil {
						told = w.told()
					}
					if w.kept() != kept || w.told() != told {
						t.Fatalf("%s %s%s (%s) by %s changed something", verb, path, query, kind, who)
					}
					if method == http.MethodPost && rec.Code < 300 && !alsoRead(w, path, id) {
						t.Errorf("%s %s is answered %d to %s", verb, path, rec.Code, who)
					}
				}
			}
		}
	}
	each := func(who, token string) {
		for key := range w.server.access {
			for i := range 6 {
				if i == 0 || strings.Contains(key, ":id") {
					look(who, token, key, fmt.Sprintf("pawl-%d", i+1))
				}
			}
		}
	}
	each("everybody", token)
	if refused := w.payloadsOf(audit.KindForbidden); len(refused) > 0 {
		t.Errorf("who has each role was refused: %+v", refused)
	}
	kinds, queries = map[string][]string{"plain": nil, "rendered ahead": kinds["rendered ahead"]}, queries[:1]
	for _, role := range rest.Roles {
		each(string(role), w.token("root", role))
	}
	if looks < 4000 {
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
func alsoRead(w *world, path, id string) bool {
	for key := range w.server.access {
		if method, at, _ := strings.Cut(key, " "); method == http.MethodGet && addressOf.Replace(strings.Replace(at, ":id", id, 1)) == path {
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
