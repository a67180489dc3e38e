//go:build unix

package e2e_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/tool"
	"go.temporal.io/sdk/client"
)

// BenchmarkSigning holds calls that are approved by a signed decision against
// calls that are approved by an unsigned one, on one stack. A signed
// one is signed as the API does it, and verified by the workflow, by the claim and
// by the executor. Batches of both take turns, as in BenchmarkCall.
//
//	x-throughput  of the unsigned one's, median of the pairs of batches; 1 is free
//	x-p50, x-cpu  median time from start to result, CPU time of everything
//	x-history     bytes of a call's history
func BenchmarkSigning(b *testing.B) {
	c := stack.Default()
	c.Data, c.APIListen, c.TemporalListen, c.NoUI, c.NoAPI = b.TempDir(), "127.0.0.1:0", "127.0.0.1:0", true, true
	c.Policy = []string{write(b, b.TempDir(), "policy.yaml", "rules:\n  - {tool: send}\n  - {tool: sign, decisions: signed}\n")}
	var tools []*tool.Tool
	for _, name := range []string{"send", "sign"} {
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
	signer, err := auth.OpenSigner(b.Context(), auth.SignerOptions{File: filepath.Join(b.TempDir(), "key.pem"), Store: s.Store, By: "benchmark"})
	if err != nil {
		b.Fatal(err)
	}
	call := func(name string, signed bool) func() (client.WorkflowRun, error) {
		return func() (client.WorkflowRun, error) {
			ctx := context.Background()
			id, c := approval.NewID(), approval.Call{Tool: name, Args: []byte(`{}`), Nonce: approval.NewNonce()}
			digest, err := c.Digest(id)
			if err != nil {
				return nil, err
			}
			run, err := s.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: approval.TaskQueue, EnableEagerStart: true}, approval.WorkflowType, c)
			if err != nil {
				return nil, err
			}
			d := approval.Decision{ID: approval.NewID(), Kind: approval.Approve, Reviewer: "rita", Channel: "api", Groups: []string{"finance"}, Method: "token", Notes: "fine"}
			if signed {
				if d, err = signer.Sign(ctx, d, id, digest); err != nil {
					return nil, err
				}
			}
			return run, s.Client.SignalWorkflow(ctx, id, "", approval.SignalApprove, approval.DecisionSignal{
				DecisionID: d.ID, Reviewer: d.Reviewer, Channel: d.Channel, Notes: d.Notes, Digest: digest, Groups: d.Groups, Method: d.Method,
				Envelope: d.Envelope, NotesSalt: d.NotesSalt,
			})
		}
	}
	for _, bench := range []struct {
		name     string
		inFlight int
	}{{"gated/1", 1}, {"gated/16", 16}} {
		b.Run(bench.name, func(b *testing.B) {
			plain := &lane{b: b, run: call("send", false), inFlight: bench.inFlight}
			signed := &lane{b: b, run: call("sign", true), inFlight: bench.inFlight}
			for _, l := range []*lane{plain, signed} {
				l.batch() // connections, caches
				l.reset()
			}
			for first, second := plain, signed; b.Loop(); first, second = second, first {
				first.batch()
				second.batch()
			}
			var out approval.Outcome
			if err := signed.last.Get(b.Context(), &out); err != nil || out.Status != approval.StatusExecuted || !out.Decision.Authenticated {
				b.Fatalf("%+v, %v", out, err)
			}
			_, plainBytes := history(b, s.Client, plain.last)
			_, signedBytes := history(b, s.Client, signed.last)
			var turns []float64
			for i, d := range signed.walls {
				turns = append(turns, float64(plain.walls[i])/float64(d))
			}
			b.ReportMetric(0, "ns/op") // of a pair of batches: says nothing
			b.ReportMetric(median(turns), "x-throughput")
			b.ReportMetric(ms(median(signed.took))/ms(median(plain.took)), "x-p50")
			b.ReportMetric(ms(signed.cpu)/ms(plain.cpu), "x-cpu")
			b.ReportMetric(float64(signedBytes)/float64(plainBytes), "x-history")
			b.ReportMetric(ms(median(signed.took)), "p50-ms")
			b.ReportMetric(ms(median(plain.took)), "plain-p50-ms")
		})
	}
}
