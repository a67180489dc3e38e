package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/tool"
)

// fakeCatalogue is a Backend that only takes publications.
type fakeCatalogue struct {
	Backend

	mu     sync.Mutex
	took   []approval.Publication
	err    error
	refuse map[string]string
	hold   chan struct{} // nil: answers at once
	alone  bool          // no worker polls
	mute   error         // nobody says who polls
	checks atomic.Int32  // of workers
}

func (c *fakeCatalogue) Polled(context.Context) (bool, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checks.Add(1)
	return !c.alone && c.mute == nil, "task queue q in namespace n", c.mute
}

func (c *fakeCatalogue) Publish(ctx context.Context, p approval.Publication) (approval.Published, error) {
	c.mu.Lock()
	hold := c.hold
	c.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return approval.Published{}, ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, p)
	var done approval.Published
	for _, s := range p.Tools {
		if reason, no := c.refuse[s.Name]; no {
			done.Refused = append(done.Refused, approval.RefusedTool{Name: s.Name, Reason: reason})
		}
	}
	return done, c.err
}

func (c *fakeCatalogue) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

type publishError struct {
	tool, reason   string
	cause, trouble error
}

func (*publishError) Error() string   { return "the tool is not in the catalogue" }
func (e *publishError) Unwrap() error { return e.cause }

func unpublished(tool, reason string, cause, trouble error) error {
	return &publishError{tool, reason, cause, trouble}
}

func publishing(t *testing.T, c *fakeCatalogue, f func(t *testing.T, p *publisher)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &publisher{
			core: core{c, slog.New(slog.DiscardHandler), ctx}, agent: "a", unpublished: unpublished, more: make(chan struct{}),
		}
		f(t, p)
		cancel()
		p.close()
	})
}

