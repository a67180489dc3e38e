//go:build unix

package e2e_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"go.temporal.io/sdk/client"
)

// BenchmarkSigning holds calls that are approved by a signed decision against calls that are
// approved by an unsigned one, on one stack. A signed one is signed as the API does it, and
// verified by the workflow, by the claim and by the executor. Batches of both take turns, as in
// BenchmarkCall.
//
//	x-throughput  of the unsigned one's, median of the pairs of batches; 1 is free
//	x-p50, x-cpu  median time from start to result, CPU time of everything
//	x-history     bytes of a call's history
func BenchmarkSigning(b *testing.B) {
	s := benchStack(b, "rules:\n  - {tool: send}\n  - {tool: sign, decisions: signed}\n", false, "send", "sign")
	signer, err := auth.OpenSigner(b.Context(), auth.SignerOptions{File: filepath.Join(b.TempDir(), "key.pem"), Store: s.Store, By: "benchmark"})
	if err != nil {
		b.Fatal(err)
	}
	call := func(name string, signed bool) func() (client.WorkflowRun, error) {
		return func() (client.WorkflowRun, error) {
			ctx := context.Background()
			run, digest, err := startCall(s, name)
			if err != nil {
				return nil, err
			}
			d := approval.Decision{ID: approval.NewID(), Kind: approval.Approve, Reviewer: "rita", Channel: "api", Groups: []string{"finance"}, Method: "token", Notes: "fine"}
			if signed {
				if d, err = signer.Sign(ctx, d, run.GetID(), digest); err != nil {
					return nil, err
				}
			}
			return run, s.Client.SignalWorkflow(ctx, run.GetID(), "", approval.SignalApprove, approval.DecisionSignal{
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
			plain := &lane{b: b, stack: s, run: call("send", false), inFlight: bench.inFlight}
			signed := &lane{b: b, stack: s, run: call("sign", true), inFlight: bench.inFlight}
			takeTurns(b, "plain", plain, signed)
			var out approval.Outcome
			if err := signed.last.Get(b.Context(), &out); err != nil || out.Status != approval.StatusExecuted || !out.Decision.Authenticated {
				b.Fatalf("%+v, %v", out, err)
			}
			reportHistory(b, plain, signed)
		})
	}
}
