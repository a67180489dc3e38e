package api

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSearchesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks, failing := 0, errors.New("no answer")
		var err error
		g := newCache(func(context.Context, string) (int, error) {
			time.Sleep(time.Second)
			looks++
			return looks, err
		})
		ask := func(want int, wantErr error) {
			t.Helper()
			if got, err := g.get(t.Context(), "q"); got != want || !errors.Is(err, wantErr) {
				t.Errorf("got %d, %v; want %d, %v", got, err, want, wantErr)
			}
		}
		answers := make(chan int, 100)
		for range cap(answers) {
			go func() { n, _ := g.get(t.Context(), "q"); answers <- n }()
		}
		for range cap(answers) {
			if n := <-answers; n != 1 {
				t.Errorf("look %d", n)
			}
		}
		time.Sleep(cacheFresh)
		ask(1, nil)
		time.Sleep(time.Nanosecond)
		err = failing
		ask(2, failing)
		err = nil
		ask(2, failing) // a failure is not repeated at once
		time.Sleep(cacheFresh + 1)
		ask(3, nil)
	})
}

func TestSearchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under, most atomic.Int32
		g := newCache(func(ctx context.Context, _ int) (bool, error) {
			now := under.Add(1)
			for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
			}
			defer under.Add(-1)
			<-ctx.Done()
			return true, ctx.Err()
		})
		begun := time.Now()
		answers := make(chan error)
		for i := range 3 * cacheSearches {
			go func() { _, err := g.get(t.Context(), i); answers <- err }()
		}
		for range 3 * cacheSearches {
			if err := <-answers; !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		if took := time.Since(begun); took != cacheTimeout || most.Load() != cacheSearches {
			t.Errorf("it took %v, %d at once", took, most.Load())
		}

		// Who leaves gets no answer; the look goes on for others.
		time.Sleep(cacheFresh + 1)
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := g.get(gone, 0); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		synctest.Wait()
		if len(g.entries) != 1 {
			t.Errorf("%d looks are kept, of which all but one are old", len(g.entries))
		}
		time.Sleep(cacheTimeout)
	})
}
