package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// Two processes' pools do every step of every call at the same time.
func TestTwoPools(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	stores := []*Store{open(t, url), open(t, url)}
	for round := range 20 {
		id := fmt.Sprint("call-", round)
		var admitted, used, ended atomic.Int32
		step := func(do func(s *Store) error) {
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					if err := do(stores[i%2]); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		count := func(n *atomic.Int32, yes bool) {
			if yes {
				n.Add(1)
			}
		}
		step(func(s *Store) error {
			a := admission(id, nil)
			a.View.Status, a.TakePermit = approval.StatusPending, false
			_, fresh, err := s.Admit(t.Context(), a)
			count(&admitted, fresh)
			return err
		})
		step(func(s *Store) error {
			r, err := s.Claim(t.Context(), store.ClaimParams{ID: id, Run: "run", Digest: "digest", At: time.Now(), GoodUntil: time.Now().Add(time.Hour),
				Entries: []audit.Entry{entry(id, "claimed", audit.KindClaimed)}})
			if err == nil && (r.Permit == nil || r.View.Status != approval.StatusExecuting) {
				return fmt.Errorf("Claim answers %+v", r)
			}
			return err
		})
		step(func(s *Store) error {
			err := s.Use(t.Context(), using(id))
			count(&used, err == nil)
			if errors.Is(err, store.ErrStarted) {
				return nil
			}
			return err
		})
		step(func(s *Store) error {
			_, fresh, err := s.Finish(t.Context(), ending(id))
			count(&ended, fresh)
			return err
		})
		if admitted.Load() != 1 || used.Load() != 1 || ended.Load() != 1 {
			t.Errorf("%s was admitted %d, used %d and ended %d times", id, admitted.Load(), used.Load(), ended.Load())
		}
		if got := steps(t, stores[0], id); got != "requested claimed started ended" {
			t.Errorf("%s has steps %q", id, got)
		}
	}
}

func TestPublishersAtTheSameTime(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	stores := []*Store{open(t, url), open(t, url)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			queue := fmt.Sprint("q-", i%4)
			for range 10 {
				_, err := stores[i%2].PublishTools(t.Context(), store.Publication{Publisher: queue, Operator: true, Tools: []store.Tool{
					{Name: "shared", Queue: queue, Publisher: queue}, {Name: "of " + queue, Queue: queue, Publisher: queue},
				}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if tools, err := stores[0].Tools(t.Context()); err != nil || len(tools) != 5 {
		t.Errorf("the catalogue is %+v, %v; want 5 tools", tools, err)
	}
}

func TestAHeldRow(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	hasty := openWith(t, Options{URL: url, LockTimeout: 20 * time.Millisecond})
	admit(t, s, "a")
	tx, err := connect(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), lockCall, "a"); err != nil {
		t.Fatal(err)
	}
	if err := hasty.Use(t.Context(), using("a")); !errors.Is(err, ErrBusy) {
		t.Errorf("Use of a held call: %v, want %v", err, ErrBusy)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Use(ctx, using("a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Use until a deadline: %v, want %v", err, context.DeadlineExceeded)
	}
	if _, err := s.Call(t.Context(), "a"); err != nil {
		t.Errorf("reading a held call: %v", err)
	}
	admit(t, s, "b")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Use(t.Context(), using("a")); err != nil {
		t.Error(err)
	}
}

func TestAnExhaustedPool(t *testing.T) {
	t.Parallel()
	s := openWith(t, Options{URL: pgtest.New(t), MaxConns: 1})
	usual := s.timeout
	s.timeout = 50 * time.Millisecond
	conn, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Admit(t.Context(), admission("a", nil)); !errors.Is(err, ErrBusy) {
		t.Errorf("Admit without a connection: %v, want %v", err, ErrBusy)
	}
	conn.Release()
	s.timeout = usual
	admit(t, s, "a")
}

// Contexts that end anywhere in a write leave all of it or nothing.
func TestCancelledWritesAreWhole(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.New(t))
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("call-%d-%d", worker, i)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
				_, fresh, err := s.Admit(ctx, admission(id, nil))
				useErr := s.Use(ctx, using(id))
				cancel()
				if (err == nil && !fresh) || (err != nil && !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("Admit: fresh %v, %v", fresh, err)
				}
				r, err := s.Call(t.Context(), id)
				if errors.Is(err, store.ErrNotFound) {
					// The server may still be about to commit: then the repeat waits for it.
					if r, _, err = s.Admit(t.Context(), admission(id, nil)); err != nil || r.Permit == nil {
						t.Errorf("a repeat: %+v, %v", r, err)
					}
					continue
				}
				if err != nil || r.Permit == nil || (useErr == nil && r.Permit.UsedAt.IsZero()) {
					t.Errorf("the call is %+v, %v; Use said %v", r, err, useErr)
				}
			}
		})
	}
	wg.Wait()
	for worker := range 4 {
		for i := range 50 {
			if got := steps(t, s, fmt.Sprintf("call-%d-%d", worker, i)); got != "requested" && got != "requested started" {
				t.Errorf("a call has steps %q", got)
			}
		}
	}
}
