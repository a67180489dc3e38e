//go:build unix

package crash

import (
	"context"
	"fmt"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
)

// people are those who ask and decide in a world, and their clients.
type people struct {
	api            *client.Client // ana's; in a plain world it asks for calls, too
	ana, bo, owner person         // owner is there in hardened worlds only
	withdraws      *client.Client // what the agent asked for
}

type person struct {
	*client.Client
	name string
}

// ownerName answers for all agents of a hardened world, and so may approve nothing that they ask
// for.
const ownerName = "olga"

func (w *world) newPeople() people {
	p := people{ana: person{w.as("ana"), "ana"}, bo: person{w.as("bo"), "bo"}}
	p.api, p.withdraws = p.ana.Client, p.ana.Client
	if w.hardening != nil {
		p.withdraws, p.owner = w.as("root"), person{w.as(ownerName), ownerName}
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

// decide lets somebody decide. What they decide is noted before it is sent.
func (w *world) decide(
	ctx context.Context, who person, id string, d client.Decision,
) (rest.DecisionAnswer, error) {
	w.mu.Lock()
	w.sent[d.ID] = sentDecision{who.name, id, d.Kind}
	w.mu.Unlock()
	d.Notes = planted("notes")
	return who.Decide(ctx, id, d)
}
