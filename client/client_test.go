package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/strictjson"
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

func TestStart(t *testing.T) {
	call := approval.Call{Tool: "send_email", Args: json.RawMessage(`{"to":"<ana>","n":1.50}`), Agent: "bot", Timeout: approval.Duration(time.Minute)}
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		doc, _ := io.ReadAll(r.Body)
		var body struct {
			approval.Call
			Wait approval.Duration `json:"wait"`
		}
		if err := strictjson.Decode(doc, &body); err != nil {
			t.Errorf("the body is not what the contract says: %v: %s", err, doc)
		}
		if body.Wait.Std() != 30*time.Second || body.Agent != "bot" || body.Timeout.Std() != time.Minute || body.IdempotencyKey == "" {
			t.Errorf("body %s", doc)
		}
		var args map[string]any
		if err := json.Unmarshal(body.Args, &args); err != nil || args["to"] != "<ana>" {
			t.Errorf("args %s: %v", body.Args, err)
		}
		w.Header().Set("Pawl-Attached", "true")
		return answer(w, 200, `{"id":"`+id+`","tool":"send_email","status":"executed","result":{"ok":true},"edited":true,"new":1}`)
	})
	v, attached, err := c.Start(t.Context(), call, 30*time.Second)
	if err != nil || attached {
		t.Fatalf("attached %v to a key of its own making, err %v", attached, err)
	}
	if o := v.Outcome(); o.Status != approval.StatusExecuted || string(o.Result) != `{"ok":true}` || !o.Edited {
		t.Errorf("outcome %+v", o)
	}
	if !strings.Contains(string(v.Raw), `"new":1`) {
		t.Errorf("Raw lost a field: %s", v.Raw)
	}
	call.IdempotencyKey = "order-1"
	if _, attached, err = c.Start(t.Context(), call, 30*time.Second); err != nil || !attached {
		t.Errorf("attached %v, err %v", attached, err)
	}
	if _, _, err := c.Start(t.Context(), approval.Call{Tool: "x", Args: json.RawMessage(`{"a":1,"a":2}`)}, 0); approval.CodeOf(err) != approval.CodeInvalid {
		t.Errorf("bad arguments were sent: %v", err)
	}
}

func TestStartAfterALostAnswer(t *testing.T) {
	for _, tt := range []struct {
		name     string
		failures []error // of the first tries; nil is a 503
		tries    int
		check    func(error) bool
	}{
		{"nothing listens", []error{errRefused}, 1, func(err error) bool {
			var u *client.UnreachableError
			return errors.As(err, &u) && !u.Sent && !errors.As(err, new(*client.UncertainError))
		}},
		{"one lost", []error{errBroke}, 2, func(err error) bool { return err == nil }},
		{"a restart", []error{errBroke, errRefused, errRefused, nil}, 5, func(err error) bool { return err == nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				keys, tries := map[string]bool{}, 0
				c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
					var body approval.Call
					if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
						t.Error(err)
					}
					keys[body.IdempotencyKey] = true
					if tries++; tries <= len(tt.failures) {
						if err := tt.failures[tries-1]; err != nil {
							return err
						}
						return answer(w, 503, `{"code":"internal"}`)
					}
					return answer(w, 202, state(approval.StatusPending))
				})
				_, _, err := c.Start(t.Context(), approval.Call{Tool: "send_email"}, 0)
				if !tt.check(err) || tries != tt.tries || len(keys) != 1 {
					t.Errorf("err %v after %d tries under %d keys", err, tries, len(keys))
				}
			})
		})
	}
}

func TestStartUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent approval.Call
		c := newClient(t, func(_ http.ResponseWriter, r *http.Request) error {
			return errors.Join(json.NewDecoder(r.Body).Decode(&sent), errBroke)
		})
		_, _, err := c.Start(t.Context(), approval.Call{Tool: "send_email"}, 0)
		var u *client.UncertainError
		if !errors.As(err, &u) || u.Key != sent.IdempotencyKey || u.Key == "" {
			t.Errorf("err %v, key sent %q", err, sent.IdempotencyKey)
		}
	})
}

