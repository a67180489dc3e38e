package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/rest"
)

func TestHandler(t *testing.T) {
	h := health.NewHandler(slog.New(slog.DiscardHandler))
	get := func(method, path string) (int, rest.Readiness) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		var r rest.Readiness
		_ = json.Unmarshal(rec.Body.Bytes(), &r)
		return rec.Code, r
	}
	check := func(name string, err error, optional bool) health.Check {
		return health.Check{Name: name, Advice: "mend it", Optional: optional, Look: func(context.Context) error { return err }}
	}
	if code, r := get("GET", "/readyz"); code != 503 || r.Ready || r.Checks["process"] != rest.CheckUnavailable {
		t.Errorf("before it serves: %d %+v", code, r)
	}
	h.Use(check("store", nil, false), check("extra", health.ErrMissing, true))
	if code, r := get("GET", "/readyz"); code != 200 || !r.Ready || r.Checks["extra"] != rest.CheckMissing || r.Detail["extra"] != "mend it" {
		t.Errorf("well: %d %+v", code, r)
	}
	h.Use(check("store", errors.New("down"), false))
	if code, r := get("GET", "/readyz"); code != 503 || r.Ready || r.Checks["store"] != rest.CheckUnavailable {
		t.Errorf("store down: %d %+v", code, r)
	}
	h.Pause()
	if code, r := get("GET", "/readyz"); code != 503 || r.Ready {
		t.Errorf("stopping: %d %+v", code, r)
	}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/": http.StatusNotFound, "/readyz/x": http.StatusNotFound} {
		if code, _ := get("GET", path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	if code, _ := get("POST", "/readyz"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", code)
	}
}

func TestHandlerDoesNotHammer(t *testing.T) {
	var looks atomic.Int32
	h := health.NewHandler(slog.New(slog.DiscardHandler))
	h.Use(health.Check{Name: "store", Look: func(ctx context.Context) error {
		looks.Add(1)
		return ctx.Err()
	}})
	gone, cancel := context.WithCancel(t.Context())
	cancel() // who asks first has left: the others must not suffer from it
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequestWithContext(gone, "GET", "/readyz", nil))
			if rec.Code != 200 {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
	all.Wait()
	if n := looks.Load(); n > 10 { // a second may pass on a busy machine, not ten
		t.Errorf("50 questions made %d looks", n)
	}
}