func offered(t *testing.T, p *publisher, description string, names ...string) {
	t.Helper()
	for _, name := range names {
		custom, err := tool.Custom(name, json.RawMessage(`{"type":"object"}`), func(context.Context, tool.Invocation) (json.RawMessage, error) {
			return nil, nil
		}, tool.Options{Description: description})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.offer(custom); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPublicationsAreCoalesced(t *testing.T) {
	c := &fakeCatalogue{}
	publishing(t, c, func(t *testing.T, p *publisher) {
		c.hold = make(chan struct{})
		offered(t, p, "", "one", "two")
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := p.await(t.Context(), "one"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		offered(t, p, "", "three", "four") // while the first is under way
		all.Go(func() {
			if err := p.await(t.Context(), "three"); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(c.hold)
		all.Wait()
		synctest.Wait()
		if len(c.took) != 2 || len(c.took[0].Tools) != 2 || len(c.took[1].Tools) != 2 {
			t.Errorf("published %+v", c.took)
		}
		if err := p.await(t.Context(), "four"); err != nil || len(c.took) != 2 {
			t.Errorf("%v, %d publications", err, len(c.took))
		}
		if err := p.await(t.Context(), "somebody else's"); err != nil {
			t.Error(err)
		}
	})
}

func TestPublicationsAreBounded(t *testing.T) {
	c := &fakeCatalogue{}
	publishing(t, c, func(t *testing.T, p *publisher) {
		var names []string
		for i := range 2 * maxTools {
			names = append(names, fmt.Sprintf("t%d", i))
		}
		offered(t, p, strings.Repeat("d", 4000), names...)
		for _, name := range names {
			if err := p.await(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		sum := 0
		for _, doc := range c.took {
			text, err := json.Marshal(doc)
			if err != nil || len(text) > maxPublication || len(doc.Tools) > maxTools {
				t.Errorf("%d tools, %d bytes, %v", len(doc.Tools), len(text), err)
			}
			sum += len(doc.Tools)
		}
		if sum != len(names) {
			t.Errorf("%d tools were published", sum)
		}
	})
}

func TestPublishingTriesAgain(t *testing.T) {
	c := &fakeCatalogue{err: errAway}
	publishing(t, c, func(t *testing.T, p *publisher) {
		offered(t, p, "", "one")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := p.await(ctx, "one")
		var not *publishError
		if !errors.As(err, &not) || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(not.trouble, errAway) {
			t.Errorf("%v", err)
		}
		if n := len(c.took); n < 5 || n > 40 {
			t.Errorf("%d tries in a minute", n)
		}
		c.set(func() { c.err = nil })
		if err := p.await(t.Context(), "one"); err != nil {
			t.Error(err)
		}
	})
}

func TestPublishingWithoutAWorker(t *testing.T) {
	c := &fakeCatalogue{alone: true}
	publishing(t, c, func(t *testing.T, p *publisher) {
		c.hold = make(chan struct{})
		offered(t, p, "", "one", "two")
		for range 3 {
			var all sync.WaitGroup
			for _, name := range []string{"one", "two"} {
				all.Go(func() {
					began := time.Now()
					var not *publishError
					err := p.await(context.WithoutCancel(t.Context()), name)
					if !errors.As(err, &not) || not.tool != name || !strings.HasPrefix(not.reason, "nobody polls task queue q in namespace n: start `pawl worker`") {
						t.Errorf("%v", err)
					}
					if waited := time.Since(began); waited > workerChecks*workerCheckEvery {
						t.Errorf("it took %v", waited)
					}
				})
			}
			all.Wait()
		}
		if c.checks.Load() != 3*workerChecks {
			t.Errorf("%d checks, however many wait", c.checks.Load())
		}

		// A slow worker, and a Temporal that does not say, are waited for.
		for _, set := range []func(){func() { c.alone = false }, func() { c.alone, c.mute = true, errAway }} {
			c.set(set)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			if err := p.await(ctx, "one"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			cancel()
		}

		close(c.hold) // a worker comes, and takes what was asked for at first
		if err := p.await(t.Context(), "one"); err != nil || len(c.took) != 1 {
			t.Errorf("%v, %d publications", err, len(c.took))
		}
		synctest.Wait()
		checks := c.checks.Load()
		time.Sleep(time.Hour)
		if c.checks.Load() != checks {
			t.Error("workers are checked, though nobody waits for one")
		}
	})
}

func TestRefusals(t *testing.T) {
	c := &fakeCatalogue{refuse: map[string]string{"theirs": "another agent published it"}}
	publishing(t, c, func(t *testing.T, p *publisher) {
		offered(t, p, "", "theirs", "mine")
		var not *publishError
		if err := p.await(t.Context(), "theirs"); !errors.As(err, &not) || not.reason != "another agent published it" {
			t.Errorf("%v", err)
		}
		if err := p.await(t.Context(), "mine"); err != nil || len(c.took) != 1 {
			t.Errorf("%v, %d publications", err, len(c.took))
		}
		c.set(func() { c.refuse = nil }) // the other agent has gone
		if err := p.await(t.Context(), "theirs"); err != nil {
			t.Error(err)
		}
		c.set(func() { c.err = &calls.Error{Err: errors.New("permission denied"), Refused: true} })
		offered(t, p, "", "new")
		if err := p.await(t.Context(), "new"); !errors.As(err, &not) || not.reason != "permission denied" {
			t.Errorf("%v", err)
		}
	})
}

func TestTasksWaitForTheirTool(t *testing.T) {
	publishing(t, &fakeCatalogue{}, func(t *testing.T, p *publisher) {
		go func() {
			time.Sleep(warmUp / 2)
			offered(t, p, "", "late")
		}()
		if found := p.find(t.Context(), "late"); found == nil {
			t.Error("a tool that came in time was not found")
		}
		began := time.Now()
		if found := p.find(t.Context(), "never"); found != nil || time.Since(began) != warmUp {
			t.Errorf("%v after %v", found, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began = time.Now()
		if found := p.find(ctx, "never"); found != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v: Temporal would take the task for lost", found, time.Since(began))
		}
	})
}
