//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
)

const (
	actorCount = 20
	// shortTimeout is how long people have where nobody, or somebody late, decides; longTimeout is
	// more than any storm takes.
	shortTimeout, longTimeout = 2 * time.Second, time.Hour
)

// script is how an actor treats a call, which tool it calls, and what else is tried on the call:
// see attackScripts.
type script struct{ kind, tool, attack string }

var plainScripts = []script{
	{"allowed", "allowed", ""}, {"allowed", "allowed_slow", ""}, {"blocked", "unheard_of", ""},
	{"approved", "guarded", ""}, {"approved", "slow", ""}, {"approved", "slow", ""}, {"rejected", "guarded", ""},
	{"ignored", "guarded", ""}, {"just in time", "guarded", ""}, {"disputed", "slow", ""},
	{"withdrawn", "guarded", ""}, {"asked twice", "slow", ""},
	{"panel", "", ""}, {"panel", "", ""}, {"panel", "", ""}, {"turned", "staged", ""},
}

// actorCall is one call of an actor: what was asked for, and what was acknowledged.
type actorCall struct {
	kind    string // of the script
	subject string // who asked for it, to Pawl
	key, id string // id is empty if no start was acknowledged

	settled  approval.DecisionKind // this decision was acknowledged as the one that settled the call
	by       person                // whose it was
	digest   string                // which it named
	unjudged bool                  // a decision was acknowledged, not judged
	late     bool                  // a decision was refused: the call had expired
	undone   bool                  // cancelled, and acknowledged as done
	forged   int                   // so many forged decisions were acknowledged

	panel *panel // who decides; nil: as kind says
	heard int    // so many of its votes were answered

	callerRun // of a call that the actor runs itself
}

type actor struct {
	*world
	ctx     context.Context // ends when the storm is broken off
	rand    *rand.Rand
	scripts []script
	client  *client.Client // asks for calls
	subject string         // who that is to Pawl
	name    string
}

// makeCall starts one call, and does with it what its script says.
func (a *actor) makeCall(i int) *actorCall {
	s := a.scripts[a.rand.IntN(len(a.scripts))]
	c := &actorCall{kind: s.kind, subject: a.subject, key: fmt.Sprintf("%s-%d", a.name, i)}
	call := approval.Call{
		Tool: s.tool, Agent: "actor", IdempotencyKey: c.key, Timeout: approval.Duration(longTimeout),
		Reason: planted("reason"),
		Args:   json.RawMessage(fmt.Sprintf(`{"key":%q,"marker":%q}`, c.key, planted("argument"))),
	}
	switch s.kind {
	case "ignored", "just in time":
		call.Timeout = approval.Duration(shortTimeout)
	case "panel":
		c.panel = &panels[a.rand.IntN(len(panels))]
		call.Tool, call.Timeout = c.panel.tool, c.panel.timeout()
	case "run", "raced", "silent", "run withdrawn":
		a.runAsCaller(c, call, s)
		return c
	}
	var beside sync.WaitGroup
	if s.kind == "asked twice" {
		beside.Go(func() { a.start(c, call, &actorCall{}) })
	}
	a.start(c, call, c)
	beside.Wait()
	if c.id == "" {
		return c
	}
	delay := time.Duration(a.rand.Int64N(int64(300 * time.Millisecond)))
	switch {
	case s.kind == "allowed", s.kind == "blocked", s.kind == "ignored" && s.attack == "":
		return c
	case s.kind == "just in time":
		delay += shortTimeout - 200*time.Millisecond
	}
	v, ok := a.waiting(c.id)
	if !ok {
		return c
	}
	attack, forged := a.attack(s.attack, v), 0
	beside.Go(func() { forged = attack() })
	<-time.After(delay)
	switch s.kind {
	case "approved", "just in time", "asked twice":
		a.settle(a.ana, c, v, approval.Approve)
	case "rejected":
		a.settle(a.ana, c, v, approval.Reject)
	case "withdrawn":
		done, err := a.client.Cancel(a.ctx, c.id, "")
		c.undone, c.unjudged = err == nil && done, err == nil && !done
	case "disputed":
		a.dispute(c, v, a.ana, a.bo)
	case "panel":
		a.runPanel(c, v)
	case "turned": // the approval that is missing, while the other one is turned into a rejection
		if a.vote(c, a.ana, v, approval.Approve) {
			a.dispute(c, v, a.bo, a.ana)
		}
	}
	beside.Wait()
	c.forged = forged
	if c.settled != "" && a.rand.IntN(2) == 0 { // impatience
		<-time.After(time.Duration(a.rand.Int64N(int64(time.Second))))
		a.repeatDecision(a.ctx, c)
	}
	return c
}

// dispute lets one approve and another reject a call at the same time.
func (a *actor) dispute(c *actorCall, v client.View, approves, rejects person) {
	no := *c
	var both sync.WaitGroup
	both.Go(func() { a.settle(rejects, &no, v, approval.Reject) })
	a.settle(approves, c, v, approval.Approve)
	both.Wait()
	if no.settled != "" && c.settled != "" {
		a.t.Errorf("call %s: both its approval and its rejection are said to have settled it", c.id)
	}
	if no.settled != "" {
		c.settled, c.by, c.digest = no.settled, no.by, no.digest
	}
	c.unjudged = c.unjudged || no.unjudged
}

