package workflows

import (
	"errors"
	"slices"

	"github.com/pawlhq/pawl/activities"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"go.temporal.io/sdk/workflow"
)

// maxLearnt bounds how often a run asks for keys, and maxUnknown how many decisions wait for one
// answer: a flood of made-up keys must not grow its history without bound.
const (
	maxLearnt  = 100
	maxUnknown = 100
)

// verify judges a decision that carries an envelope: it counts as signed, or not at all.
func (g *guarded) verify(ctx workflow.Context, d decision) {
	s, err := sign.Verify(d.Decision.Decision, g.view.ID, g.digest, g.keys)
	switch {
	case err == nil:
		d.Authenticated, d.statement = true, s
		g.count(ctx, d)
	case errors.Is(err, sign.ErrUnknownKey) && !d.asked && g.learnt < maxLearnt && len(g.unknown) < maxUnknown:
		g.unknown = append(g.unknown, d)
	case approval.CodeOf(err) == approval.CodeInvalid:
		g.answer(d, approval.AnswerInvalid, err.Error())
	default:
		g.answer(d, approval.AnswerForbidden, err.Error())
	}
}

// learnKeys asks for the keys that decisions name and the admission does not know, and judges them
// anew: a key may have been added since.
func (g *guarded) learnKeys(ctx workflow.Context) {
	var in activities.KeysInput
	for i := range g.unknown {
		g.unknown[i].asked = true // further ones may come meanwhile
		if id, err := sign.KeyID(g.unknown[i].Envelope); err == nil && !slices.Contains(in.IDs, id) {
			in.IDs = append(in.IDs, id)
		}
	}
	var keys []sign.PublicKey
	g.learnt++
	g.step(ctx, localTimeout, steps.Keys, in, &keys)
	g.keys = append(g.keys, keys...)
	held := g.unknown
	g.unknown = nil
	for _, d := range held {
		g.judge(ctx, d) // who came meanwhile is laid aside again
	}
}
