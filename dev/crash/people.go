//go:build unix

package crash

import (
	"context"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
)

// people are those who ask and decide in a world, and their clients.
type people struct {
	api                  *client.Client // ana's; in a plain world it asks for calls, too
	ana, bo, cleo, owner person         // owner is there in hardened worlds only
	withdraws            *client.Client // what the askers asked for
}

type person struct {
	*client.Client
	name string
}

// ownerName answers for all agents of a hardened world, and so may approve nothing that they ask
// for.
const ownerName = "olga"

// groupsOf are the reviewers of a hardened world, and their groups. In a plain one nobody is in any.
var groupsOf = map[string][]string{"ana": {"team"}, "bo": {"ops"}, "cleo": {"ops", "team"}, ownerName: nil}

func (w *world) newPeople() people {
	one := func(name string) person { return person{w.as(name), name} }
	p := people{ana: one("ana"), bo: one("bo"), cleo: one("cleo")}
	p.api, p.withdraws = p.ana.Client, p.ana.Client
	if w.hardening != nil {
		p.withdraws, p.owner = w.as("root"), one(ownerName)
	}
	return p
}

// requester is the client by which an actor asks for calls, and who that is to Pawl.
func (w *world) requester(n int) (c *client.Client, subject string) {
	if w.hardening == nil {
		return w.api, "local"
	}
	subject = actorName(n)
	return w.as(subject), subject
}

func actorName(n int) string { return fmt.Sprintf("agent:actor-%d", n) }

// sentDecision is one decision that somebody made.
type sentDecision struct {
	by, call string
	kind     approval.DecisionKind
}

// decide lets somebody decide. What they decide is noted before it is sent, and when it was
// acknowledged.
func (w *world) decide(
	ctx context.Context, who person, id string, d client.Decision,
) (rest.DecisionAnswer, error) {
	w.mu.Lock()
	w.sent[d.ID] = sentDecision{who.name, id, d.Kind}
	w.mu.Unlock()
	d.Notes = planted("notes")
	answer, err := who.Decide(ctx, id, d)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.acknowledged[d.ID].IsZero() {
			w.acknowledged[d.ID] = time.Now()
		}
	}
	return answer, err
}
