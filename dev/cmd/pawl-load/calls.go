package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/sdk/client"
)

// kind is what is compared.
type kind int

const (
	bare    kind = iota // a workflow of one activity
	three               // three ordinary activities
	allowed             // a guarded call that waits for nobody
	gated               // one that waits for approval
)

var kinds = []kind{bare, three, allowed, gated}

func (k kind) String() string { return [...]string{"bare", "three activities", "allowed", "gated"}[k] }

// pollRate is how often in a second the store is asked, by all that wait for a call to be pending:
// often enough to see it soon, and too seldom to be a load itself.
const pollRate = 500

const (
	inFlight   = 16
	mostRounds = 8           // of all kinds, side by side
	patience   = time.Minute // for one call

	// What is expected of allowed calls, on every setup.
	leastOfBare  = 0.85 // throughput beside bare, inFlight at once
	leastOfThree = 1.3  // throughput beside three, inFlight at once
	mostOfBare   = 1.3  // p50 beside bare, one at a time
)

// request starts a guarded call.
func (s *setup) request(ctx context.Context, name string) (client.WorkflowRun, error) {
	return s.start(ctx, approval.TaskQueue, approval.WorkflowType, approval.Call{
		Tool: name, Args: argsJSON, Agent: "pawl-load", Nonce: approval.NewNonce(),
	})
}

// run runs one call, from its start until its result is there. flight is how many do so at once.
func (s *setup) run(ctx context.Context, k kind, flight int) (id string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it did not end within %v", patience))
	defer cancel()
	if k == bare || k == three {
		workflow := bareWorkflow
		if k == three {
			workflow = threeWorkflow
		}
		run, err := s.start(ctx, unguardedQueue, workflow, asked)
		if err != nil {
			return "", err
		}
		var f found
		if err = calls.Await(ctx, run, &f); err == nil && f != answered {
			err = fmt.Errorf("%s answered %+v", workflow, f)
		}
		return run.GetID(), err
	}
	name := toolRead
	if k == gated {
		name = toolSend
	}
	run, err := s.request(ctx, name)
	if err != nil {
		return "", err
	}
	if k == gated {
		waiting, err := s.awaitPending(ctx, run.GetID(), flight)
		if err != nil {
			return "", err
		}
		if err := s.signal(ctx, waiting); err != nil {
			return "", err
		}
	}
	return run.GetID(), executed(ctx, run)
}

func executed(ctx context.Context, run client.WorkflowRun) error {
	var out approval.Outcome
	if err := calls.Await(ctx, run, &out); err != nil {
		return err
	}
	switch {
	case out.Status == approval.StatusExecuted:
		return nil
	case out.Error != nil:
		return fmt.Errorf("a call ended %s: %s", out.Status, approval.Display(out.Error.Message, 300))
	}
	return fmt.Errorf("a call ended %s instead of %s", out.Status, approval.StatusExecuted)
}

// awaitPending waits until the store shows that a call waits for people.
func (s *setup) awaitPending(ctx context.Context, id string, flight int) (approval.View, error) {
	tick := time.NewTicker(time.Duration(flight) * time.Second / pollRate)
	defer tick.Stop()
	for {
		r, err := s.store.Call(ctx, id)
		switch {
		case err == nil && r.View.Status == approval.StatusPending:
			return r.View, nil
		case err == nil:
			return r.View, fmt.Errorf("a call that should wait for people is %s", r.View.Status)
		case !errors.Is(err, store.ErrNotFound):
			return approval.View{}, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return approval.View{}, context.Cause(ctx)
		}
	}
}

// signal approves a call by Temporal.
func (s *setup) signal(ctx context.Context, v approval.View) error {
	d := approval.DecisionSignal{Digest: v.Digest, Reviewer: "pawl-load"}
	return s.temporal.SignalWorkflow(ctx, v.ID, "", approval.SignalApprove, d)
}

