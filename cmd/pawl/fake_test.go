package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	mailID    = "pawl-k3vq2m7aaaaaaaaaaaaaaaaaaa"
	hostileID = "pawl-t7aa4nqaaaaaaaaaaaaaaaaaaa"
	mailSum   = "3f2a91bc1234567890abcdef3f2a91bc1234567890abcdef3f2a91bc12345678"
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fakeAPI answers as the HTTP contract says. Tests put replies under "METHOD
// path"; requests in views are served by ID prefix and as a list.
type fakeAPI struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	views   []string // JSON, newest first
	replies map[string]http.HandlerFunc
	seen    []string // "METHOD path?query body"
}

func newFakeAPI(t *testing.T, views ...string) *fakeAPI {
	f := &fakeAPI{t: t, views: views, replies: map[string]http.HandlerFunc{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAPI) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	f.mu.Lock()
	f.seen = append(f.seen, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	h := f.replies[r.Method+" "+r.URL.Path]
	f.mu.Unlock()
	switch id, one := strings.CutPrefix(r.URL.Path, "/api/requests/"); {
	case h != nil:
		h(w, r)
	case r.URL.Path == "/api/whoami":
		reply(200, `{"subject":"local","kind":"person","roles":["agent","reviewer","auditor","admin"],"method":"none"}`)(w, r)
	case r.Method == http.MethodGet && r.URL.Path == "/api/requests":
		f.list(w, r)
	case r.Method == http.MethodGet && one:
		f.one(w, id)
	default:
		reply(404, `{"title":"Not Found","detail":"no such call","code":"unknown"}`)(w, r)
	}
}

func (f *fakeAPI) one(w http.ResponseWriter, prefix string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var fits []string
	for _, v := range f.views {
		if strings.HasPrefix(field(f.t, v, "id"), prefix) {
			fits = append(fits, v)
		}
	}
	switch len(fits) {
	case 0:
		reply(404, `{"detail":"no call's ID begins so","code":"unknown"}`)(w, nil)
	case 1:
		reply(200, fits[0])(w, nil)
	default:
		reply(409, `{"detail":"the ID prefix fits several calls; give more of it","code":"ambiguous"}`)(w, nil)
	}
}

// list pages by two, whatever the limit, so every test goes through cursors.
func (f *fakeAPI) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var fits []string
	for _, v := range f.views {
		if status := r.URL.Query().Get("status"); status == "all" || field(f.t, v, "status") == status || (status == "" && field(f.t, v, "status") == "pending") {
			fits = append(fits, v)
		}
	}
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	to, next := from+min(2, limit), strconv.Itoa(from+min(2, limit))
	if to >= len(fits) {
		to, next = len(fits), ""
	}
	reply(200, fmt.Sprintf(`{"items":[%s],"total":%d,"next_cursor":%q}`, strings.Join(fits[from:to], ","), len(fits), next))(w, r)
}

func (f *fakeAPI) on(route string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replies[route] = h
}

// requests returns what was asked, of one method.
func (f *fakeAPI) requests(method string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, s := range f.seen {
		if strings.HasPrefix(s, method+" ") {
			out = append(out, s)
		}
	}
	return out
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if status >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// replyJSON is reply for what is no problem document, whatever its status.
func replyJSON(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hang answers nothing for as long as anybody listens.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func field(t *testing.T, doc, name string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(doc), &m); err != nil {
		t.Fatal(err)
	}
	s, _ := m[name].(string)
	return s
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// with returns a copy of a JSON object with a field replaced.
func with(t *testing.T, doc, name string, value any) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(doc), &m); err != nil {
		t.Fatal(err)
	}
	m[name] = value
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// cmdline runs the command line in process.
type cmdline struct {
	api      string
	stdin    io.Reader
	env      map[string]string
	terminal bool // for output
	typing   bool // a person types the input
	ctx      context.Context
}

type result struct {
	code     int
	out, err string
}

func (c cmdline) run(t *testing.T, args ...string) result {
	t.Helper()
	if c.stdin == nil {
		c.stdin = strings.NewReader("")
	}
	if c.ctx == nil {
		c.ctx = t.Context()
	}
	var out, errs strings.Builder
	code := run(c.ctx, Env{
		Stdin: c.stdin, Stdout: &out, Stderr: &errs,
		Getenv: func(name string) string {
			if v, ok := c.env[name]; ok || name != "PAWL_API" {
				return v
			}
			return c.api
		},
		Environ: func() (pairs []string) {
			for name, value := range c.env {
				pairs = append(pairs, name+"="+value)
			}
			return pairs
		},
		IsTerminal: func(stream any) bool {
			if stream == any(c.stdin) {
				return c.typing
			}
			return c.terminal
		},
		Now: func() time.Time { return testNow },
	}, args)
	return result{code, out.String(), errs.String()}
}

func (r result) want(t *testing.T, code int, out, errs []string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, s := range out {
		if !strings.Contains(r.out, s) {
			t.Errorf("stdout misses %q", s)
		}
	}
	for _, s := range errs {
		if !strings.Contains(r.err, s) {
			t.Errorf("stderr misses %q", s)
		}
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", r.out, r.err)
	}
}

// brokenWriter fails like a full disk.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left") }
