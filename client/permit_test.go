package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
)

const started = `{"id":"` + id + `","status":"executing","digest":"d","args":{"a":1},"report_by":"2026-01-02T03:04:05Z"}`

func TestAttach(t *testing.T) {
	for name, tt := range map[string]struct {
		key, header string
		attached    bool
	}{
		"a new call": {"", "", false}, "one that waits": {"", "true", true},
		"a new call with a key": {"k", "", false}, "the key's": {"k", "true", true},
	} {
		t.Run(name, func(t *testing.T) {
			sent := 0
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
				var in rest.StartRequest
				if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
					return err
				}
				if !in.Attach || in.IdempotencyKey != tt.key || in.StartID != "" || in.Execution != approval.ExecutionCaller {
					t.Errorf("%+v", in)
				}
				if sent++; sent == 1 {
					return answer(w, 503, `{"code":"store_unavailable"}`)
				}
				w.Header().Set(rest.HeaderAttached, tt.header)
				return answer(w, 202, state(approval.StatusPending))
			})
			v, attached, err := c.Attach(t.Context(), approval.Call{Tool: "bash", IdempotencyKey: tt.key}, 0)
			if err != nil || v.ID != id || attached != tt.attached || sent != 2 {
				t.Errorf("%q, %v, %v after %d requests", v.ID, attached, err, sent)
			}
		})
	}
}

// A script says what the API answers: first how the call stands, one after the other, then the last
// again and again; and to each start.
func TestPermit(t *testing.T) {
	problem := func(status int, code string) func(http.ResponseWriter) error {
		return func(w http.ResponseWriter) error { return answer(w, status, `{"code":"`+code+`"}`) }
	}
	go200 := func(w http.ResponseWriter) error { return answer(w, 200, started) }
	lost := func(http.ResponseWriter) error { return errBroke }
	const pending, approved, rejected = approval.StatusPending, approval.StatusApproved, approval.StatusRejected
	for name, tt := range map[string]struct {
		seen    approval.Status
		states  []approval.Status
		starts  []func(http.ResponseWriter) error
		started bool
		code    string // of the error
		ends    approval.Status
	}{
		"approved at once":       {seen: approved, starts: []func(http.ResponseWriter) error{go200}, started: true, ends: approval.StatusExecuting},
		"approved later":         {seen: pending, states: []approval.Status{pending, approved}, starts: []func(http.ResponseWriter) error{go200}, started: true, ends: approval.StatusExecuting},
		"nothing known":          {states: []approval.Status{approved}, starts: []func(http.ResponseWriter) error{go200}, started: true, ends: approval.StatusExecuting},
		"the answer gets lost":   {seen: approved, states: []approval.Status{approval.StatusExecuting}, starts: []func(http.ResponseWriter) error{lost, go200}, started: true, ends: approval.StatusExecuting},
		"the API is away":        {seen: approved, states: []approval.Status{approved}, starts: []func(http.ResponseWriter) error{problem(503, "store_unavailable"), go200}, started: true, ends: approval.StatusExecuting},
		"started before":         {states: []approval.Status{approval.StatusExecuting}, starts: []func(http.ResponseWriter) error{go200}, started: true, ends: approval.StatusExecuting},
		"rejected":               {seen: pending, states: []approval.Status{pending, rejected}, ends: rejected},
		"ended already":          {seen: rejected, ends: rejected},
		"blocked at the start":   {seen: approved, states: []approval.Status{approval.StatusBlocked}, starts: []func(http.ResponseWriter) error{problem(409, rest.CodeEnded)}, ends: approval.StatusBlocked},
		"waits again":            {seen: approved, states: []approval.Status{pending, approved}, starts: []func(http.ResponseWriter) error{problem(409, rest.CodeNotApproved), go200}, started: true, ends: approval.StatusExecuting},
		"the approval ran out":   {seen: approved, states: []approval.Status{approved, approval.StatusExpired}, starts: []func(http.ResponseWriter) error{problem(410, approval.CodeExpired)}, ends: approval.StatusExpired},
		"started by another one": {seen: approved, starts: []func(http.ResponseWriter) error{problem(409, rest.CodeStarted)}, code: rest.CodeStarted, ends: approved},
		"no word of a start":     {seen: approved, starts: []func(http.ResponseWriter) error{func(w http.ResponseWriter) error { return answer(w, 200, state(approved)) }}, code: approval.CodeInternalError, ends: approved},
		"not permitted":          {seen: approved, starts: []func(http.ResponseWriter) error{problem(403, rest.CodeNotPermitted)}, code: rest.CodeNotPermitted, ends: approved},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, tried, began := 0, 0, time.Now()
				c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
					if strings.HasSuffix(r.URL.Path, "/start") {
						tried++
						return tt.starts[min(tried, len(tt.starts))-1](w)
					}
					now := tt.states[min(asked, len(tt.states)-1)]
					if hold, err := approval.ParseDuration(r.URL.Query().Get("wait")); err == nil && now == approval.StatusExecuting {
						time.Sleep(hold.Std()) // nothing changes
					}
					asked++
					return answer(w, 200, state(now))
				})
				v := client.View{}
				v.ID, v.Status = id, tt.seen
				b, err := c.Permit(t.Context(), v, "start-0123456789")
				if b.Started != tt.started || b.Status != tt.ends || (err != nil) != (tt.code != "") {
					t.Errorf("started %v, %q, %v", b.Started, b.Status, err)
				}
				if err != nil && approval.CodeOf(err) != tt.code {
					t.Error(err)
				}
				if tt.started && string(b.Args) != `{"a":1}` {
					t.Errorf("arguments %s", b.Args)
				}
				if took := time.Since(began); took > 20*time.Second {
					t.Errorf("it took %v", took)
				}
				if asked > 4 || tried > 4 {
					t.Errorf("asked %d times, tried %d times", asked, tried)
				}
			})
		})
	}
}

// When its time is up, Permit says how the call stands, and asks no server too often.
func TestPermitEndsWithItsContext(t *testing.T) {
	for name, tt := range map[string]struct {
		hold, silent bool
	}{"a server that holds": {hold: true}, "one that does not": {}, "one that is silent": {silent: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, released := 0, 0
				c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
					asked++
					if tt.silent {
						return errRefused
					}
					if r.Method == http.MethodPost && r.URL.Path == "/api/calls/"+id+"/release" {
						released++
						return answer(w, 200, state(approval.StatusPending))
					}
					if hold, err := approval.ParseDuration(r.URL.Query().Get("wait")); err == nil && tt.hold {
						time.Sleep(hold.Std())
					}
					return answer(w, 200, state(approval.StatusPending))
				})
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				v := client.View{}
				v.ID, v.Status = id, approval.StatusPending
				b, err := c.Permit(ctx, v, "start-0123456789")
				if b.Status != approval.StatusPending || b.Started || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%q, %v", b.Status, err)
				}
				if silent := errors.As(err, new(*client.UnreachableError)); silent != tt.silent {
					t.Errorf("%v", err)
				}
				if (released == 1) == tt.silent || released > 1 {
					t.Errorf("released %d times", released)
				}
				if asked > 4*60+10 || tt.hold && asked > 20 {
					t.Errorf("asked %d times", asked)
				}
			})
		})
	}
}
