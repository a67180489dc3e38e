package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

const id = "pawl-abcdefghijklmnopqrstuvwxyz"

// wire answers requests in process, so tests can run on a fake clock.
type wire func(w http.ResponseWriter, r *http.Request) error

var (
	errRefused = errors.New("connection refused") // before anything was sent
	errBroke   = errors.New("connection reset")   // after it was sent
)

func (f wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	err := f(rec, r)
	if trace := httptrace.ContextClientTrace(r.Context()); !errors.Is(err, errRefused) {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	if err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

func newClient(t *testing.T, f wire) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Reviewer: "ana", Token: "secret-token", HTTP: &http.Client{Transport: f}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answer(w http.ResponseWriter, status int, body string) error {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if status >= 400 {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_, err := io.WriteString(w, body)
	return err
}

func state(status approval.Status) string {
	return fmt.Sprintf(`{"id":%q,"tool":"send_email","status":%q,"digest":"d1","created_at":"2026-01-02T03:04:05Z"}`, id, status)
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    client.Options
		want string
	}{
		{"no scheme", client.Options{URL: "127.0.0.1:7295"}, "must look like"},
		{"other scheme", client.Options{URL: "ftp://pawl"}, "must look like"},
		{"no host", client.Options{URL: "http://"}, "must look like"},
		{"password", client.Options{URL: "http://ana:hunter2@pawl"}, "credentials as a token"},
		{"query", client.Options{URL: "http://pawl/?x=hunter2"}, "query"},
		{"broken, with a password", client.Options{URL: "http://ana:hunter2@pa wl:x"}, "must look like"},
		{"token with a line break", client.Options{Token: "hunter2\nX-Other: 1"}, "token"},
		{"reviewer with a line break", client.Options{Reviewer: "ana\r\nX-Other: 1"}, "reviewer"},
		{"negative timeout", client.Options{Timeout: -1}, "negative"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client.New(tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) || approval.CodeOf(err) != approval.CodeInvalid {
				t.Fatalf("New: %v, want an invalid error with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
}

func TestRequestsCarryWhoAsks(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		for header, want := range map[string]string{
			"Authorization": "Bearer secret-token", "X-Pawl-Reviewer": "ana",
			"Content-Type": "application/json", "User-Agent": "pawl-client",
		} {
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s is %q, want %q", header, got, want)
			}
		}
		return answer(w, 202, state(approval.StatusPending))
	})
	if _, _, err := c.Start(t.Context(), approval.Call{Tool: "send_email"}, 0); err != nil {
		t.Fatal(err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	asked := 0
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		asked++
		w.Header().Set("Location", "http://elsewhere.example/api")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	})
	_, _, err := c.Start(t.Context(), approval.Call{Tool: "send_email"}, 0)
	if err == nil || !strings.Contains(err.Error(), "redirect") || asked != 1 {
		t.Fatalf("err %v after %d requests", err, asked)
	}
}

func TestAnswersThatAreNotPawls(t *testing.T) {
	for _, tt := range []struct{ name, kind, body, want string }{
		{"a web page", "text/html", "<html>", "not Pawl's API"},
		{"not JSON", "application/json", "<html>", "can't be used"},
		{"no ID", "application/json", `{"status":"pending"}`, "names no call"},
		{"unknown status", "application/json", `{"id":"` + id + `","status":"maybe"}`, "unknown status"},
		{"another call", "application/json", `{"id":"pawl-other","status":"executed"}`, "another call"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Content-Type", tt.kind)
				_, err := io.WriteString(w, tt.body)
				return err
			})
			if _, err := c.Get(t.Context(), id, 0); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Get: %v, want %q", err, tt.want)
			}
			if _, err := c.Request(t.Context(), id[:12]); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Request: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	for _, tt := range []struct {
		name, kind, body string
		status           int
		code, text       string
		outcome          approval.AnswerOutcome
	}{
		{"full", "application/problem+json", `{"title":"Conflict","status":409,"detail":"the key is taken","code":"idempotency_conflict","id":"pawl-other"}`,
			409, approval.CodeConflict, "the key is taken", ""},
		{"decision", "application/problem+json", `{"title":"Gone","code":"approval_expired","outcome":"expired"}`,
			410, approval.CodeExpired, "Gone", approval.AnswerExpired},
		{"unknown fields", "application/problem+json", `{"detail":"no","code":"unknown","more":[1]}`, 404, approval.CodeNotFound, "no", ""},
		{"not a problem document", "text/html", `<h1>secret page</h1>`, 500, approval.CodeInternalError, "500 Internal Server Error", ""},
		{"another server", "text/plain", `404 page not found`, 404, approval.CodeInternalError, "is it Pawl's API", ""},
		{"broken document", "application/problem+json", `{`, 400, approval.CodeInternalError, "400 Bad Request", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Content-Type", tt.kind)
				w.WriteHeader(tt.status)
				_, err := io.WriteString(w, tt.body)
				return err
			})
			_, err := c.Get(t.Context(), id, 0)
			var e *client.Error
			if !errors.As(err, &e) {
				t.Fatalf("%T %v", err, err)
			}
			if e.HTTPStatus != tt.status || approval.CodeOf(err) != tt.code || e.Outcome != tt.outcome || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %+v", e)
			}
			if about := map[string]string{"full": "pawl-other"}[tt.name]; e.ID != about {
				t.Errorf("about call %q, want %q", e.ID, about)
			}
			if strings.Contains(err.Error(), "secret page") {
				t.Errorf("the error repeats a foreign page: %v", err)
			}
		})
	}
}

func TestIDsAreEscaped(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		if got := r.URL.EscapedPath(); got != "/api/requests/a%2F..%3Fb" {
			t.Errorf("path %s", got)
		}
		return answer(w, 404, `{"code":"unknown"}`)
	})
	_, err := c.Request(t.Context(), "a/..?b")
	if approval.CodeOf(err) != approval.CodeNotFound {
		t.Error(err)
	}
	for _, bad := range []string{"", ".", "..", "a\nb"} {
		if _, err := c.Request(t.Context(), bad); approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestVersion(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path != "/api/version" {
			t.Errorf("path %s", r.URL.Path)
		}
		return answer(w, 200, `{"version":"v1.2.3","features":["caller"],"later":1}`)
	})
	if v, err := c.Version(t.Context()); err != nil || v.Version != "v1.2.3" || len(v.Features) != 1 || v.Features[0] != "caller" {
		t.Errorf("%+v, %v", v, err)
	}
}
