package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
)

// callers are functions that this process runs as the caller of their calls, over HTTP alone.
type callers struct {
	jobs func() map[string]job // by tool; waits until an API answers
	runs *runLog
}

type job func(context.Context, jobArgs) (jobArgs, error)

// jobArgs also say which call it is, to die over it; see dies.
type jobArgs struct {
	Key    string `json:"key"`
	Marker string `json:"marker"`
	N      uint64 `json:"n"`
}

func newCallers(o pawl.HTTPOptions, runs *runLog) *callers {
	c := &callers{runs: runs}
	c.jobs = sync.OnceValue(func() map[string]job {
		for {
			a, err := pawl.ConnectHTTP(context.Background(), o)
			if err != nil {
				time.Sleep(200 * time.Millisecond)
				continue
			}
			jobs := map[string]job{}
			for _, tool := range []string{"job", "job_allowed"} {
				if jobs[tool], err = pawl.GuardHTTP(a, tool, c.run, pawl.Tool{}); err != nil {
					panic(err) // the tools are wrong
				}
			}
			return jobs
		}
	})
	return c
}

// Where the process kills itself over a call.
const (
	beforeTool = "between start and tool"
	afterTool  = "between tool and report"
)

// firstAfter and firstBefore are the first calls of both kinds. However few calls a storm has time for,
// these are among them.
const firstAfter, firstBefore = 1, 3

func dies(n uint64) string {
	switch n % 12 {
	case firstBefore:
		return beforeTool
	case firstAfter:
		return afterTool
	}
	return ""
}

func (c *callers) run(ctx context.Context, in jobArgs) (jobArgs, error) {
	if dies(in.N) == beforeTool {
		// Dying must not keep the other one from what it is to show.
		other := fmt.Sprintf("%s-%d", in.Key[:strings.LastIndex(in.Key, "-")], firstAfter)
		for began := time.Now(); in.N == firstBefore && !c.runs.has(other) && time.Since(began) < 5*time.Second; {
			time.Sleep(20 * time.Millisecond)
		}
		die()
	}
	if err := c.runs.add(ctx, in.Key); err != nil {
		return in, err
	}
	if dies(in.N) == afterTool {
		die()
	}
	time.Sleep(rand.N(200 * time.Millisecond))
	return in, nil
}

// die ends the process as kill -9 does.
func die() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}

// call brings one call to its end.
func (c *callers) call(call approval.Call, n uint64) (approval.Status, error) {
	in := jobArgs{N: n}
	if err := json.Unmarshal(call.Args, &in); err != nil {
		return "", err
	}
	ctx := pawl.With(context.Background(), pawl.About{
		Key: call.IdempotencyKey, Labels: call.Labels, Timeout: call.Timeout.Std(),
	})
	for {
		_, err := c.jobs()[call.Tool](ctx, in)
		var denied *pawl.DeniedError
		switch {
		case err == nil:
			return approval.StatusExecuted, nil
		case errors.As(err, &denied):
			return denied.Status, nil
		case errors.Is(err, pawl.ErrOutcomeUnknown):
			return approval.StatusOutcomeUnknown, nil
		case !absent(err):
			return "", err
		}
		time.Sleep(200 * time.Millisecond)
	}
}
