//go:build unix

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

// storm lets actors, and the askers of the world, start and decide calls while the parts are
// killed, stopped, paused and started again.
//
// The seed fixes which parts are hit, how and when; which calls actors and askers make under which
// keys; and what becomes of them by whose decision. It does not fix what the system does meanwhile:
// which worker or API gets what, how far a call is when a fault strikes, and so how many calls
// there are.
func storm(w *world) {
	outage := shortOutage
	if w.long {
		outage = time.Minute
	}
	w.stormPatience = patience + 3*outage // one part after the other may be away
	possible, scripts := distributedFaults, slices.Concat(plainScripts, callerScripts)
	if w.agent == nil {
		possible = singleFaults
		if w.length < time.Minute { // while the one process is paused nothing else can happen
			possible.parts = slices.DeleteFunc(slices.Clone(possible.parts), func(f fault) bool {
				return f.do == "pause"
			})
		}
	}
	if w.hardening == nil {
		possible.keys = nil
	} else {
		scripts = slices.Concat(scripts, attackScripts)
	}
	repeat := fmt.Sprintf("go test ./crash -run %q -crash.seed %d -crash.for %v -crash.long=%v",
		"^"+w.t.Name()+"$", w.seed, w.length, w.long)
	w.t.Logf("repeat with: %s", repeat)
	actions := schedule(w.seed, possible, w.length, outage)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			for _, a := range actions {
				w.t.Log(a)
			}
			w.t.Logf("the storm began at %s; repeat it with: %s", w.stormBegan.Format(clock), repeat)
		}
	})

	ctx, cancel := context.WithCancel(w.t.Context())
	over, enough := context.WithCancel(ctx)
	w.stormOver = over
	var actors, reviewers sync.WaitGroup
	defer reviewers.Wait()
	defer actors.Wait() // last of all: they report to the test
	defer cancel()
	defer enough()
	first := w.callsInCalm(ctx, "first")
	var calls [actorCount][]*actorCall
	for n := range calls {
		a := &actor{world: w, ctx: ctx, scripts: scripts, name: fmt.Sprintf("%d-%d", w.seed, n)}
		a.client, a.subject = w.requester(n)
		actors.Go(func() {
			for i := 0; over.Err() == nil; i++ {
				// Each call's choices are its own: how others went does not shift them.
				a.rand = rand.New(rand.NewPCG(w.seed, uint64(n+1)<<32+uint64(i)))
				calls[n] = append(calls[n], a.makeCall(i))
			}
		})
	}
	for _, k := range w.askers {
		k.args = append(k.args, "--seed", fmt.Sprint(w.seed))
		k.up()
		reviewers.Go(func() { w.review(ctx, k) })
	}
	w.stormBegan = time.Now()
	w.perform(actions)
	enough()
	w.ready()
	calm := time.Now()
	for _, k := range w.askers {
		k.finish()
	}
	actors.Wait()
	if w.hardening != nil {
		w.hardening.rotating.Wait()
	}

	all := slices.Concat(slices.Concat(calls[:]...), first, w.callsInCalm(ctx, "last"))
	w.rejectRest()
	for _, c := range all {
		if c.settled != "" {
			w.repeatDecision(ctx, c)
		}
	}
	l := w.check()
	agents := 0
	for _, k := range w.askers {
		agents += w.checkAsker(l, k)
	}
	for _, c := range all {
		if err := c.check(l); err != nil {
			w.t.Errorf("%s call %s under key %s: %v", c.kind, c.id, c.key, err)
		}
	}
	w.checkCuts(l)
	w.checkFiles()
	w.t.Logf("%d calls, %d of them by programs; %d actions, %d processes ended; %v; "+
		"all checked %v after the last part was back",
		len(l.records), agents, len(actions), w.deaths(), l.tally, since(calm))
}

// callsInCalm makes a call of each kind that every storm must have met, while nothing disturbs it:
// before all keys are replaced, and after.
func (w *world) callsInCalm(ctx context.Context, name string) (calls []*actorCall) {
	a := &actor{world: w, ctx: ctx, name: fmt.Sprintf("%d-%s", w.seed, name)}
	a.client, a.subject = w.requester(0)
	scripts := []script{{"approved", "guarded", ""}}
	if w.hardening != nil {
		scripts = append(scripts, script{"ignored", "guarded", "forged"})
	}
	for i, s := range scripts {
		a.scripts, a.rand = []script{s}, rand.New(rand.NewPCG(w.seed, uint64(i)))
		calls = append(calls, a.makeCall(i))
	}
	return calls
}

// rejectRest rejects what still waits: calls whose actor never heard that they were started, or
// whose decision was lost on its way.
func (w *world) rejectRest() {
	w.t.Helper()
	w.until("no request waits", func() bool {
		page, err := w.api.Requests(w.t.Context(), client.RequestQuery{})
		if err != nil {
			return false
		}
		for _, v := range page.Items {
			if v.Deadline.After(time.Now().Add(patience)) {
				for _, who := range []person{w.ana, w.bo} {
					d := client.Decision{Kind: approval.Reject, ID: restID(v.ID) + "-" + who.name}
					_, _ = w.decide(w.t.Context(), who, v.ID, d)
				}
			}
		}
		return len(page.Items) == 0
	})
}

// restID begins the IDs of rejectRest's decisions about a call: two people's, where one does not end it.
func restID(callID string) string { return callID + "-rest" }

func since(began time.Time) time.Duration { return time.Since(began).Round(time.Millisecond) }
