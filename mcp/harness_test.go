package mcp_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/mcp"
)

// fakeAPI plays Pawl: what becomes of a call is in its tool's name, or in what the test says.
type fakeAPI struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex
	down    http.HandlerFunc // answers everything, if there is one
	calls   map[string]*fakeCall
	started []map[string]any // bodies of POST /api/calls
	offered []string         // agents' lists of tools
	changed chan struct{}
	tokens  map[string]bool // all that were shown, as headers
	who     string          // what GET /api/whoami answers; empty: the token
	private bool            // it has no public URL
}

type fakeCall struct {
	id, status, end string
	url             string          // a field
	args            json.RawMessage // to run with; nil: the call's own
	start           string
	reports         []map[string]any
	released        bool
	asked           string // what makes calls alike
}

func newAPI(t testing.TB) *fakeAPI {
	f := &fakeAPI{t: t, calls: map[string]*fakeCall{}, changed: make(chan struct{}), tokens: map[string]bool{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens[r.Header.Get("Authorization")] = true
	if f.down != nil {
		f.down(w, r)
		return
	}
	reply := func(code int, text string) {
		kind := "application/json"
		if code >= 400 {
			kind = "application/problem+json"
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(code)
		fmt.Fprint(w, text)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if r.URL.Path == "/api/version" {
		reply(200, `{"version":"1","features":["caller"]}`)
		return
	}
	if r.URL.Path == "/api/whoami" && f.who != "" {
		reply(200, f.who)
		return
	}
	if r.URL.Path == "/api/whoami" {
		reply(200, `{"subject":"`+r.Header.Get("Authorization")+`","roles":["agent"]}`)
		return
	}
	var in map[string]any
	_ = json.Unmarshal(body, &in)
	if parts[1] == "agents" {
		f.offered = append(f.offered, strings.Join(parts[2:], " ")+" "+string(body))
		reply(200, string(body))
		return
	}
	if len(parts) == 2 {
		c := &fakeCall{id: fmt.Sprintf("pawl-%d", len(f.started)), status: "approved"}
		c.asked = fmt.Sprint(in["tool"], in["args"], in["description"])
		for _, free := range f.calls {
			if in["attach"] == true && free.released && free.start == "" && free.asked == c.asked {
				free.released = false
				reply(202, free.view())
				return
			}
		}
		if !f.private {
			c.url = `,"url":"http://pawl/requests/` + c.id + `"`
		}
		var raw struct{ Args json.RawMessage }
		_ = json.Unmarshal(body, &raw)
		c.args = raw.Args
		switch tool := in["tool"].(string); {
		case in["require_approval"] == true, strings.Contains(string(raw.Args), "wait"):
			c.status = "pending"
		case strings.Contains(string(raw.Args), "reject"):
			c.status, c.end = "rejected", `,"decision":{"kind":"rejected","by":"ana","notes":"not on Fridays"},`+
				`"error":{"code":"rejected","message":"ana rejected the call: not on Fridays"}`
		case strings.Contains(string(raw.Args), "unchecked"):
			c.end = `,"schema_unknown":true`
		case strings.Contains(string(raw.Args), "taken"):
			c.start = "somebody else's"
		case tool == "srv.other":
			c.args = json.RawMessage(`{"to": "bob"}`)
		}
		f.started = append(f.started, in)
		f.calls[c.id] = c
		f.news()
		if strings.Contains(string(raw.Args), "slowly") {
			changed := f.changed
			f.mu.Unlock()
			<-changed
			f.mu.Lock()
		}
		reply(202, c.view())
		return
	}
	c := f.calls[parts[2]]
	switch {
	case c == nil:
		reply(404, `{"code":"unknown","detail":"no such call"}`)
	case len(parts) == 3:
		if wait := r.URL.Query().Get("wait"); wait != "" && c.status == "pending" {
			changed := f.changed
			f.mu.Unlock()
			select {
			case <-changed:
			case <-time.After(100 * time.Millisecond):
			case <-r.Context().Done():
			}
			f.mu.Lock()
		}
		reply(200, c.view())
	case parts[3] == "release":
		c.released = true
		f.news()
		reply(200, c.view())
	case parts[3] == "start" && c.status == "pending":
		reply(409, `{"code":"not_approved","detail":"wait"}`)
	case parts[3] == "start" && c.start != "" && c.start != in["start_id"]:
		reply(409, `{"code":"started","detail":"somebody has started it","id":"`+c.id+`"}`)
	case parts[3] == "start":
		c.start, c.status = in["start_id"].(string), "executing"
		f.news()
		reply(200, fmt.Sprintf(`{"id":%q,"status":"executing","args":%s,"report_by":"2030-01-01T00:00:00Z"}`, c.id, c.args))
	case parts[3] == "outcome":
		c.reports = append(c.reports, in)
		c.status = strings.ReplaceAll(in["status"].(string), "not_run", "failed")
		f.news()
		reply(200, c.view())
	}
}

// news wakes who waits. The caller holds the lock.
func (f *fakeAPI) news() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (c *fakeCall) view() string {
	return fmt.Sprintf(`{"id":%q,"status":%q%s%s}`, c.id, c.status, c.url, c.end)
}

// decide sets the status of the n-th call.
func (f *fakeAPI) decide(n int, status string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[fmt.Sprintf("pawl-%d", n)].status = status
	f.news()
}

// until waits for a condition on the API.
func (f *fakeAPI) until(what string, holds func() bool) {
	f.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		f.mu.Lock()
		ok, changed := holds(), f.changed
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-limit:
			f.t.Fatal("it took too long: " + what)
		}
	}
}

// reported waits for the report of the n-th call.
func (f *fakeAPI) reported(n int) (report map[string]any) {
	f.t.Helper()
	f.until("a report", func() bool {
		c := f.calls[fmt.Sprintf("pawl-%d", n)]
		if c == nil || len(c.reports) == 0 {
			return false
		}
		report = c.reports[0]
		return true
	})
	return report
}

// rig is a client at the gateway.
type rig struct {
	t     testing.TB
	api   *fakeAPI
	to    io.WriteCloser
	from  chan string
	ran   string
	ended chan error
}

func options(t testing.TB, api *fakeAPI, ran string) mcp.Options {
	env := environment(ran)
	return mcp.Options{
		Server: "srv", Agent: "coder", Wait: 20 * time.Second,
		Upstream: mcp.Child([]string{os.Args[0]}, env, io.Discard),
		API: func(token string) (*client.Client, error) {
			return client.New(client.Options{URL: api.URL, Token: token})
		},
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// environment is that of a server.
func environment(ran string) []string {
	return append(os.Environ(), "TEST_SERVER_RAN="+ran, "PAWL_TOKEN=secret", "pawl_x=secret")
}

func connect(t testing.TB, api *fakeAPI, change ...func(*mcp.Options)) *rig {
	t.Helper()
	r := &rig{t: t, api: api, ran: filepath.Join(t.TempDir(), "ran"), ended: make(chan error, 1)}
	o := options(t, api, r.ran)
	for _, f := range change {
		f(&o)
	}
	g, err := mcp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	in, to := io.Pipe()
	from, out := io.Pipe()
	r.to, r.from = to, make(chan string, 1000)
	go func() {
		defer close(r.from)
		lines := bufio.NewScanner(from)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			r.from <- lines.Text()
		}
	}()
	go func() {
		r.ended <- g.ServeStdio(t.Context(), in, out)
		_ = out.Close()
	}()
	t.Cleanup(func() {
		_ = to.Close()
		<-r.ended
	})
	return r
}

func (r *rig) send(format string, a ...any) {
	r.t.Helper()
	if _, err := fmt.Fprintf(r.to, format+"\n", a...); err != nil {
		r.t.Fatal(err)
	}
}

// next returns the next frame that begins with, or holds, a text.
func (r *rig) next(with string) string {
	r.t.Helper()
	for frame := range r.from {
		if strings.Contains(frame, with) {
			return frame
		}
	}
	r.t.Fatalf("no frame with %s came", with)
	return ""
}

// ask sends a request and returns its answer.
func (r *rig) ask(id int, frame string) string {
	r.t.Helper()
	r.send("%s", frame)
	return r.next(fmt.Sprintf(`"id":%d`, id))
}

func call(id int, tool, args string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, id, tool, args)
}

// runs returns the tools that the server ran.
func (r *rig) runs() string {
	doc, _ := os.ReadFile(r.ran)
	return strings.TrimSpace(string(doc))
}
