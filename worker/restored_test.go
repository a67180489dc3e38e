package worker

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

func TestCheckRestored(t *testing.T) {
	for name, c := range map[string]struct {
		completed map[string]approval.Status
		older     bool
	}{
		"nothing ended":                      {nil, false},
		"what ended is known":                {map[string]approval.Status{"ended": approval.StatusRejected}, false},
		"what ended waits here":              {map[string]approval.Status{"waits": approval.StatusRejected}, true},
		"what ran is unknown":                {map[string]approval.Status{"unknown": approval.StatusExecuted}, true},
		"what may have run is unknown":       {map[string]approval.Status{"unknown": approval.StatusOutcomeUnknown}, true},
		"what was never admitted is unknown": {map[string]approval.Status{"unknown": approval.StatusBlocked}, false},
		"one of many is unknown":             {map[string]approval.Status{"ended": approval.StatusRejected, "x": approval.StatusFailed}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := restoredStore(t)
			admitted(t, s, "ended", time.Hour, true)
			admitted(t, s, "waits", time.Hour, false)
			temporal := &otherTemporal{completed: c.completed}
			check := func() error { return CheckRestored(t.Context(), temporal, "default", "pawl", s, nil) }
			if err := check(); errors.Is(err, ErrRestored) != c.older || err != nil && !c.older {
				t.Errorf("%v", err)
			}
			sayRestored(t, s)
			if err := check(); err != nil {
				t.Errorf("after somebody said so: %v", err)
			}
		})
	}
}

// A store that is restored under a running worker stops it before anything is ended, and once.
func TestRestoredUnderAWorker(t *testing.T) {
	for name, completed := range map[string]approval.Status{
		"waits": approval.StatusRejected, "gone": approval.StatusExecuted, "gone, and may have run": approval.StatusOutcomeUnknown,
	} {
		s := restoredStore(t)
		admitted(t, s, "waits", time.Hour, false)
		admitted(t, s, "deleted", time.Hour, false)
		admitted(t, s, "terminated", time.Hour, false)
		temporal := &otherTemporal{completed: map[string]approval.Status{name: completed}, closed: []string{"terminated"}}
		w := newSweeper(Options{Client: temporal, Store: s, Logger: slog.New(slog.DiscardHandler)})
		var told []error
		w.fatal = func(err error) { told = append(told, err) }
		w.run(t.Context())
		if len(told) != 1 || !errors.Is(told[0], ErrRestored) {
			t.Errorf("%s: told %v", name, told)
		}
		log, err := s.Entries(t.Context(), store.EntryQuery{Kind: audit.KindEnded})
		if err != nil || len(log.Items) > 0 {
			t.Errorf("%s: ended %v, %v", name, log.Items, err)
		}
		sayRestored(t, s)
		if err := w.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Call(t.Context(), "terminated"); err != nil || r.View.Status != approval.StatusCancelled {
			t.Errorf("%s: once somebody has said it, the terminated call is %s, %v", name, r.View.Status, err)
		}
	}
}
