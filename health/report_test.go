package health_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/rest"
)

func check(name string, optional bool, err error) health.Check {
	return health.Check{Name: name, Optional: optional, Advice: "mend " + name, Look: func(context.Context) error { return err }}
}

func needing(name, other string, err error) health.Check {
	c := check(name, false, err)
	c.Needs, c.Missing = other, "make "+name
	return c
}

func TestLook(t *testing.T) {
	down := errors.New("dial postgres://user:hunter2@db")
	missing := fmt.Errorf("the thing: %w", health.ErrMissing)
	for name, c := range map[string]struct {
		checks []health.Check
		want   rest.Readiness
	}{
		"nothing to check": {nil, rest.Readiness{Ready: true}},
		"all is well": {
			[]health.Check{check("a", false, nil), check("b", true, nil)},
			rest.Readiness{Ready: true, Checks: map[string]rest.CheckState{"a": "ok", "b": "ok"}},
		},
		"something is down": {
			[]health.Check{check("a", false, down), check("b", false, nil)},
			rest.Readiness{
				Checks: map[string]rest.CheckState{"a": "unavailable", "b": "ok"}, Detail: map[string]string{"a": "mend a"},
			},
		},
		"something is missing": {
			[]health.Check{check("a", false, missing)},
			rest.Readiness{Checks: map[string]rest.CheckState{"a": "missing"}, Detail: map[string]string{"a": "mend a"}},
		},
		"only the root cause has advice": {
			[]health.Check{needing("c", "b", down), needing("b", "a", down), check("a", false, down), needing("d", "e", down), check("e", false, nil)},
			rest.Readiness{
				Checks: map[string]rest.CheckState{"a": "unavailable", "b": "unavailable", "c": "unavailable", "d": "unavailable", "e": "ok"},
				Detail: map[string]string{"a": "mend a", "d": "mend d"},
			},
		},
		"advice for what is missing": {
			[]health.Check{needing("b", "a", missing), check("a", false, nil)},
			rest.Readiness{
				Checks: map[string]rest.CheckState{"a": "ok", "b": "missing"}, Detail: map[string]string{"b": "make b"},
			},
		},
		"it goes without": {
			[]health.Check{check("a", true, missing), check("b", true, down), check("c", false, nil)},
			rest.Readiness{
				Ready: true, Checks: map[string]rest.CheckState{"a": "missing", "b": "unavailable", "c": "ok"},
				Detail: map[string]string{"a": "mend a", "b": "mend b"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			got := health.Look(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), &health.Pace{}, c.checks...)
			if c.want.Checks == nil {
				c.want.Checks = map[string]rest.CheckState{}
			}
			if c.want.Detail == nil {
				c.want.Detail = map[string]string{}
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if quiet := !strings.Contains(log.String(), "level=WARN"); quiet != got.Ready {
				t.Errorf("ready is %v, the log says %q", got.Ready, log.String())
			}
		})
	}
}

// A check that never returns is a check that fails, and holds nobody up.
func TestLookIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		hangs := health.Check{Name: "hangs", Look: func(context.Context) error { <-release; return nil }}
		begun := time.Now()
		got := health.Look(t.Context(), slog.New(slog.DiscardHandler), &health.Pace{}, hangs, check("b", false, nil))
		if took := time.Since(begun); took > health.Timeout {
			t.Errorf("it took %v", took)
		}
		if got.Ready || got.Checks["hangs"] != rest.CheckUnavailable || got.Checks["b"] != rest.CheckOK {
			t.Errorf("%+v", got)
		}
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p health.Pace
		for _, c := range []struct {
			after time.Duration
			key   string
			want  slog.Level
		}{
			{0, "store", slog.LevelWarn}, {0, "store", slog.LevelDebug}, {0, "temporal", slog.LevelWarn},
			{59 * time.Second, "store", slog.LevelDebug}, {time.Second, "store", slog.LevelWarn},
			{time.Second, "store", slog.LevelDebug}, {time.Second, "temporal", slog.LevelWarn},
		} {
			time.Sleep(c.after)
			if got := p.Level(c.key, slog.LevelWarn); got != c.want {
				t.Errorf("%s after %v: %v, want %v", c.key, c.after, got, c.want)
			}
		}
	})
}
