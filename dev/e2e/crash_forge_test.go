//go:build unix

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/codec"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// crashTricks are what is tried on calls in sealed worlds, beside what becomes
// of them: somebody who may write to Temporal forges decisions, and the owner
// of an agent approves what it asked for.
var crashTricks = []crashPlot{
	{"rejected", "guarded", "forged"}, {"approved", "slow", "forged"}, {"ignored", "guarded", "forged"}, {"rejected", "guarded", "owner"},
}

// crashForged begins the IDs of forged decisions.
const crashForged = "forged-"

// crashForgeries are signals without anything that proves who decided. Those
// that are not encrypted are of somebody who has no keyring.
var crashForgeries = []struct {
	encrypted bool
	payload   func(s *crashSeal, v client.View, d approval.Decision) (any, error)
}{
	{false, func(*crashSeal, client.View, approval.Decision) (any, error) { return nil, nil }},
	{false, func(_ *crashSeal, v client.View, d approval.Decision) (any, error) {
		return approval.DecisionSignal{DecisionID: d.ID, Reviewer: d.Reviewer, Digest: v.Digest}, nil
	}},
	{true, func(_ *crashSeal, v client.View, d approval.Decision) (any, error) {
		return approval.DecisionSignal{DecisionID: d.ID, Reviewer: d.Reviewer, Digest: v.Digest, Channel: d.Channel, Method: d.Method}, nil
	}},
	{true, func(s *crashSeal, v client.View, d approval.Decision) (any, error) {
		d, err := sign.Sign(s.stranger, d, s.store, v.ID, v.Digest)
		return approval.DecisionSignal{
			DecisionID: d.ID, Reviewer: d.Reviewer, Digest: v.Digest, Channel: d.Channel, Method: d.Method, Envelope: d.Envelope, Groups: d.Groups,
		}, err
	}},
}

// forger settles what is tried on a call, by chance that the seed fixes, and
// returns what does it. That counts the signals that Temporal took.
func (a *crashActor) forger(trick string, v client.View) func() int {
	var tries []func() bool
	switch trick {
	case "owner":
		tries = append(tries, func() bool { a.presume(v); return false })
	case "forged":
		for range 1 + a.rand.IntN(3) {
			form, signal := crashForgeries[a.rand.IntN(len(crashForgeries))], approval.SignalApprove
			if a.rand.IntN(4) == 0 {
				signal = approval.SignalReject
			}
			pause := time.Duration(a.rand.Int64N(int64(200 * time.Millisecond)))
			d := approval.Decision{
				ID: crashForged + approval.NewID(), Kind: approval.DecisionKind(signal), Reviewer: "ana", Channel: "api", Method: "token",
				Groups: []string{}, At: time.Now().UTC(),
			}
			tries = append(tries, func() bool {
				<-time.After(pause)
				var keys *codec.Keyring
				payload, err := form.payload(a.seal, v, d)
				if err == nil && form.encrypted {
					keys, err = a.seal.load()
				}
				if err != nil {
					a.t.Errorf("forging a decision: %v", err)
					return false
				}
				return a.signal(v.ID, signal, payload, keys) == nil
			})
		}
	}
	return func() (taken int) {
		for _, try := range tries {
			if try() {
				taken++
			}
		}
		return taken
	}
}

// signal sends one signal past the API. Temporal may be away, or the workflow
// closed.
func (a *crashActor) signal(id, name string, payload any, keys *codec.Keyring) error {
	ctx, cancel := context.WithTimeout(a.ctx, 5*time.Second)
	defer cancel()
	l, err := a.serving(ctx, a.temporal)
	if err != nil {
		return err
	}
	c, err := crashDial(ctx, l, keys)
	if err != nil {
		return err
	}
	defer c.Close()
	if payload != nil {
		return c.SignalWorkflow(ctx, id, "", name, payload)
	}
	_, err = c.WorkflowService().SignalWorkflowExecution(ctx, &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: "default", WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id}, SignalName: name,
	})
	return err
}

// presume lets the owner of an agent approve what it asked for.
func (a *crashActor) presume(v client.View) {
	answer, err := a.decide(a.ctx, a.owner, v.ID, client.Decision{Kind: approval.Approve, Digest: v.Digest, ID: v.ID + "-presumed"})
	var refused *client.Error
	switch {
	case err == nil:
		a.t.Errorf("call %s: its owner's approval was answered %+v", v.ID, answer)
	case errors.As(err, &refused) && refused.HTTPStatus < 500 && refused.Outcome != approval.AnswerForbidden && refused.Outcome != approval.AnswerAlreadyResolved:
		a.t.Errorf("call %s: its owner's approval was answered %v", v.ID, err)
	}
}

// crashForgery reports whether a payload that is not encrypted is a forger's.
func crashForgery(data []byte) bool {
	var s approval.DecisionSignal
	return json.Unmarshal(data, &s) == nil && strings.HasPrefix(s.DecisionID, crashForged)
}
