//go:build unix

package e2e_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/store"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// hook is a service that receives messages, with the library that receivers use.
type hook struct {
	*testing.T
	*httptest.Server
	knows, foreign *standardwebhooks.Webhook

	mu    sync.Mutex
	does  string // of messages: "hang", "refuse", or take them
	tries []delivery
	takes chan string // calls whose messages it takes
}

type delivery struct {
	ID, Type, Call string
	taken          bool // or else it was held, or refused
}

func newHook(t *testing.T, secret string) *hook {
	h := &hook{T: t, takes: make(chan string, 1000)}
	var err error
	if h.knows, err = standardwebhooks.NewWebhook(secret); err != nil {
		t.Fatal(err)
	}
	if h.foreign, err = standardwebhooks.NewWebhook(newSecret()); err != nil {
		t.Fatal(err)
	}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func newSecret() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	return "whsec_" + base64.StdEncoding.EncodeToString(secret)
}

func (h *hook) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil { // of a worker that is killed while it sends
		return
	}
	if err := h.knows.Verify(body, r.Header); err != nil {
		h.Errorf("%s %v: %v", body, r.Header, err)
	}
	if h.foreign.Verify(body, r.Header) == nil || h.knows.Verify(append(body, ' '), r.Header) == nil {
		h.Errorf("%s is signed by anybody", body)
	}
	var m struct {
		Type string
		Data struct{ ID string }
	}
	if err := json.Unmarshal(body, &m); err != nil {
		h.Errorf("%s: %v", body, err)
	}
	h.mu.Lock()
	does := h.does
	h.tries = append(h.tries, delivery{r.Header.Get("webhook-id"), m.Type, m.Data.ID, does == ""})
	h.mu.Unlock()
	switch does {
	case "hang":
		<-r.Context().Done()
	case "refuse":
		rw.WriteHeader(http.StatusServiceUnavailable)
	default:
		h.takes <- m.Data.ID
	}
}

// of are the deliveries about a call.
func (h *hook) of(call, kind string) (found []delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.tries {
		if d.Call == call && d.Type == kind {
			found = append(found, d)
		}
	}
	return found
}

func (h *hook) set(does string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.does = does
}

func taken(d delivery) bool { return d.taken }

// told reports whether it takes a message about a call in time.
func (h *hook) told(call string, within time.Duration) bool {
	late := time.After(within)
	for {
		select {
		case of := <-h.takes:
			if of == call {
				return true
			}
		case <-late:
			return false
		}
	}
}

// A worker is killed after it has sent a message and before it could note that, and while another
// channel does not take it: both get the message again, under the ID that it had.
func testNotifications(t *testing.T, d *deployment) {
	const waiting = "request.waiting"
	env, older, newer := d.setUp(t, "notify"), newSecret(), newSecret()
	hangs, refuses := newHook(t, older), newHook(t, newer)
	file := write(t, t.TempDir(), "notify.yaml", fmt.Sprintf(`channels:
  - {name: hangs, url: "%s/x", secret_env: HOOK_SECRETS, per_minute: 600, timeout: 60s}
  - {name: refuses, url: "%s/x", secret_env: HOOK_SECRETS, per_minute: 600}
`, hangs.URL, refuses.URL))
	env = append(slices.Clip(env), "HOOK_SECRETS="+newer+" "+older) // the secret is being changed
	api := d.api(t, env)
	first := d.worker(t, env, "--notify", file)
	w := &world{t: t}
	ask := func() (id string) {
		t.Helper()
		a := w.http(http.MethodPost, api.API+"/api/calls", `{"tool":"send","args":{"to":"x"}}`)
		if id = a.text("id"); id == "" {
			t.Fatalf("%d %v", a.code, a.doc)
		}
		return id
	}
	for tries, told := 0, false; !told; tries++ { // they are told of what comes after they were first seen
		if tries == 12 {
			t.Fatal("the channels are told of nothing")
		}
		id := ask()
		told = hangs.told(id, 5*time.Second) && refuses.told(id, 5*time.Second)
	}

	hangs.set("hang")
	refuses.set("refuse")
	id := ask()
	waitFor(t, "both were sent a message", func() bool {
		return len(hangs.of(id, waiting)) > 0 && len(refuses.of(id, waiting)) > 0
	})
	first.Kill() // kill -9
	before := map[*hook]delivery{hangs: hangs.of(id, waiting)[0], refuses: refuses.of(id, waiting)[0]}
	hangs.set("")
	refuses.set("")
	d.worker(t, env, "--notify", file)
	for h, held := range before {
		if !h.told(id, 3*store.ChannelLease) { // the worker that was killed has the channel's lease until it ends
			t.Fatal("the message does not come again")
		}
		for _, again := range h.of(id, waiting) {
			if again.ID != held.ID {
				t.Errorf("the message %s comes again as %s", held.ID, again.ID)
			}
		}
		if held.taken {
			t.Errorf("the message was taken before the kill")
		}
	}

	// What comes after it comes, too.
	a := w.http(http.MethodPost, api.API+"/api/requests/"+id+"/approve", `{}`, "X-Pawl-Reviewer", "ana")
	if a.text("outcome") != "resolved" {
		t.Errorf("%d %v", a.code, a.doc)
	}
	for h := range before {
		for _, kind := range []string{"request.decided", "call.ended"} {
			waitFor(t, kind+" comes", func() bool { return slices.ContainsFunc(h.of(id, kind), taken) })
		}
	}
}
