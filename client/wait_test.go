package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

func TestReadiness(t *testing.T) {
	body, status, kind := "", 503, "application/json"
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, err := io.WriteString(w, body)
		return err
	})
	body = `{"ready":false,"checks":{"store":"unavailable"},"detail":{"store":"start it"},"later":1}`
	if r, err := c.Readiness(t.Context()); err != nil || r.Ready || r.Checks["store"] != "unavailable" || r.Detail["store"] != "start it" {
		t.Errorf("%+v, %v", r, err)
	}
	body, status = `{"ready":true,"checks":{"worker":"missing"}}`, 200
	if r, err := c.Readiness(t.Context()); err != nil || !r.Ready || r.Checks["worker"] != "missing" {
		t.Errorf("%+v, %v", r, err)
	}
	body, status, kind = "<html>", 503, "text/html" // a proxy's
	if _, err := c.Readiness(t.Context()); err == nil {
		t.Error("a proxy's error page was read")
	}
	status, kind = 500, "application/json"
	if _, err := c.Readiness(t.Context()); err == nil {
		t.Error("an error was read as readiness")
	}
}

// The last answer of a wait that ends with its context must come before that.
func TestWaitHearsTheLastAnswer(t *testing.T) {
	for _, total := range []time.Duration{200 * time.Millisecond, time.Second, 10 * time.Second, 100 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), total)
			defer cancel()
			asked := 0
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
				asked++
				if hold, err := approval.ParseDuration(r.URL.Query().Get("wait")); err == nil {
					time.Sleep(hold.Std())
				}
				time.Sleep(min(2*time.Second, total/5)) // asks who polls, and the workflow
				if err := r.Context().Err(); err != nil {
					return err
				}
				return answer(w, 200, state(approval.StatusPending))
			})
			v, err := c.Wait(ctx, id)
			if v.Status != approval.StatusPending || !errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*client.UnreachableError)) {
				t.Errorf("%v: %q, %v", total, v.Status, err)
			}
			if most := int(total/(30*time.Second)) + 8; asked > most {
				t.Errorf("%v: asked %d times", total, asked)
			}
		})
	}
}
