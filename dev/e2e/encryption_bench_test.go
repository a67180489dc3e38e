//go:build unix

package e2e_test

import (
	"context"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/client"
)

// BenchmarkEncryption holds encrypted calls against plain ones, on two stacks
// in one process. Batches of both take turns, as in BenchmarkCall.
//
//	x-throughput  of the plain one's, median of the pairs of batches; 1 is free
//	x-p50, x-cpu  median time from start to result, CPU time of everything
//	x-history     bytes of a call's history
func BenchmarkEncryption(b *testing.B) {
	world := func(encrypt bool) *stack.Stack {
		c := stack.Default()
		c.Data, c.APIListen, c.TemporalListen, c.NoUI, c.NoAPI, c.Encrypt = b.TempDir(), "127.0.0.1:0", "127.0.0.1:0", true, true, encrypt
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
		b.Cleanup(func() { _ = s.Close() })
		return s
	}
	worlds := []*stack.Stack{world(false), world(true)}
	call := func(s *stack.Stack, name string, approve bool) func() (client.WorkflowRun, error) {
		return func() (client.WorkflowRun, error) {
			id, c := approval.NewID(), approval.Call{Tool: name, Args: []byte(`{}`), Nonce: approval.NewNonce()}
			digest, err := c.Digest(id)
			if err != nil {
				return nil, err
			}
			run, err := s.Client.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: id, TaskQueue: approval.TaskQueue, EnableEagerStart: true}, approval.WorkflowType, c)
			if err != nil || !approve {
				return run, err
			}
			return run, s.Client.SignalWorkflow(context.Background(), id, "", approval.SignalApprove, approval.DecisionSignal{Digest: digest})
		}
	}
	for _, bench := range []struct {
		name, tool string
		approve    bool
		inFlight   int
	}{{"allowed/1", "read", false, 1}, {"gated/1", "send", true, 1}, {"gated/16", "send", true, 16}} {
		b.Run(bench.name, func(b *testing.B) {
			var lanes [2]*lane
			for i, s := range worlds {
				lanes[i] = &lane{b: b, run: call(s, bench.tool, bench.approve), inFlight: bench.inFlight}
				lanes[i].batch() // connections, caches
				lanes[i].reset()
			}
			for first, second := lanes[0], lanes[1]; b.Loop(); first, second = second, first {
				first.batch()
				second.batch()
			}
			plain, sealed := lanes[0], lanes[1]
			_, plainBytes := history(b, worlds[0].Client, plain.last)
			_, sealedBytes := history(b, worlds[1].Client, sealed.last)
			var turns []float64
			for i, d := range sealed.walls {
				turns = append(turns, float64(plain.walls[i])/float64(d))
			}
			b.ReportMetric(0, "ns/op") // of a pair of batches: says nothing
			b.ReportMetric(median(turns), "x-throughput")
			b.ReportMetric(ms(median(sealed.took))/ms(median(plain.took)), "x-p50")
			b.ReportMetric(ms(sealed.cpu)/ms(plain.cpu), "x-cpu")
			b.ReportMetric(float64(sealedBytes)/float64(plainBytes), "x-history")
			b.ReportMetric(ms(median(sealed.took)), "p50-ms")
			b.ReportMetric(ms(median(plain.took)), "plain-p50-ms")
		})
	}
}
