package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// BenchmarkCall compares guarded calls with the floor, a bare workflow of one
// activity, in one process on one server: the ratios are what counts. "1" is
// one call at a time, "16" sixteen in flight; ns/op is per call.
func BenchmarkCall(b *testing.B) {
	c := stack.Default()
	c.Data, c.APIListen, c.TemporalListen, c.NoUI, c.NoAPI = b.TempDir(), "127.0.0.1:0", "127.0.0.1:0", true, true
	c.Policy = []string{write(b, b.TempDir(), "policy.yaml", "rules:\n  - {tool: read, auto_approve: true}\n")}
	var tools []*tool.Tool
	for _, name := range []string{"read", "send"} {
		t, err := tool.New(name, noop, tool.Options{})
		if err != nil {
			b.Fatal(err)
		}
		tools = append(tools, t)
	}
	s, err := stack.Start(b.Context(), stack.Options{Config: c, Tools: tools})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	w := worker.New(s.Client, "bare", worker.Options{})
	w.RegisterWorkflow(bare)
	w.RegisterActivity(noop)
	if err := w.Start(); err != nil {
		b.Fatal(err)
	}
	defer w.Stop()

	start := func(queue string, what any, args ...any) (client.WorkflowRun, error) {
		return s.Client.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{TaskQueue: queue, EnableEagerStart: true}, what, args...)
	}
	call := func(name string) (client.WorkflowRun, error) {
		return start(approval.TaskQueue, approval.WorkflowType, approval.Call{Tool: name, Nonce: approval.NewNonce()})
	}
	for _, bench := range []struct {
		name string
		run  func() (client.WorkflowRun, error)
	}{
		{"bare", func() (client.WorkflowRun, error) { return start("bare", bare) }},
		{"allowed", func() (client.WorkflowRun, error) { return call("read") }},
		{"gated", func() (client.WorkflowRun, error) {
			run, err := call("send")
			for err == nil { // approved as soon as it waits
				if r, e := s.Store.Call(context.Background(), run.GetID()); e == nil {
					return run, s.Client.SignalWorkflow(context.Background(), run.GetID(), "", approval.SignalApprove,
						approval.DecisionSignal{Digest: r.View.Digest})
				}
			}
			return nil, err
		}},
	} {
		one := func(b testing.TB) {
			run, err := bench.run()
			if err == nil {
				err = run.Get(context.Background(), nil)
			}
			if err != nil {
				b.Error(err)
			}
		}
		b.Run(bench.name+"/1", func(b *testing.B) {
			for b.Loop() {
				one(b)
			}
		})
		b.Run(bench.name+"/16", func(b *testing.B) {
			b.SetParallelism(8) // times two cores
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					one(b)
				}
			})
		})
	}
}

func bare(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, noop, struct{}{}).Get(ctx, nil)
}

func noop(context.Context, struct{}) (string, error) { return "done", nil }
