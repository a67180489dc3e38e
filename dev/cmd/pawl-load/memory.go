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

	pawl "github.com/pawlhq/pawl/client"
)

const (
	starters = 64
	// What is expected of resident memory, however many calls wait.
	workerBound = 256 // MiB
	stackBound  = 512 // MiB
	pages       = 50  // reads of the queue's first page
)

// memory measures how the memory of a worker and of the dev stack grows with the calls that wait,
// and what a reviewer and a restart of the dev stack notice of so many.
func (b *bench) memory(ctx context.Context) error {
	if _, err := resident(os.Getpid()); err != nil {
		b.report.note("memory was left out: this system does not tell it in /proc.")
		return nil
	}
	if err := b.workerMemory(ctx); err != nil {
		return err
	}
	return b.stackMemory(ctx)
}

func (b *bench) workerMemory(ctx context.Context) (err error) {
	s, err := b.separate(ctx, parts{name: "worker"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return b.grow(ctx, s, s.worker, workerBound)
}

func (b *bench) stackMemory(ctx context.Context) (err error) {
	s, restart, err := b.devStack(ctx, "dev stack", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := b.grow(ctx, s, s.dev, stackBound); err != nil {
		return err
	}
	var took []float64
	for range pages {
		from := time.Now()
		if _, err := s.api.Requests(ctx, pawl.RequestQuery{Limit: 50}); err != nil {
			return err
		}
		took = append(took, ms(time.Since(from)))
	}
	b.report.latency("memory", s.name, fmt.Sprintf("the queue's first page, %d waiting", b.o.waiting), took)
	b.say("%s: restarting it", s.name)
	start, err := restart()
	if err != nil {
		return err
	}
	b.report.add(row{
		Scenario: "memory", Setup: s.name, What: fmt.Sprintf("start, %d waiting", b.o.waiting), Unit: "s",
		Value: start.Seconds(),
	}, nil)
	return b.measure(ctx, s, s.dev, fmt.Sprintf("resident after a restart, %d waiting", b.o.waiting), stackBound)
}

// grow brings more and more calls to wait, and measures the memory of a process meanwhile.
func (b *bench) grow(ctx context.Context, s *setup, of *part, most float64) error {
	waiting := 0
	for _, size := range []int{0, b.o.waiting / 10, b.o.waiting} {
		if size > waiting {
			b.say("%s: bringing calls to wait, up to %d", s.name, size)
			if err := s.wait(ctx, size-waiting); err != nil {
				return err
			}
			waiting = size
		}
		if err := b.measure(ctx, s, of, fmt.Sprintf("resident, %d waiting", size), most); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measure(ctx context.Context, s *setup, of *part, what string, most float64) error {
	b.say("%s: waiting for its memory to settle", s.name)
	bytes, err := b.settled(ctx, of.PID())
	if err != nil {
		return err
	}
	b.report.add(row{Scenario: "memory", Setup: s.name, What: what, Unit: "MiB", Value: bytes / (1 << 20)},
		&bound{AtMost: most})
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
