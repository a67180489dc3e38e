package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// damagedStore has rows that can't be read.
type damagedStore struct{ store.Store }

func (s damagedStore) Call(ctx context.Context, id string) (store.Record, error) {
	if strings.HasPrefix(id, "damaged") {
		return store.Record{}, fmt.Errorf("call %s: %w", id, store.ErrDamaged)
	}
	return s.Store.Call(ctx, id)
}

// A row that can't be read keeps no worker from starting and stands in no other call's way.
func TestReconcileGoesOnPastTrouble(t *testing.T) {
	s := damagedStore{restoredStore(t)}
	several := func(status approval.Status, names ...string) map[string]approval.Status {
		all := map[string]approval.Status{}
		for i := range 8 { // Temporal lists them in any order
			all[fmt.Sprint("damaged ", names[0], i)] = status
		}
		for _, name := range names {
			all[name] = status
		}
		return all
	}
	temporal := &otherTemporal{
		running: several(approval.StatusPending, "waits", "repeated"), completed: several(approval.StatusExecuted, "ran"),
		closed: []string{"damaged", "terminated"},
	}
	for _, id := range []string{"terminated", "missing", "repeated", "damaged missing"} { // lists have the newest first
		admitted(t, s, id, 24*time.Hour, id == "repeated")
	}
	if err := CheckRestored(t.Context(), &otherTemporal{completed: several(approval.StatusExecuted, "missing")}, "default", "pawl", s); !errors.Is(err, ErrRestored) {
		t.Errorf("a call that waits here has ended: %v", err)
	}
	err := CheckRestored(t.Context(), &otherTemporal{completed: several(approval.StatusExecuted, "damaged")}, "default", "pawl", s)
	if err != nil {
		t.Errorf("a damaged row keeps a worker from starting: %v", err)
	}

	sayRestored(t, s)
	w := newSweeper(Options{Client: temporal, Store: s, Logger: slog.New(slog.DiscardHandler)})
	if err := w.look(t.Context()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("the trouble is not told: %v", err)
	}
	if !slices.Equal(temporal.terminated, []string{"waits"}) {
		t.Errorf("terminated: %v", temporal.terminated)
	}
	for _, id := range []string{"terminated", "missing"} {
		if r, err := s.Call(t.Context(), id); err != nil || r.View.Status != approval.StatusCancelled {
			t.Errorf("%s is %s, %v", id, r.View.Status, err)
		}
	}
	log, err := s.Entries(t.Context(), store.EntryQuery{Kind: audit.KindLost})
	if err != nil || len(log.Items) != 1 || log.Items[0].Subject != "ran" {
		t.Errorf("on record: %+v, %v", log.Items, err)
	}
}
