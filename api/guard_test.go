package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
)

func TestRoutes(t *testing.T) {
	w := newWorld(t)
	for _, r := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/nothing", 404, rest.CodeNoRoute, ""},
		{"GET", "/api/calls/", 404, rest.CodeNoRoute, ""},
		{"GET", "/API/tools", 404, rest.CodeNoRoute, ""},
		{"GET", "/api/eventz", 404, rest.CodeNoRoute, ""},
		{"GET", "/api/%63alls/x", 404, rest.CodeNoRoute, ""},
		{"GET", "/api/calls/x/../y", 404, rest.CodeNoRoute, ""},
		{"GET", "/api/calls", 405, rest.CodeNoMethod, "POST"},
		{"DELETE", "/api/calls/x", 405, rest.CodeNoMethod, "GET, HEAD"},
		{"GET", "/api/requests/x/approve", 405, rest.CodeNoMethod, "POST"},
		{"HEAD", "/api/requests/x/reject", 405, rest.CodeNoMethod, "POST"},
		{"GET", "/api/calls/x/cancel", 405, rest.CodeNoMethod, "POST"},
		{"OPTIONS", "/api/tools", 405, rest.CodeNoMethod, "GET, HEAD"},
		{"POST", "/healthz", 405, rest.CodeNoMethod, "GET, HEAD"},
	} {
		t.Run(r.method+" "+r.path, func(t *testing.T) {
			rec := w.send(r.method, r.path, "")
			expect(t, rec, r.status, r.code)
			if got := rec.Header().Get("Allow"); got != r.allow {
				t.Errorf("Allow is %q, want %q", got, r.allow)
			}
		})
	}
	if w.temporal.queries != 0 || len(w.temporal.starts) != 0 {
		t.Error("a wrong route reached Temporal")
	}
}

func TestIndexListsEveryRoute(t *testing.T) {
	w := newWorld(t)
	rec := w.get("/")
	if rec.Code != 200 || rec.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Fatalf("got %d %s", rec.Code, rec.Header())
	}
	for _, want := range []string{"POST   /api/calls ", "GET    /api/requests/{id}/decisions/{decision_id}", "DELETE /auth/session ", "GET    /readyz"} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%q is missing in\n%s", want, rec.Body)
		}
	}
	if head := w.send("HEAD", "/", ""); head.Code != 200 {
		t.Errorf("HEAD answers %d", head.Code)
	}
}

func TestEveryAnswerCarriesSecurityHeaders(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/", "/healthz", "/nothing", "/api/tools"} {
		h := w.get(path).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: allows other origins", path)
		}
	}
}

func TestHost(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Hosts = []string{"pawl.internal", "Gateway.Internal:8443"} })
	for host, allowed := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.9.8.7": true, "[::1]": true, "[::ffff:127.0.0.1]": true,
		"pawl.internal": true, "PAWL.internal": true, "gateway.internal:8443": true,
		"": false, "gateway.internal": false, "gateway.internal:1": false, "pawl.internal:8443": false,
		"localhost:7295": false, // this request came through no listener, so no port is the right one
		"localhost.":     false, "localhost.evil.example": false, "evil.example": false, "127.0.0.1.nip.io": false,
		"0.0.0.0": false, "10.0.0.1": false, "[::1%25lo]": false, "2130706433": false, "0x7f.1": false,
		"user@localhost": false, "localhost@evil.example": false, "localhost:x": false, "pawl.internal.evil.example": false,
	} {
		rec := w.send("GET", "/healthz", "", "Host", host)
		if got := rec.Code == 200; got != allowed {
			t.Errorf("host %q: answered %d", host, rec.Code)
		} else if !allowed {
			expect(t, rec, http.StatusMisdirectedRequest, rest.CodeHost)
		}
	}
}

