package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
)

func TestWhoami(t *testing.T) {
	w := guardedWorld(t)
	body := expect(t, w.with(w.token("agent:billing", rest.RoleAgent), "GET", "/api/whoami", ""), 200, "")
	if body["subject"] != "agent:billing" || body["kind"] != "agent" || body["owner"] != "ana" || body["method"] != "token" {
		t.Errorf("%v", body)
	}
	body = expect(t, newWorld(t).get("/api/whoami"), 200, "")
	if body["subject"] != auth.LocalSubject || body["method"] != "none" {
		t.Errorf("%v", body)
	}
}

func TestBearer(t *testing.T) {
	w := guardedWorld(t)
	good := w.token("rita", rest.RoleReviewer)
	for _, c := range []struct {
		name   string
		header []string
		status int
		code   string
	}{
		{"as it should be", []string{"Authorization", "Bearer " + good}, 200, ""},
		{"scheme in lower case", []string{"Authorization", "bearer " + good}, 200, ""},
		{"basic", []string{"Authorization", "Basic " + good}, 401, rest.CodeUnauthenticated},
		{"no scheme", []string{"Authorization", good}, 401, rest.CodeUnauthenticated},
		{"no token", []string{"Authorization", "Bearer "}, 401, rest.CodeUnauthenticated},
		{"empty", []string{"Authorization", ""}, 401, rest.CodeUnauthenticated},
		{"twice", []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + good}, 401, rest.CodeUnauthenticated},
		{"a list", []string{"Authorization", "Bearer " + good + ", Bearer " + good}, 401, rest.CodeTokenUnknown},
		{"with more behind", []string{"Authorization", "Bearer " + good + " x"}, 401, rest.CodeTokenUnknown},
		{"as a cookie", []string{"Cookie", "token=" + good}, 401, rest.CodeUnauthenticated},
	} {
		t.Run(c.name, func(t *testing.T) {
			expect(t, w.send("GET", "/api/whoami", "", c.header...), c.status, c.code)
		})
	}
	rec := w.send("GET", "/api/whoami?access_token="+good, "")
	expect(t, rec, 401, rest.CodeUnauthenticated)
}

// Who may use what is decided before anything of the body is read.
func TestStrangersBodiesAreNotRead(t *testing.T) {
	w := guardedWorld(t)
	for at, want := range map[string]struct {
		status int
		code   string
	}{
		"POST /api/calls":  {401, rest.CodeUnauthenticated},
		"POST /api/nobody": {404, rest.CodeNoRoute},
		"POST /api/tools":  {405, rest.CodeNoMethod},
		"POST /healthz":    {405, rest.CodeNoMethod},
	} {
		method, path, _ := strings.Cut(at, " ")
		r := httptest.NewRequest(method, path, failingBody{t})
		r.Host = "localhost"
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, r)
		expect(t, rec, want.status, want.code)
	}
}

// Who tries what is not theirs is told of in the log, and not without bound.
func TestRefusedForWantOfARole(t *testing.T) {
	var log bytes.Buffer
	w := guardedWorld(t, func(o *Options) {
		o.Limits = Limits{PerSecond: 0.5, Burst: 4}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		o.Codec = &CodecOptions{Keyring: keyring(t)}
	})
	w.request("pawl-1")
	agent := w.token("agent:billing", rest.RoleAgent)
	for range 2 {
		expect(t, w.with(agent, "POST", "/api/requests/pawl-1/approve", ""), 403, rest.CodeNotPermitted)
	}
	expect(t, w.with(agent, "GET", "/api/audit", ""), 403, rest.CodeNotPermitted)
	for range 2 {
		if rec := w.with(agent, "POST", "/codec/decode", `{"payloads":[]}`); rec.Code != 403 {
			t.Errorf("decode answers %d", rec.Code)
		}
	}
	expect(t, w.with(agent, "GET", "/api/audit", ""), 429, rest.CodeTooManyRequests)
	said := strings.Count(log.String(), "agent:billing")
	if said != 4 || !strings.Contains(log.String(), tokenID(t, agent)) || strings.Contains(log.String(), agent) || !strings.Contains(log.String(), "/api/requests/:id/approve") {
		t.Errorf("the log tells of %d:\n%s", said, log.String())
	}
}

type failingBody struct{ t *testing.T }

func (b failingBody) Read([]byte) (int, error) {
	b.t.Error("the body of somebody who is not known was read")
	return 0, http.ErrBodyReadAfterClose
}
