package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	smallCache = 100
	starters   = 64
	// A workflow in the SDK's cache takes tens of KiB. What is left in a worker of one that is not
	// there should be nothing; the bound leaves room for the garbage collector's moods.
	growthBound = 1.0 // KiB for each waiting call
)

// memory measures how a worker's memory grows with the calls that wait.
func (b *bench) memory(ctx context.Context) error {
	if _, err := resident(os.Getpid()); err != nil {
		b.report.note("memory was left out: this system does not tell it in /proc.")
		return nil
	}
	for _, cache := range []struct {
		name  string
		flags []string
		bound *bound
	}{
		{
			fmt.Sprintf("--workflow-cache %d", smallCache), []string{"--workflow-cache", strconv.Itoa(smallCache)},
			&bound{AtMost: growthBound},
		},
		{"the SDK's cache, 10000", nil, nil},
	} {
		if err := b.memoryOf(ctx, cache.name, cache.flags, cache.bound); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) memoryOf(ctx context.Context, name string, flags []string, expected *bound) (err error) {
	s, err := b.separate(ctx, parts{name: "worker, " + name, worker: flags})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	var mib []float64
	sizes := []int{0, b.o.waiting / 10, b.o.waiting}
	for i, size := range sizes {
		if i > 0 {
			b.say("%s: bringing calls to wait, up to %d", s.name, size)
			if err := s.wait(ctx, size-sizes[i-1]); err != nil {
				return err
			}
		}
		b.say("%s: waiting for its memory to settle", s.name)
		bytes, err := b.settled(ctx, s.worker.PID())
		if err != nil {
			return err
		}
		mib = append(mib, bytes/(1<<20))
		what := fmt.Sprintf("resident, %d waiting", size)
		b.report.add(row{Scenario: "memory", Setup: s.name, What: what, Unit: "MiB", Value: mib[i]}, nil)
	}
	growth := (mib[2] - mib[1]) * 1024 / float64(sizes[2]-sizes[1])
	b.report.add(row{
		Scenario: "memory", Setup: s.name, Unit: "KiB", Value: growth,
		What: fmt.Sprintf("growth for each call, from %d to %d", sizes[1], sizes[2]),
	}, expected)
	return nil
}

// wait starts calls and returns when all of them wait for people.
func (s *setup) wait(ctx context.Context, calls int) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	todo := make(chan struct{}, calls)
	for range calls {
		todo <- struct{}{}
	}
	close(todo)
	var all sync.WaitGroup
	for range starters {
		all.Go(func() {
			for range todo {
				run, err := s.request(ctx, toolSend)
				if err == nil {
					// One at a time for each starter: the worker is busy, never flooded.
					_, err = s.awaitPending(ctx, run.GetID(), starters)
				}
				if err != nil {
					stop(err)
					return
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// settled is what a process holds when it has stopped giving memory back: the least of some seconds
// is no less than what was the least before.
func (b *bench) settled(ctx context.Context, pid int) (float64, error) {
	least, tick := math.Inf(1), time.NewTicker(b.o.settle/20)
	defer tick.Stop()
	for {
		before := least
		for range 20 {
			r, err := resident(pid)
			if err != nil {
				return 0, err
			}
			least = min(least, r)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}
		if least > before*0.99 {
			return least, nil
		}
	}
}

// resident is a process's resident memory in bytes.
func resident(pid int) (float64, error) {
	status := field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS", ":")
	kib, err := strconv.ParseFloat(strings.TrimSuffix(status, " kB"), 64)
	if err != nil {
		return 0, fmt.Errorf("/proc does not tell the memory of process %d", pid)
	}
	return kib * 1024, nil
}