func TestOrigin(t *testing.T) {
	for _, c := range []struct {
		name    string
		header  []string
		allowed bool
	}{
		{"no browser", nil, true},
		{"same origin", []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://localhost"}, true},
		{"typed by the user", []string{"Sec-Fetch-Site", "none"}, true},
		{"old browser, same origin", []string{"Origin", "http://localhost"}, true},
		{"other site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
		{"other port of this machine", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://localhost:3000"}, false},
		{"old browser, other site", []string{"Origin", "https://evil.example"}, false},
		{"old browser, other port", []string{"Origin", "http://localhost:3000"}, false},
		{"sandboxed frame", []string{"Origin", "null"}, false},
		{"liar", []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://localhost"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.QueryBudget = 10 * time.Millisecond })
			w.request("pawl-1")
			for _, path := range []string{"/api/requests/pawl-1/approve", "/api/calls/pawl-1/cancel", "/api/calls"} {
				body := ""
				if path == "/api/calls" {
					body = `{"tool":"t"}`
				}
				rec := w.send("POST", path, body, append(c.header, "X-Pawl-Reviewer", "ana")...)
				if c.allowed {
					if rec.Code >= 300 && rec.Code != 409 {
						t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
					}
					continue
				}
				expect(t, rec, 403, rest.CodeCrossOrigin)
			}
			reached := len(w.temporal.starts) + len(w.temporal.get("pawl-1").signals)
			if !c.allowed && reached != 0 {
				t.Error("the request reached Temporal")
			}
			if rec := w.send("GET", "/api/tools", "", c.header...); rec.Code != 200 {
				t.Errorf("reading answers %d", rec.Code)
			}
		})
	}
}

func TestBodies(t *testing.T) {
	const start, approve, cancel = "/api/calls", "/api/requests/pawl-1/approve", "/api/calls/pawl-1/cancel"
	json, form := "application/json", "application/x-www-form-urlencoded"
	big := `{"tool":"t","reason":"` + strings.Repeat("x", maxBody) + `"}`
	for _, c := range []struct {
		name, path, body, mediaType string
		status                      int
		code, detail                string
	}{
		{"form", start, "tool=t", form, 415, rest.CodeMediaType, ""},
		{"text", start, `{"tool":"t"}`, "text/plain", 415, rest.CodeMediaType, ""},
		{"no type", start, `{"tool":"t"}`, "-", 415, rest.CodeMediaType, ""},
		{"nonsense type", start, `{"tool":"t"}`, "application/json; =", 415, rest.CodeMediaType, ""},
		{"almost JSON", start, `{"tool":"t"}`, "application/json-patch+json", 415, rest.CodeMediaType, ""},
		{"charset", start, `{"tool":"t"}`, "application/json; charset=utf-8", 202, "", ""},
		{"empty form on approve", approve, "", form, 415, rest.CodeMediaType, ""},
		{"empty form on cancel", cancel, "", form, 415, rest.CodeMediaType, ""},
		{"empty start", start, "", json, 400, rest.CodeInvalidRequest, ""},
		{"too large", start, big, json, 413, rest.CodeTooLarge, ""},
		{"too large for a decision", approve, big, json, 413, rest.CodeTooLarge, ""},
		{"not JSON", start, `{tool}`, json, 400, rest.CodeInvalidRequest, "not JSON"},
		{"list", start, `[]`, json, 400, rest.CodeInvalidRequest, "must be a JSON object"},
		{"null", start, `null`, json, 400, rest.CodeInvalidRequest, "must be a JSON object"},
		{"two values", start, `{"tool":"t"}{}`, json, 400, rest.CodeInvalidRequest, "after the end"},
		{"unknown field", start, `{"tool":"t","colour":1}`, json, 400, rest.CodeInvalidRequest, `unknown field "colour"`},
		{"wrong case", start, `{"Tool":"t"}`, json, 400, rest.CodeInvalidRequest, `did you mean "tool"`},
		{"twice", start, `{"tool":"t","tool":"u"}`, json, 400, rest.CodeInvalidRequest, "is given twice"},
		{"keys in two cases", start, `{"tool":"t","args":{"amount":1,"AMOUNT":2}}`, json, 400, rest.CodeInvalidRequest, "differ in case only"},
		{"labels in two cases", start, `{"tool":"t","labels":{"env":"a","ENV":"b"}}`, json, 400, rest.CodeInvalidRequest, "differ in case only"},
		{"wrong type", start, `{"tool":5}`, json, 400, rest.CodeInvalidRequest, "body: tool: is a number, must be a string"},
		{"no tool", start, `{}`, json, 400, rest.CodeInvalidRequest, "tool is missing"},
		{"bad tool", start, `{"tool":"a b"}`, json, 400, rest.CodeInvalidRequest, "not a tool name"},
		{"args are no object", start, `{"tool":"t","args":[1]}`, json, 400, rest.CodeInvalidRequest, "args"},
		{"large integer", start, `{"tool":"t","args":{"n":9007199254740993}}`, json, 400, rest.CodeInvalidRequest, "2^53"},
		{"large args", start, `{"tool":"t","args":{"a":"` + strings.Repeat("x", approval.MaxArgs) + `"}}`, json, 400, rest.CodeInvalidRequest, "args"},
		{"args that grow when escaped", start, `{"tool":"t","args":{"a":"` + strings.Repeat("<", approval.MaxArgs-100) + `"}}`, json, 400, rest.CodeInvalidRequest, "bytes of JSON"},
		{"bad wait", start, `{"tool":"t","wait":"soon"}`, json, 400, rest.CodeInvalidRequest, "length of time"},
		{"negative wait", start, `{"tool":"t","wait":"-1s"}`, json, 400, rest.CodeInvalidRequest, "length of time"},
		{"no time at all", start, `{"tool":"t","timeout":0}`, json, 400, rest.CodeInvalidRequest, "timeout: nobody can answer in no time"},
		{"no time in words", start, `{"tool":"t","timeout":"0s"}`, json, 400, rest.CodeInvalidRequest, "timeout: nobody can answer in no time"},
		{"less than no time", start, `{"tool":"t","timeout":"-1m"}`, json, 400, rest.CodeInvalidRequest, "length of time"},
		{"decision with a reviewer", approve, `{"reviewer":"ana"}`, json, 400, rest.CodeInvalidRequest, `unknown field "reviewer"`},
		{"decision notes of the wrong type", approve, `{"notes":5}`, json, 400, rest.CodeInvalidRequest, "notes"},
		{"cancel by somebody", cancel, `{"by":"ana"}`, json, 400, rest.CodeInvalidRequest, `unknown field "by"`},
		{"cancel with bad notes", cancel, `{"notes":"\u0007"}`, json, 400, rest.CodeInvalidRequest, "notes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.QueryBudget = 10 * time.Millisecond })
			f := w.request("pawl-1")
			rec := w.send("POST", c.path, c.body, "X-Pawl-Reviewer", "ana", "Content-Type", c.mediaType)
			got := expect(t, rec, c.status, c.code)
			if detail := fmt.Sprint(got["detail"]); !strings.Contains(detail, c.detail) {
				t.Errorf("detail is %q", detail)
			}
			if c.code != "" && len(f.signals)+len(w.temporal.starts) != 0 {
				t.Error("a refused body reached Temporal")
			}
		})
	}
}

func TestEncodedBodyIsRefused(t *testing.T) {
	rec := newWorld(t).send("POST", "/api/calls", `{"tool":"t"}`, "Content-Encoding", "gzip")
	expect(t, rec, 415, rest.CodeMediaType)
}

func TestParameters(t *testing.T) {
	w := newWorld(t)
	for path, detail := range map[string]string{
		"/api/requests?colour=red":                                 "colour",
		"/api/requests?status=open":                                "status",
		"/api/requests?status=pending,executed":                    "status",
		"/api/requests?risk=huge":                                  "risk",
		"/api/requests?limit=0":                                    "limit",
		"/api/requests?limit=501":                                  "limit",
		"/api/requests?limit=ten":                                  "limit",
		"/api/requests?tool=a&tool=b":                              "tool",
		"/api/requests?agent=%00":                                  "agent",
		"/api/requests?agent=%ff":                                  "agent",
		"/api/requests?cursor=bad":                                 "cursor",
		"/api/requests?tool=%zz":                                   "query string",
		"/api/requests?session=" + strings.Repeat("x", maxParam+1): "session",
		"/api/audit?kind=bogus":                                    "use one of call.requested, call.blocked",
		"/api/audit?limit=-1":                                      "limit",
		"/api/audit?status=all":                                    "status",
		"/api/tools?limit=5":                                       "limit",
		"/api/calls/x?wait=soon":                                   "wait",
		"/api/calls/x?wait=-1s":                                    "wait",
	} {
		body := expect(t, w.get(path), 400, rest.CodeInvalidRequest)
		if d, _ := body["detail"].(string); !strings.Contains(d, detail) {
			t.Errorf("%.60s: detail %q does not name %q", path, d, detail)
		}
	}
}

func TestPanicsAreHidden(t *testing.T) {
	var log strings.Builder
	w := newWorld(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	w.store.broken = "card 4111"
	rec := w.get("/api/tools")
	expect(t, rec, 500, approval.CodeInternalError)
	if strings.Contains(rec.Body.String()+log.String(), "4111") {
		t.Errorf("the panic's value shows: %s\n%s", rec.Body, log.String())
	}
	if !strings.Contains(log.String(), "panic in a handler") {
		t.Errorf("the panic is not logged: %s", log.String())
	}
}

func TestAccessLogHoldsNoPaths(t *testing.T) {
	var log strings.Builder
	w := newWorld(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	w.get("/api/calls/secret-id?wait=0s")
	w.get("/secret-path")
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "route=/api/calls/:id") {
		t.Errorf("access log: %s", log.String())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, c := newFakeTemporal(t)
	good := func() Options { return Options{Temporal: c, Store: &fakeStore{}} }
	for name, spoil := range map[string]func(*Options){
		"Temporal":    func(o *Options) { o.Temporal = nil },
		"Store":       func(o *Options) { o.Store = nil },
		"QueryBudget": func(o *Options) { o.QueryBudget = -1 },
		"MaxWait":     func(o *Options) { o.MaxWait = -1 },
		"Hosts":       func(o *Options) { o.Hosts = []string{"http://pawl.internal"} },
	} {
		o := good()
		spoil(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, h := range []string{"", "a/b", "user@host", "host:port", "a?b", ":80"} {
		o := good()
		o.Hosts = []string{h}
		if _, err := New(o); err == nil {
			t.Errorf("host %q is taken", h)
		}
	}
}
