package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/strictjson"
)

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
