package mcp_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/mcp"
)

// way is a way to the API that fails for the requests whose path has that end.
type way struct {
	failing atomic.Pointer[string]
	fail    func() (*http.Response, error)
}

func (w *way) RoundTrip(r *http.Request) (*http.Response, error) {
	if end := w.failing.Load(); end != nil && strings.HasSuffix(r.URL.Path, *end) {
		return w.fail()
	}
	return http.DefaultTransport.RoundTrip(r)
}

// What can't be trusted to have been permitted does not run, and does when Pawl answers again: the same
// call, which is asked for once.
func TestNothingRunsBeforePawlAnswers(t *testing.T) {
	answers := func(code int, kind, text string) func() (*http.Response, error) {
		return func() (*http.Response, error) {
			head := http.Header{"Content-Type": {kind}}
			return &http.Response{StatusCode: code, Header: head, Body: io.NopCloser(strings.NewReader(text))}, nil
		}
	}
	says := func(code int, text string) func() (*http.Response, error) {
		return answers(code, "application/problem+json", text)
	}
	for name, c := range map[string]struct {
		end, answer string
		fail        func() (*http.Response, error)
		calls       int
	}{
		"a panic before it asks":   {"/version", "the gateway has a fault", func() (*http.Response, error) { panic("ours") }, 1},
		"a panic at the start":     {"/start", "the gateway has a fault", func() (*http.Response, error) { panic("ours") }, 2},
		"500 at the start":         {"/start", "broken", says(500, `{"detail":"broken"}`), 1},
		"garbage at the start":     {"/start", "not application/json", says(200, `{"x`), 1},
		"broken JSON at the start": {"/start", "can't be used", answers(200, "application/json", `{"x`), 1},
		"a refusal of the start":   {"/start", "not yours", says(403, `{"detail":"not yours"}`), 2},
		"a list that is not taken": {"/tools", "", says(500, `{"detail":"broken"}`), 1},
		"a list that gets lost":    {"/tools", "", func() (*http.Response, error) { return nil, errors.New("gone") }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			api, w := newAPI(t), &way{fail: c.fail}
			r := connect(t, api, func(o *mcp.Options) {
				o.API = func(string) (*client.Client, error) {
					return client.New(client.Options{URL: api.URL, HTTP: &http.Client{Transport: w}})
				}
			})
			w.failing.Store(&c.end)
			got := r.ask(1, call(1, "echo", `{}`))
			if c.answer != "" && (!strings.Contains(got, c.answer) ||
				!strings.Contains(got, undo) || !strings.Contains(got, `"isError":true`) || r.runs() != "") {
				t.Errorf("answered %s, ran %q", got, r.runs())
			}
			w.failing.Store(nil)
			if c.answer != "" {
				r.ask(2, call(2, "echo", `{}`))
			}
			api.reported(c.calls - 1)
			if r.runs() != "echo" || len(api.started) != c.calls {
				t.Errorf("ran %q, asked %d times", r.runs(), len(api.started))
			}
		})
	}
}
