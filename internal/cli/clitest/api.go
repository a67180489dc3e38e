// Package clitest runs the whole command line in the test's process, against an API that answers as
// the test says.
package clitest

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/access"
	"github.com/pawlhq/pawl/internal/cli/call"
	"github.com/pawlhq/pawl/internal/cli/gateway"
	"github.com/pawlhq/pawl/internal/cli/hooks"
	"github.com/pawlhq/pawl/internal/cli/operate"
	"github.com/pawlhq/pawl/internal/cli/policies"
	"github.com/pawlhq/pawl/internal/cli/review"
)

// MailID is the ID of the call in request.json.
const MailID = "pawl-k3vq2m7aaaaaaaaaaaaaaaaaaa"

var Now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// API answers as the HTTP contract says. Tests put replies under "METHOD path"; requests in views
// are served by ID prefix and as a list.
type API struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	views   []string // JSON, newest first
	Replies map[string]http.HandlerFunc
	Seen    []string // "METHOD path?query body"
}

func NewAPI(t *testing.T, views ...string) *API {
	f := &API{t: t, views: views, Replies: map[string]http.HandlerFunc{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *API) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	f.mu.Lock()
	f.Seen = append(f.Seen, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	h := f.Replies[r.Method+" "+r.URL.Path]
	f.mu.Unlock()
	switch id, one := strings.CutPrefix(r.URL.Path, "/api/requests/"); {
	case h != nil:
		h(w, r)
	case r.URL.Path == "/api/whoami":
		Reply(200, `{"subject":"local","kind":"person","method":"none",`+
			`"roles":["agent","reviewer","auditor","admin"]}`)(w, r)
	case r.Method == http.MethodGet && r.URL.Path == "/api/requests":
		f.list(w, r)
	case r.Method == http.MethodGet && one:
		f.one(w, id)
	default:
		Reply(404, `{"title":"Not Found","detail":"no such call","code":"unknown"}`)(w, r)
	}
}

func (f *API) one(w http.ResponseWriter, prefix string) {
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
		Reply(404, `{"detail":"no call's ID begins so","code":"unknown"}`)(w, nil)
	case 1:
		Reply(200, fits[0])(w, nil)
	default:
		Reply(409, `{"detail":"the ID prefix fits several calls; give more of it","code":"ambiguous"}`)(w, nil)
	}
}

// list pages by two, whatever the limit, so every test goes through cursors.
func (f *API) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var fits []string
	for _, v := range f.views {
		status := cmp.Or(r.URL.Query().Get("status"), "pending")
		if status == "all" || field(f.t, v, "status") == status {
			fits = append(fits, v)
		}
	}
	if r.URL.Query().Get("order") == "deadline" {
		slices.SortStableFunc(fits, func(a, b string) int {
			return strings.Compare(field(f.t, a, "deadline"), field(f.t, b, "deadline"))
		})
	}
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	to, next := from+min(2, limit), strconv.Itoa(from+min(2, limit))
	if to >= len(fits) {
		to, next = len(fits), ""
	}
	items := strings.Join(fits[from:to], ",")
	Reply(200, fmt.Sprintf(`{"items":[%s],"total":%d,"next_cursor":%q}`, items, len(fits), next))(w, r)
}

func (f *API) On(route string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Replies[route] = h
}

// Requests returns what was asked, of one method.
func (f *API) Requests(method string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, s := range f.Seen {
		if strings.HasPrefix(s, method+" ") {
			out = append(out, s)
		}
	}
	return out
}

func Reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if status >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func field(t *testing.T, doc, name string) string {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(doc), &m); err != nil {
		t.Fatal(err)
	}
	s, _ := m[name].(string)
	return s
}

//go:embed testdata
var testdata embed.FS

// Fixture returns a view that the fake API can serve: request.json or hostile.json.
func Fixture(t *testing.T, name string) string {
	t.Helper()
	doc, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// CommandLine runs the command line in process.
type CommandLine struct {
	Program  string // see cli.Env
	API      string
	Stdin    io.Reader
	Env      map[string]string
	Terminal bool // for output
	Width    int  // of that terminal; 0: unknown
	LookPath func(name string) (string, error)
	Ctx      context.Context
}

type Result struct {
	Code     int
	Out, Err string
}

func (c CommandLine) Run(t *testing.T, args ...string) Result {
	t.Helper()
	if c.Stdin == nil {
		c.Stdin = strings.NewReader("")
	}
	if c.Ctx == nil {
		c.Ctx = t.Context()
	}
	var out, errs strings.Builder
	code := Execute(c.Ctx, cli.Env{
		Program: c.Program, Stdin: c.Stdin, Stdout: &out, Stderr: &errs,
		Getenv: func(name string) string {
			if v, ok := c.Env[name]; ok || name != "PAWL_API" {
				return v
			}
			return c.API
		},
		Environ: func() (pairs []string) {
			for name, value := range c.Env {
				pairs = append(pairs, name+"="+value)
			}
			return pairs
		},
		IsTerminal: func(stream any) bool {
			return stream != any(c.Stdin) && c.Terminal
		},
		Now:     func() time.Time { return Now },
		Columns: func() int { return c.Width }, LookPath: c.LookPath,
	}, args...)
	return Result{code, out.String(), errs.String()}
}

func (r Result) Want(t *testing.T, code int, out, errs []string) {
	t.Helper()
	if r.Code != code {
		t.Errorf("exit code %d, want %d", r.Code, code)
	}
	for _, s := range out {
		if !strings.Contains(r.Out, s) {
			t.Errorf("stdout misses %q", s)
		}
	}
	for _, s := range errs {
		if !strings.Contains(r.Err, s) {
			t.Errorf("stderr misses %q", s)
		}
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", r.Out, r.Err)
	}
}

// Execute runs one command line in this process, and returns its exit code.
func Execute(ctx context.Context, env cli.Env, args ...string) int {
	return cli.Run(ctx, env, args,
		call.Commands, review.Commands, policies.Commands, access.Commands,
		hooks.Commands, gateway.Commands, operate.Commands)
}
