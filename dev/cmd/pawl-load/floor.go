package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// What guarded calls are compared with takes the same arguments, runs the same tool and returns the
// same result, on a worker with the options of Pawl's. Bare is the floor: a workflow of one
// activity. Three is what users without Pawl would build: policy, tool and audit as ordinary
// activities. Its policy allows everything and its audit writes nothing, so its cost is the least
// that such a workflow can have.
const (
	unguardedQueue = "pawl-load-unguarded"
	bareWorkflow   = "Bare"
	threeWorkflow  = "Three"

	toolActivity   = "Tool"
	policyActivity = "Policy"
	auditActivity  = "Audit"

	noDigest = "none" // tools expect some
)

func runBare(ctx workflow.Context, q query) (f found, err error) {
	err = workflow.ExecuteActivity(ordinary(ctx), toolActivity, q).Get(ctx, &f)
	return f, err
}

func runThree(ctx workflow.Context, q query) (f found, err error) {
	ctx = ordinary(ctx)
	var allowed bool
	if err = workflow.ExecuteActivity(ctx, policyActivity, q).Get(ctx, &allowed); err != nil {
		return f, err
	}
	if !allowed {
		return f, temporal.NewApplicationError("denied", "Denied")
	}
	if err = workflow.ExecuteActivity(ctx, toolActivity, q).Get(ctx, &f); err != nil {
		return f, err
	}
	return f, workflow.ExecuteActivity(ctx, auditActivity, q, f).Get(ctx, nil)
}

func ordinary(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
}

// newUnguarded makes the worker of bare and three.
func newUnguarded(c client.Client, run func(context.Context, query) (found, error)) worker.Worker {
	w := worker.New(c, unguardedQueue, worker.Options{DeadlockDetectionTimeout: 5 * time.Second})
	w.RegisterWorkflowWithOptions(runBare, workflow.RegisterOptions{Name: bareWorkflow})
	w.RegisterWorkflowWithOptions(runThree, workflow.RegisterOptions{Name: threeWorkflow})
	for name, f := range map[string]any{
		toolActivity:   run,
		policyActivity: func(context.Context, query) (bool, error) { return true, nil },
		auditActivity:  func(context.Context, query, found) error { return nil },
	} {
		w.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
	return w
}

func local(context.Context, query) (found, error) { return answered, nil }

// viaHTTP runs the tool as Pawl's worker does: one POST.
func viaHTTP(t *tool.Tool) func(context.Context, query) (found, error) {
	return func(ctx context.Context, q query) (f found, err error) {
		args, err := json.Marshal(q)
		if err != nil {
			return f, err
		}
		id := activity.GetInfo(ctx).WorkflowExecution.ID
		result, err := t.Run(ctx, tool.Invocation{CallID: id, Digest: noDigest, Args: args})
		if err != nil {
			return f, err
		}
		return f, json.Unmarshal(result, &f)
	}
}

// serveUnguarded is the worker of bare and three as a process of its own: this program, run again.
// It writes to standard output when it polls, and ends with ctx.
func serveUnguarded(ctx context.Context, address, url string) error {
	t, err := remote(toolRead, url)
	if err != nil {
		return err
	}
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: quiet()})
	if err != nil {
		return err
	}
	defer c.Close()
	w := newUnguarded(c, viaHTTP(t))
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	fmt.Println(`{"ready":true}`)
	<-ctx.Done()
	return nil
}