// batch runs calls of one kind for some time, a number of them at once, and returns how many ended
// each second.
func (s *setup) batch(ctx context.Context, k kind, flight int, d time.Duration) (float64, error) {
	began := time.Now()
	var n int
	var errs []error
	var mu sync.Mutex
	var all sync.WaitGroup
	for range flight {
		all.Go(func() {
			for done := false; !done; {
				_, err := s.run(ctx, k, flight)
				mu.Lock()
				if err == nil {
					n++
				} else {
					errs = append(errs, fmt.Errorf("%s: %w", k, err))
				}
				done = len(errs) > 0 || time.Since(began) >= d
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(errs) > 0 {
		return 0, errs[0] // the others followed from it
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// rounds is how many times those that are compared take turns: for a second or more each, unless
// that leaves nothing to take a median of.
func (b *bench) rounds() int { return min(mostRounds, max(2, int(b.o.duration/time.Second))) }

// compare measures throughput and latency of calls beside unguarded workflows.
func (b *bench) compare(ctx context.Context, s *setup) error {
	for _, k := range kinds { // connections, caches, the first page of every file
		if _, err := s.batch(ctx, k, inFlight, b.o.duration/20); err != nil {
			return err
		}
	}
	if err := b.throughput(ctx, s); err != nil {
		return err
	}
	return b.latencies(ctx, s)
}

func (b *bench) throughput(ctx context.Context, s *setup) error {
	rate := make([][]float64, len(kinds))
	rounds := b.rounds()
	for round := range rounds {
		b.say("%s: calls, %d in flight, round %d of %d", s.name, inFlight, round+1, rounds)
		for i := range kinds {
			k := kinds[(round+i)%len(kinds)] // who goes first changes
			r, err := s.batch(ctx, k, inFlight, b.o.duration/time.Duration(len(kinds)*rounds))
			if err != nil {
				return err
			}
			rate[k] = append(rate[k], r)
		}
	}
	for _, k := range kinds {
		b.report.median("calls", s.name, fmt.Sprintf("%s, %d in flight", k, inFlight), "calls/s", rate[k], nil)
	}
	for _, c := range []struct {
		of, by   kind
		expected *bound
	}{
		{allowed, bare, &bound{AtLeast: leastOfBare}}, {allowed, three, &bound{AtLeast: leastOfThree}},
		{gated, bare, nil},
	} {
		what := fmt.Sprintf("%s / %s, throughput", c.of, c.by)
		b.report.median("calls", s.name, what, "×", ratios(rate[c.of], rate[c.by]), c.expected)
	}
	return nil
}

func (b *bench) latencies(ctx context.Context, s *setup) error {
	all, p50 := make([][]float64, len(kinds)), make([][]float64, len(kinds))
	turn := 0
	rounds := b.rounds()
	for round := range rounds {
		b.say("%s: calls, one at a time, round %d of %d", s.name, round+1, rounds)
		took := make([][]float64, len(kinds))
		enough := b.o.duration / time.Duration(rounds)
		for began := time.Now(); len(took[bare]) == 0 || time.Since(began) < enough; turn++ {
			for i := range kinds {
				k := kinds[(turn+i)%len(kinds)]
				from := time.Now()
				if _, err := s.run(ctx, k, 1); err != nil {
					return fmt.Errorf("%s: %w", k, err)
				}
				took[k] = append(took[k], ms(time.Since(from)))
			}
		}
		for _, k := range kinds {
			p50[k] = append(p50[k], summarize(took[k]).median)
			all[k] = append(all[k], took[k]...)
		}
	}
	for _, k := range kinds {
		b.report.latency("calls", s.name, fmt.Sprintf("%s, 1 in flight", k), all[k])
	}
	for _, c := range []struct {
		of, by   kind
		expected *bound
	}{{allowed, bare, &bound{AtMost: mostOfBare}}, {allowed, three, nil}, {gated, bare, nil}} {
		what := fmt.Sprintf("%s / %s, p50", c.of, c.by)
		b.report.median("calls", s.name, what, "×", ratios(p50[c.of], p50[c.by]), c.expected)
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