func TestWaitRidesOverOutages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, asked := time.Now(), 0
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
			asked++
			hold, err := approval.ParseDuration(r.URL.Query().Get("wait"))
			if err != nil || hold <= 0 || hold.Std() > time.Minute {
				t.Errorf("wait %v, %v", hold, err)
			}
			switch age := time.Since(began); {
			case age < time.Hour:
				time.Sleep(hold.Std())
				return answer(w, 200, state(approval.StatusPending))
			case age < 2*time.Hour:
				return errRefused
			case age < 3*time.Hour:
				return answer(w, 503, `{"code":"internal","detail":"not ready"}`)
			}
			return answer(w, 200, state(approval.StatusExecuted))
		})
		v, err := c.Wait(t.Context(), id)
		if err != nil || v.Status != approval.StatusExecuted {
			t.Fatalf("%v, %v", v.Status, err)
		}
		if age := time.Since(began); age < 3*time.Hour || age > 3*time.Hour+10*time.Second {
			t.Errorf("it took %v to see the end that came after 3 h", age)
		}
		if asked > 5000 {
			t.Errorf("asked %d times in 3 h", asked)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		serve  wire
		status approval.Status // last seen
		check  func(error) bool
		most   int // requests
	}{
		{"deadline", func(w http.ResponseWriter, _ *http.Request) error {
			return answer(w, 200, state(approval.StatusPending)) // does not hold: must not be hammered
		}, approval.StatusPending, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, 25},
		{"lost", func(w http.ResponseWriter, _ *http.Request) error {
			return answer(w, 200, `{"id":"`+id+`","status":"executing","error":{"code":"workflow_terminated","message":"over"}}`)
		}, approval.StatusExecuting, func(err error) bool { return err == nil }, 1},
		{"silence", func(http.ResponseWriter, *http.Request) error { return errRefused }, "", func(err error) bool {
			return errors.Is(err, context.DeadlineExceeded) && errors.As(err, new(*client.UnreachableError))
		}, 25},
		{"gone", func(w http.ResponseWriter, _ *http.Request) error {
			return answer(w, 404, `{"code":"unknown","detail":"no such call"}`)
		}, "", func(err error) bool { return approval.CodeOf(err) == approval.CodeNotFound }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				asked := 0
				c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
					asked++
					return tt.serve(w, r)
				})
				v, err := c.Wait(ctx, id)
				if v.Status != tt.status || !tt.check(err) || asked > tt.most {
					t.Errorf("%q, %v after %d requests", v.Status, err, asked)
				}
			})
		})
	}
}

func TestAHungServerIsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, func(_ http.ResponseWriter, r *http.Request) error {
			<-r.Context().Done()
			return r.Context().Err()
		})
		_, err := c.Get(t.Context(), id, 0)
		var u *client.UnreachableError
		if !errors.As(err, &u) || !u.Sent || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: want silence that is not the caller's deadline", err)
		}
	})
}

func TestCancel(t *testing.T) {
	for _, tt := range []struct {
		status  int
		done    bool
		outcome approval.AnswerOutcome
	}{{200, true, ""}, {202, false, ""}, {409, false, approval.AnswerAlreadyResolved}} {
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
			if r.URL.Path != "/api/calls/"+id+"/cancel" {
				t.Errorf("path %s", r.URL.Path)
			}
			return answer(w, tt.status, `{"id":"`+id+`","outcome":"already_resolved","code":"already_resolved"}`)
		})
		done, err := c.Cancel(t.Context(), id, "")
		var e *client.Error
		if done != tt.done || (tt.outcome == "") != (err == nil) || (err != nil && (!errors.As(err, &e) || e.Outcome != tt.outcome)) {
			t.Errorf("%d: done %v, err %v", tt.status, done, err)
		}
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

func TestReady(t *testing.T) {
	status := 503
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(status)
		return nil
	})
	if err := c.Ready(t.Context()); err == nil {
		t.Error("ready while the API says 503")
	}
	status = 200
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
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
