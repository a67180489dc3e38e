package api

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestGlancesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, failing := 0, errors.New("no answer")
		var err error
		g := newGlances(func(context.Context, string) (int, error) {
			time.Sleep(time.Second)
			looks++
			return looks, err
		})
		ask := func(want int, wantErr error) {
			t.Helper()
			if got, err := g.at(t.Context(), "q"); got != want || !errors.Is(err, wantErr) {
				t.Errorf("got %d, %v; want %d, %v", got, err, want, wantErr)
			}
		}
		answers := make(chan int, 100)
		for range cap(answers) {
			go func() { n, _ := g.at(t.Context(), "q"); answers <- n }()
		}
		for range cap(answers) {
			if n := <-answers; n != 1 {
				t.Errorf("look %d", n)
			}
		}
		time.Sleep(glanceFresh)
		ask(1, nil)
		time.Sleep(time.Nanosecond)
		err = failing
		ask(2, failing)
		err = nil
		ask(2, failing) // a failure is not repeated at once
		time.Sleep(glanceFresh + 1)
		ask(3, nil)
	})
}

func TestGlancesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under, most atomic.Int32
		g := newGlances(func(ctx context.Context, _ int) (bool, error) {
			most.Store(max(most.Load(), under.Add(1)))
			defer under.Add(-1)
			<-ctx.Done()
			return true, ctx.Err()
		})
		begun := time.Now()
		answers := make(chan error)
		for i := range 3 * glancesAtOnce {
			go func() { _, err := g.at(t.Context(), i); answers <- err }()
		}
		for range 3 * glancesAtOnce {
			if err := <-answers; !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		if took := time.Since(begun); took != glanceTimeout || most.Load() != glancesAtOnce {
			t.Errorf("it took %v, %d at once", took, most.Load())
		}

		// Who leaves gets no answer; the look goes on for others.
		time.Sleep(glanceFresh + 1)
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := g.at(gone, 0); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		synctest.Wait()
		if len(g.seen) != 1 {
			t.Errorf("%d looks are kept, of which all but one are old", len(g.seen))
		}
		time.Sleep(glanceTimeout)
	})
}
