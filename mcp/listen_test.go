package mcp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/mcp"
)

// hub is a gateway that listens.
type hub struct {
	t    *testing.T
	url  string
	host string
	ran  string
}

func listen(t *testing.T, api *fakeAPI, change ...func(*mcp.Options)) *hub {
	t.Helper()
	h := &hub{t: t, ran: filepath.Join(t.TempDir(), "ran")}
	o := options(t, api, h.ran)
	for _, f := range change {
		f(&o)
	}
	g, err := mcp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- g.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		<-served
	})
	h.url = "http://" + ln.Addr().String() + "/mcp"
	return h
}

// do sends one request, and returns its answer with the headers.
func (h *hub) do(method, body string, header ...string) *http.Response {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Host = h.host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// ask returns the whole answer.
func (h *hub) ask(body string, header ...string) string {
	h.t.Helper()
	res := h.do("POST", body, header...)
	text, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprint(res.StatusCode, " ", string(text))
}

// begin opens a session.
func (h *hub) begin(token string) (session string) {
	h.t.Helper()
	res := h.do("POST", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`, "Authorization", "Bearer "+token)
	return res.Header.Get("Mcp-Session-Id")
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"test/raw","params":{}}`

func TestEachClientAsksWithItsOwnCredential(t *testing.T) {
	api := newAPI(t)
	h := listen(t, api)
	for _, token := range []string{"ana", "bob"} {
		got := h.ask(call(7, "echo", "{}"), "Authorization", "Bearer "+token)
		if !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"id":7`) {
			t.Errorf("answered %s", got)
		}
	}
	api.mu.Lock() // it is told of the tools by the way
	if !api.tokens["Bearer ana"] || !api.tokens["Bearer bob"] || len(api.tokens) != 2 {
		t.Errorf("asked with %v", api.tokens)
	}
	api.mu.Unlock()
	refused := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(401)
		fmt.Fprint(w, `{"code":"token_missing","detail":"the command line takes it from PAWL_TOKEN"}`)
	}
	api.mu.Lock()
	api.down = refused
	api.mu.Unlock()
	res := h.do("POST", initialize)
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != "Bearer" ||
		!strings.Contains(string(text), "have the client send an agent's token for Pawl, as Authorization: Bearer") ||
		!strings.Contains(string(text), undo) || strings.Contains(string(text), start) {
		t.Errorf("without a credential: %d %s", res.StatusCode, text)
	}
	for name, c := range map[string]struct {
		status int
		down   http.HandlerFunc
	}{
		"an unknown credential": {401, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(401)
			fmt.Fprint(w, `{"code":"token_unknown","detail":"who is that"}`)
		}},
		"an API that fails": {503, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }},
	} {
		t.Run(name, func(t *testing.T) {
			api.mu.Lock()
			api.down = c.down
			api.mu.Unlock()
			got := h.ask(initialize, "Authorization", fmt.Sprint("Bearer ", c.status))
			if !strings.HasPrefix(got, fmt.Sprint(c.status)) || !strings.Contains(got, undo) ||
				strings.Contains(got, start) != (c.status == 503) {
				t.Errorf("answered %s", got)
			}
		})
	}
}

func TestSessionsAreTheirOwners(t *testing.T) {
	h := listen(t, newAPI(t))
	res := h.do("POST", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`, "Authorization", "Bearer ana")
	id := res.Header.Get("Mcp-Session-Id")
	if res.StatusCode != 200 || id == "" {
		t.Fatalf("answered %d", res.StatusCode)
	}
	ana := []string{"Authorization", "Bearer ana", "Mcp-Session-Id", id}
	if got := h.ask(initialize, ana...); !strings.Contains(got, `"n":12345678901234567890`) {
		t.Errorf("answered %s", got)
	}
	// What the server says unasked comes by the session's stream.
	stream := h.do("GET", "", ana...)
	h.ask(`{"jsonrpc":"2.0","method":"test/change"}`, ana...)
	lines := bufio.NewScanner(stream.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), "list_changed") {
	}
	if lines.Err() != nil {
		t.Error(lines.Err())
	}
	bob := []string{"Authorization", "Bearer bob", "Mcp-Session-Id", id}
	for _, method := range []string{"POST", "GET", "DELETE"} {
		if got := h.do(method, initialize, bob...); got.StatusCode != 404 {
			t.Errorf("%s of another's session: %d", method, got.StatusCode)
		}
	}
	if got := h.do("DELETE", "", ana...); got.StatusCode != 204 {
		t.Errorf("DELETE: %d", got.StatusCode)
	}
	if got := h.do("POST", initialize, ana...); got.StatusCode != 404 {
		t.Errorf("after its end: %d", got.StatusCode)
	}
}

// Clients without sessions choose equal IDs: each gets its own answer, and none sees another's ID.
func TestEqualIDs(t *testing.T) {
	h := listen(t, newAPI(t))
	answers := make(chan string, 20)
	for i := range cap(answers) {
		go func() {
			answers <- fmt.Sprint(i, " ", h.ask(fmt.Sprintf(
				`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":1},"name":"echo","arguments":{"n":"(%d)"}}}`, i)))
		}()
	}
	for range cap(answers) {
		got := <-answers
		n, text, _ := strings.Cut(got, " ")
		if !strings.Contains(text, "("+n+")") || !strings.Contains(text, `"id":1,`) {
			t.Errorf("answered %s", got)
		}
	}
}

func TestListenerRefuses(t *testing.T) {
	h := listen(t, newAPI(t))
	for name, c := range map[string]struct {
		method, body string
		status       int
		header       []string
		host         string
	}{
		"another site":          {"POST", initialize, 403, []string{"Origin", "https://evil.example"}, ""},
		"another name":          {"POST", initialize, 403, nil, "evil.example"},
		"garbage":               {"POST", "{", 400, nil, ""},
		"a batch":               {"POST", "[]", 400, nil, ""},
		"a long frame":          {"POST", strings.Repeat(" ", 5<<20), 413, nil, ""},
		"a session of nobody's": {"POST", initialize, 404, []string{"Mcp-Session-Id", "x"}, ""},
		"the shared session":    {"POST", initialize, 404, []string{"Mcp-Session-Id", "shared x"}, ""},
		"no session to listen":  {"GET", "", 405, nil, ""},
		"no session to end":     {"DELETE", "", 404, nil, ""},
		"another method":        {"PUT", "", 405, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h.t, h.host = t, c.host
			got := h.do(c.method, c.body, c.header...)
			if got.StatusCode != c.status {
				t.Errorf("answered %d, want %d", got.StatusCode, c.status)
			}
			unread := c.status == http.StatusBadRequest || c.status == http.StatusRequestEntityTooLarge
			if text, err := io.ReadAll(got.Body); err != nil || strings.Contains(string(text), undo) != unread {
				t.Errorf("answered %s, %v", text, err)
			}
		})
	}
}

func TestPostsAreTakenOnce(t *testing.T) {
	api := newAPI(t)
	h := listen(t, api)
	id := h.begin("ana")
	header := []string{"Authorization", "Bearer ana", "Mcp-Session-Id", id}
	first := make(chan string, 1)
	ctx, hangUp := context.WithCancel(t.Context())
	go func() {
		req, _ := http.NewRequestWithContext(ctx, "POST", h.url, strings.NewReader(call(5, "echo", `{"x":"wait"}`)))
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Authorization", "Bearer ana")
		req.Header.Set("Mcp-Session-Id", id)
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_, _ = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		first <- "done"
	}()
	api.until("the call", func() bool { return len(api.started) == 1 })
	hangUp()
	<-first
	if got := h.ask(call(5, "echo", `{"x":"another"}`), header...); !strings.Contains(got, "another request with this ID") {
		t.Errorf("answered %s", got)
	}
	again := h.do("POST", call(5, "echo", `{"x":"wait"}`), header...) // which is under way then
	api.decide(0, "approved")
	if got, err := io.ReadAll(again.Body); err != nil || !strings.Contains(string(got), `"id":5`) {
		t.Errorf("answered %s, %v", got, err)
	}
	if len(api.started) != 1 {
		t.Errorf("asked %d times", len(api.started))
	}
}

// What people approve for a client that has gone waits for one that asks again, and then runs once.
func TestClientsThatHangUpAreNotActedFor(t *testing.T) {
	t.Parallel() // for it waits much
	api := newAPI(t)
	h := listen(t, api)
	id := h.begin("ana")
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", h.url, strings.NewReader(call(5, "echo", `{"x":"wait"}`)))
	if err != nil {
		t.Fatal(err)
	}
	header := []string{"Authorization", "Bearer ana", "Mcp-Session-Id", id, "Accept", "text/event-stream"}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	api.until("the call", func() bool { return len(api.started) == 1 })
	hangUp()
	api.until("its release", func() bool { return api.calls["pawl-0"].released })
	api.decide(0, "approved")
	if got := h.ask(call(6, "echo", `{"x":"wait"}`), header...); !strings.Contains(got, `"id":6`) || strings.Contains(got, "Pending") {
		t.Errorf("answered %s", got)
	}
	ran, _ := os.ReadFile(h.ran)
	if len(api.started) != 1 || strings.TrimSpace(string(ran)) != "echo" {
		t.Errorf("asked %d times, ran %s", len(api.started), ran)
	}
}

func TestListenerUsesNoCredentialOfItsOwn(t *testing.T) {
	api := newAPI(t)
	h := listen(t, api)
	h.ask(initialize)
	if len(api.tokens) != 1 || !api.tokens[""] {
		t.Errorf("asked with %v", api.tokens)
	}
}

// Where Pawl knows no callers, only this machine is served, and nobody by a proxy.
func TestListenerServesThisMachineAloneWithoutSignIn(t *testing.T) {
	const nobody, ana = `{"subject":"local","roles":["agent"],"method":"none"}`,
		`{"subject":"ana","roles":["agent"],"method":"token"}`
	for name, c := range map[string]struct {
		address, who string
		header       []string
		status       int
	}{
		"this machine":                     {"127.0.0.1:0", nobody, nil, 200},
		"this machine, by its name":        {"localhost:0", nobody, nil, 200},
		"by IPv6":                          {"[::1]:0", nobody, nil, 200},
		"every address":                    {"0.0.0.0:0", nobody, nil, 403},
		"every address, by none":           {":0", nobody, nil, 403},
		"every address of IPv6":            {"[::]:0", nobody, nil, 403},
		"a name":                           {"pawl.example.com:7300", nobody, nil, 403},
		"with any token":                   {"0.0.0.0:0", nobody, []string{"Authorization", "Bearer x"}, 403},
		"a proxy on this machine":          {"127.0.0.1:0", nobody, []string{"X-Forwarded-For", "192.0.2.1"}, 403},
		"a proxy of another kind":          {"127.0.0.1:0", nobody, []string{"Forwarded", "for=192.0.2.1"}, 403},
		"sign-in, every address":           {"0.0.0.0:0", ana, []string{"Authorization", "Bearer x"}, 200},
		"sign-in, and a proxy before this": {"127.0.0.1:0", ana, []string{"X-Forwarded-For", "192.0.2.1"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			api := newAPI(t)
			api.who = c.who
			g, err := mcp.New(options(t, api, filepath.Join(t.TempDir(), "ran")))
			if err != nil {
				t.Fatal(err)
			}
			l := g.Listen(c.address)
			defer l.Close()
			server := httptest.NewServer(l)
			defer server.Close()
			h := &hub{t: t, url: server.URL}
			h.ask(initialize, "Authorization", "Bearer x") // known by now, if it can be
			if got := h.do("POST", initialize, c.header...); got.StatusCode != c.status {
				t.Errorf("answered %d, want %d", got.StatusCode, c.status)
			}
		})
	}
}
