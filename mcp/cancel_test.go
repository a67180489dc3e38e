package mcp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/mcp"
)

// hanging is a server by HTTP that answers nothing but lists: it tells of what was asked, of requests that
// were closed, and of cancellations that were posted.
type hanging struct {
	*httptest.Server
	asked, closed, posted chan string
	end                   func() // of all requests
}

func newHanging(t *testing.T) *hanging {
	h := &hanging{asked: make(chan string, 20), closed: make(chan string, 20), posted: make(chan string, 20)}
	done := make(chan struct{})
	h.end = sync.OnceFunc(func() { close(done) })
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		doc, _ := io.ReadAll(r.Body)
		frame := string(doc)
		hang := func(first string) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(200)
			_, _ = io.WriteString(w, first)
			_ = http.NewResponseController(w).Flush()
			h.asked <- frame
			select {
			case <-r.Context().Done():
				h.closed <- frame
			case <-done:
			}
		}
		switch {
		case r.Method == http.MethodGet && r.Header.Get("Last-Event-ID") == "e1":
			hang(": again\n\n")
		case r.Method != http.MethodPost:
			w.WriteHeader(405)
		case strings.Contains(frame, "notifications/cancelled"):
			h.posted <- frame
			w.WriteHeader(202)
		case strings.Contains(frame, "initialize"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}`)
		case strings.Contains(frame, "tools/list"):
			_, id, _ := strings.Cut(frame, `"id":"`)
			id, _, _ = strings.Cut(id, `"`)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":"`+id+`","result":{"tools":[{"name":"hang"},{"name":"resume"}]}}`)
		case strings.Contains(frame, `"resume"`):
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "id: e1\ndata:\n\n")
		default:
			hang(": working\n\n")
		}
	}))
	t.Cleanup(func() { h.end(); h.Close() })
	return h
}

func got(t *testing.T, what string, from chan string) string {
	t.Helper()
	select {
	case frame := <-from:
		return frame
	case <-time.After(20 * time.Second):
		t.Fatal("it took too long: " + what)
		return ""
	}
}

const ofNewEra = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`

// A request that runs is cancelled as its server's era has it: by closing it, or by a notification.
func TestCancelReachesAServerByHTTP(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		newEra  bool
		call    bool
	}{
		"a tool, in the new era": {`"tools/call","params":{"name":"hang","arguments":{},` + ofNewEra + `}`, true, true},
		"a tool whose stream was taken up again": {`"tools/call","params":{"name":"resume","arguments":{},` + ofNewEra + `}`,
			true, true},
		"a subscription":         {`"subscriptions/listen","params":{` + ofNewEra + `}`, true, false},
		"a tool, in the old era": {`"tools/call","params":{"name":"hang","arguments":{}}`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // for it waits much
			web, api := newHanging(t), newAPI(t)
			r := connect(t, api, func(o *mcp.Options) { o.Upstream = mcp.Remote(web.URL, nil) })
			if !c.newEra {
				r.ask(0, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`)
			}
			r.send(`{"jsonrpc":"2.0","id":1,"method":%s}`, c.request)
			r.send(`{"jsonrpc":"2.0","id":2,"method":%s}`, strings.ReplaceAll(c.request, "{}", `{"x":2}`)) // runs on
			for range 2 {
				got(t, "the requests", web.asked)
			}
			r.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
			if c.newEra {
				if frame := got(t, "the request's end", web.closed); strings.Contains(frame, `"id":2`) {
					t.Errorf("closed %s", frame)
				}
			} else if frame := got(t, "the notification", web.posted); !strings.Contains(frame, `"requestId":1`) {
				t.Errorf("posted %s", frame)
			}
			if c.call {
				api.until("a report of the cancelled call alone", func() bool {
					cancelled, other := "", 0
					for _, k := range api.calls {
						if string(k.args) == "{}" && len(k.reports) == 1 {
							cancelled, _ = k.reports[0]["status"].(string)
						} else {
							other += len(k.reports)
						}
					}
					return cancelled == "outcome_unknown" && other == 0
				})
			}
			r.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"nobody's"}}`)
			got(t, "a notification about no request", web.posted)
			if len(web.closed)+len(web.posted) > 0 {
				t.Error("more was closed or posted")
			}
			select {
			case frame := <-r.from:
				t.Errorf("the client, which cancelled, was answered %s", frame)
			default:
			}
			web.end()
		})
	}
}

// A client that holds no session cancels by hanging up; its server hears of that.
func TestHangingUpReachesAServerByHTTP(t *testing.T) {
	t.Parallel() // for it waits much
	web, api := newHanging(t), newAPI(t)
	h := listen(t, api, func(o *mcp.Options) { o.Upstream = mcp.Remote(web.URL, nil) })
	ctx, hangUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, "POST", h.url, strings.NewReader(
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hang","arguments":{},`+ofNewEra+`}}`))
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Authorization", "Bearer ana")
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		ended <- err
	}()
	got(t, "the call", web.asked)
	hangUp()
	got(t, "the request's end", web.closed)
	if err := <-ended; err == nil {
		t.Error("the client was answered")
	}
	if report := api.reported(0); report["status"] != "outcome_unknown" {
		t.Errorf("reported %v", report)
	}
}
