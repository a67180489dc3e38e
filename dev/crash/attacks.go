//go:build unix

package crash

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

// attackScripts are those with something that is tried on calls in hardened worlds, beside what
// becomes of them: somebody who may write to Temporal forges decisions, and the owner of an agent
// approves what it asked for.
var attackScripts = []script{
	{"rejected", "guarded", "forged"}, {"approved", "slow", "forged"}, {"ignored", "guarded", "forged"},
	{"rejected", "guarded", "owner"},
}

// forgedPrefix begins the IDs of forged decisions.
const forgedPrefix = "forged-"

// forgeries are signals without anything that proves who decided. Those that are not encrypted are
// of somebody who has no keyring.
var forgeries = []struct {
	encrypted bool
	payload   func(h *hardening, v client.View, d approval.Decision) (any, error)
}{
	{false, func(*hardening, client.View, approval.Decision) (any, error) { return nil, nil }},
	{false, func(_ *hardening, v client.View, d approval.Decision) (any, error) {
		return approval.DecisionSignal{DecisionID: d.ID, Reviewer: d.Reviewer, Digest: v.Digest}, nil
	}},
	{true, func(_ *hardening, v client.View, d approval.Decision) (any, error) {
		return approval.DecisionSignal{
			DecisionID: d.ID, Reviewer: d.Reviewer, Digest: v.Digest, Channel: d.Channel, Method: d.Method,
		}, nil
	}},
	{true, func(h *hardening, v client.View, d approval.Decision) (any, error) {
		d, err := sign.Sign(h.stranger, d, h.store, v.ID, v.Digest)
		return approval.DecisionSignal{
			DecisionID: d.ID, Reviewer: d.Reviewer, Digest: v.Digest, Channel: d.Channel, Method: d.Method,
			Envelope: d.Envelope, Groups: d.Groups,
		}, err
	}},
}

// attack settles how a call is attacked, by chance that the seed fixes, and returns what does it.
// That counts the signals that Temporal took.
func (a *actor) attack(kind string, v client.View) func() int {
	var tries []func() bool
	switch kind {
	case "owner":
		tries = append(tries, func() bool { a.approveAsOwner(v); return false })
	case "forged":
		for range 1 + a.rand.IntN(3) {
			form, signal := forgeries[a.rand.IntN(len(forgeries))], approval.SignalApprove
			if a.rand.IntN(4) == 0 {
				signal = approval.SignalReject
			}
			pause := time.Duration(a.rand.Int64N(int64(200 * time.Millisecond)))
			d := approval.Decision{
				ID: forgedPrefix + approval.NewID(), Kind: approval.DecisionKind(signal), Reviewer: "ana", Channel: "api",
				Method: "token", Groups: []string{}, At: time.Now().UTC(),
			}
			tries = append(tries, func() bool {
				<-time.After(pause)
				payload, err := form.payload(a.hardening, v, d)
				keys, unread := a.keysOf(form.encrypted)
				if err = errors.Join(err, unread); err != nil {
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

// keysOf is the keyring of a forger, which is nil where there is none, or they have none.
func (a *actor) keysOf(encrypted bool) (*codec.Keyring, error) {
	if a.hardening == nil || !encrypted {
		return nil, nil
	}
	return a.hardening.load()
}

// signal sends one signal past the API. Temporal may be away, or the workflow closed.
func (a *actor) signal(id, name string, payload any, keys *codec.Keyring) error {
	ctx, cancel := context.WithTimeout(a.ctx, 5*time.Second)
	defer cancel()
	x, err := a.serving(ctx, a.temporal)
	if err != nil {
		return err
	}
	c, err := dial(ctx, x, keys)
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

// approveAsOwner lets the owner of an agent approve what it asked for.
func (a *actor) approveAsOwner(v client.View) {
	d := client.Decision{Kind: approval.Approve, Digest: v.Digest, ID: v.ID + "-by-owner"}
	answer, err := a.decide(a.ctx, a.owner, v.ID, d)
	var refused *client.Error
	switch {
	case err == nil:
		a.t.Errorf("call %s: its owner's approval was answered %+v", v.ID, answer)
	case errors.As(err, &refused) && refused.HTTPStatus < 500 &&
		refused.Outcome != approval.AnswerForbidden && refused.Outcome != approval.AnswerAlreadyResolved:
		a.t.Errorf("call %s: its owner's approval was answered %v", v.ID, err)
	}
}

// isForgery reports whether a payload that is not encrypted is a forger's.
func isForgery(data []byte) bool {
	var s struct {
		DecisionID string `json:"decision_id"`
		StartID    string `json:"start_id"`
	}
	return json.Unmarshal(data, &s) == nil &&
		(strings.HasPrefix(s.DecisionID, forgedPrefix) || strings.HasPrefix(s.StartID, forgedPrefix))
}
