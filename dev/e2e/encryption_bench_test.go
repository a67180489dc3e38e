//go:build unix

package e2e_test

import (
	"testing"

	"github.com/pawlhq/pawl/dev/stack"
	"go.temporal.io/sdk/client"
)

// BenchmarkEncryption holds encrypted calls against plain ones, on two stacks in one process.
// Batches of both take turns, as in BenchmarkCall.
//
//	x-throughput  of the plain one's, median of the pairs of batches; 1 is free
//	x-p50, x-cpu  median time from start to result, CPU time of everything
//	x-history     bytes of a call's history
func BenchmarkEncryption(b *testing.B) {
	var worlds [2]*stack.Stack
	for i := range worlds {
		worlds[i] = benchStack(b, "rules:\n  - {tool: read, auto_approve: true}\n", i == 1, "read", "send")
	}
	for _, bench := range []struct {
		name     string
		run      func(s *stack.Stack, tool string) (client.WorkflowRun, error)
		tool     string
		inFlight int
	}{{"allowed/1", allowed, "read", 1}, {"gated/1", approved, "send", 1}, {"gated/16", approved, "send", 16}} {
		b.Run(bench.name, func(b *testing.B) {
			var lanes [2]*lane
			for i, s := range worlds {
				lanes[i] = &lane{b: b, stack: s, run: func() (client.WorkflowRun, error) { return bench.run(s, bench.tool) }, inFlight: bench.inFlight}
			}
			takeTurns(b, "plain", lanes[0], lanes[1])
			reportHistory(b, lanes[0], lanes[1])
		})
	}
}
