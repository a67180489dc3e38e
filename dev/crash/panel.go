//go:build unix

package crash

import (
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// panel is what several people decide about one call, one after the other, and how the call ends by
// that. executed stands for every end of a call that is let go.
type panel struct {
	tool  string
	votes []panelVote
	ends  approval.Status
}

type panelVote struct {
	by   string
	kind approval.DecisionKind
}

const yes, no = approval.Approve, approval.Reject

var panels = []panel{
	{"staged", []panelVote{{"ana", yes}, {"bo", yes}}, approval.StatusExecuted},
	{"staged", []panelVote{{"bo", yes}, {"ana", yes}}, approval.StatusExecuted},   // waits for its stage
	{"staged", []panelVote{{"cleo", yes}, {"cleo", yes}}, approval.StatusExpired}, // one person, one stage
	{"staged", []panelVote{{"ana", yes}, {"ana", no}}, approval.StatusRejected},   // changed their mind
	{"staged", []panelVote{{"cleo", yes}, {"bo", yes}}, approval.StatusExecuted},  // is in both groups
	{"contested", []panelVote{{"ana", yes}, {"bo", no}, {"cleo", yes}}, approval.StatusExecuted},
	{"contested", []panelVote{{"ana", yes}, {"bo", no}, {"ana", no}}, approval.StatusRejected},
	{"contested", []panelVote{{"ana", yes}, {"ana", no}, {"bo", yes}, {"cleo", yes}}, approval.StatusExecuted},
	{"contested", []panelVote{{"ana", no}, {"ana", yes}, {"bo", yes}}, approval.StatusExpired}, // never back
}

// timeout is how long people have: long, unless silence is to end the call.
func (p panel) timeout() approval.Duration {
	if p.ends == approval.StatusExpired {
		return approval.Duration(2 * shortTimeout)
	}
	return approval.Duration(longTimeout)
}

// runPanel lets the people decide. It goes on to the next one when a decision was answered.
func (a *actor) runPanel(c *actorCall, v client.View) {
	people := map[string]person{"ana": a.ana, "bo": a.bo, "cleo": a.cleo}
	for _, vote := range c.panel.votes {
		if !a.vote(c, people[vote.by], v, vote.kind) {
			return
		}
		c.heard++
	}
}

// vote sends one decision until it is answered.
func (a *actor) vote(c *actorCall, who person, v client.View, kind approval.DecisionKind) bool {
	d := client.Decision{Kind: kind, Digest: v.Digest, ID: fmt.Sprintf("%s-%d", c.key, c.heard)}
	answered := poll(a.ctx, a.stormPatience, func() bool {
		answer, err := a.decide(a.ctx, who, v.ID, d)
		var refused *client.Error
		switch {
		case err == nil && answer.Outcome.Counted():
		case err == nil: // it counts, or not, later
			c.unjudged = true
		case unanswered(err), a.ctx.Err() != nil:
			return false
		case errors.As(err, &refused) && (refused.Outcome == approval.AnswerAlreadyResolved ||
			refused.Outcome == approval.AnswerExpired || refused.Outcome == approval.AnswerForbidden):
		default:
			a.t.Errorf("call %s: %s by %s was answered %+v, %v", v.ID, kind, who.name, answer, err)
		}
		return true
	})
	if !answered && a.ctx.Err() == nil {
		a.t.Errorf("call %s: %s by %s was not answered within %v", v.ID, kind, who.name, a.stormPatience)
	}
	return answered
}

// decided reports whether a call ended as it must after all that its panel said.
func (c *actorCall) decided(l ledger, v approval.View) bool {
	switch {
	case c.heard < len(c.panel.votes):
		return true
	case c.panel.ends == approval.StatusExecuted:
		return l.letGo(v) || c.unjudged && clearedUp(v)
	}
	return v.Status == c.panel.ends
}
