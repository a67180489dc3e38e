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

// The floor: a workflow of one activity, which takes the same arguments, runs
// the same tool and answers the same result, without any guard.
const (
	bareQueue    = "pawl-load-bare"
	bareWorkflow = "Bare"
	bareActivity = "Tool"
	noDigest     = "none" // tools expect some
)

func runBare(ctx workflow.Context, q query) (found, error) {
	var f found
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	err := workflow.ExecuteActivity(ctx, bareActivity, q).Get(ctx, &f)
	return f, err
}

// newBare makes the floor's worker, with the options of Pawl's.
func newBare(c client.Client, run func(context.Context, query) (found, error)) worker.Worker {
	w := worker.New(c, bareQueue, worker.Options{DeadlockDetectionTimeout: 5 * time.Second})
	w.RegisterWorkflowWithOptions(runBare, workflow.RegisterOptions{Name: bareWorkflow})
	w.RegisterActivityWithOptions(run, activity.RegisterOptions{Name: bareActivity})
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

// serveBare is the floor's worker as a process of its own: this program, run
// again. It says on stdout when it polls, and ends with ctx.
func serveBare(ctx context.Context, address, url string) error {
	t, err := remote(toolRead, url)
	if err != nil {
		return err
	}
	c, err := client.DialContext(ctx, client.Options{HostPort: address, Logger: quiet()})
	if err != nil {
		return err
	}
	defer c.Close()
	w := newBare(c, viaHTTP(t))
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	fmt.Println(`{"ready":true}`)
	<-ctx.Done()
	return nil
}