// start starts a call and notes in into that this was acknowledged.
func (a *actor) start(c *actorCall, call approval.Call, into *actorCall) {
	v, _, err := a.client.Start(a.ctx, call, 0)
	switch {
	case err == nil && v.ID != approval.KeyedID(c.subject, call.IdempotencyKey):
		a.t.Errorf("key %s: started as %s, which is not its ID", c.key, v.ID)
	case err == nil:
		into.id = v.ID
	case unanswered(err), a.ctx.Err() != nil:
	default:
		a.t.Errorf("starting %s call %s: %v", c.kind, c.key, err)
	}
}

// unanswered reports an error that leaves open what became of a request.
func unanswered(err error) bool {
	var uncertain *client.UncertainError
	var unreachable *client.UnreachableError
	return errors.As(err, &uncertain) || errors.As(err, &unreachable)
}

// waiting waits until the call waits for people. It gives up when the call has ended without them:
// its time may have been too short.
func (a *actor) waiting(id string) (v client.View, ok bool) {
	// A storm may strike before a call is judged, each time. So it must be judged in time only after it.
	for stormy := true; stormy && !ok; {
		stormy = a.stormOver.Err() == nil
		ok = poll(a.ctx, a.stormPatience, func() bool {
			last, err := a.client.Get(a.ctx, id, 0)
			if err == nil {
				v = last
			}
			return err == nil && v.Status != approval.StatusEvaluating
		})
	}
	if !ok && a.ctx.Err() == nil {
		a.t.Errorf("call %s was started and never asked for: last seen %s", id, v.Status)
	}
	return v, ok && v.Status == approval.StatusPending
}

func (a *actor) settle(who person, c *actorCall, v client.View, kind approval.DecisionKind) {
	answer, err := a.decide(a.ctx, who, v.ID, c.decision(kind, v.Digest))
	var refused *client.Error
	switch {
	case err == nil && answer.Outcome == approval.AnswerResolved:
		c.settled, c.by, c.digest = kind, who, v.Digest
	case answer.Outcome == rest.AnswerNotJudged: // also where asking what became of it failed
		c.unjudged = true
	case errors.As(err, &refused) && refused.Outcome == approval.AnswerExpired:
		c.late = true
	case errors.As(err, &refused) && refused.Outcome == approval.AnswerAlreadyResolved &&
		(c.kind == "disputed" || c.kind == "turned"):
	case unanswered(err), a.ctx.Err() != nil:
	default:
		a.t.Errorf("%s call %s: %s was answered %+v, %v", c.kind, v.ID, kind, answer, err)
	}
}

// decision has an ID of its own, so that it counts once however often it is sent.
func (c *actorCall) decision(kind approval.DecisionKind, digest string) client.Decision {
	return client.Decision{Kind: kind, Digest: digest, ID: c.key + "-" + string(kind)}
}

// repeatDecision sends the decision that settled the call again: it still did.
func (w *world) repeatDecision(ctx context.Context, c *actorCall) {
	answer, err := w.decide(ctx, c.by, c.id, c.decision(c.settled, c.digest))
	var refused *client.Error
	if errors.As(err, &refused) && refused.HTTPStatus < 500 && answer.Outcome != rest.AnswerNotJudged ||
		err == nil && answer.Outcome != approval.AnswerResolved && answer.Outcome != rest.AnswerNotJudged {
		w.t.Errorf("%s call %s: the %s that settled it was sent again and answered %+v, %v",
			c.kind, c.id, c.settled, answer, err)
	}
}

// clearedUp reports whether rejectRest ended a call: a rejection goes before an approval whose claim
// has not returned.
func clearedUp(v approval.View) bool {
	last := len(v.Votes) - 1
	return v.Status == approval.StatusRejected && last >= 0 && strings.HasPrefix(v.Votes[last].ID, restID(v.ID))
}

// check holds what was acknowledged about a call against how it ended.
func (c *actorCall) check(l ledger) error {
	record, known := l.records[approval.KeyedID(c.subject, c.key)]
	if !known {
		if c.id != "" {
			return errors.New("its start was acknowledged, and it is not on record")
		}
		return nil
	}
	v := record.View
	fits := c.ran(v)
	switch {
	case c.panel != nil:
		fits = c.decided(l, v)
	case c.kind == "allowed", c.settled == approval.Approve:
		fits = l.letGo(v)
	case c.unjudged && (c.kind == "approved" || c.kind == "asked twice"):
		fits = l.letGo(v) || clearedUp(v)
	case c.kind == "blocked":
		fits = v.Status == approval.StatusBlocked
	case c.settled == approval.Reject, c.unjudged && c.kind == "rejected":
		fits = v.Status == approval.StatusRejected
	case c.late, c.kind == "ignored":
		fits = v.Status == approval.StatusExpired
	case c.undone, c.unjudged && c.kind == "withdrawn":
		fits = v.Status == approval.StatusCancelled
	}
	if fits && c.settled != "" && !l.histories[v.ID].holds(c.decision(c.settled, "").ID) {
		return errors.New("its history does not hold the decision that settled it")
	}
	if n := l.histories[v.ID].worthless(); n < c.forged {
		return fmt.Errorf("its history holds %d forged decisions, and %d were acknowledged", n, c.forged)
	}
	if !fits {
		return fmt.Errorf("it ended %s (%+v) after %+v", v.Status, v.Error, *c)
	}
	return nil
}
