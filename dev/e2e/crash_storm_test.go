//go:build unix

package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

const (
	crashActors = 20
	// crashShort is how long people have where nobody, or somebody late,
	// decides; crashLong is more than any storm takes.
	crashShort, crashLong = 2 * time.Second, time.Hour
)

// crashDeed is one call of the storm: what was asked for, and what was
// acknowledged.
type crashDeed struct {
	kind    string
	of      string // who asked for it, to Pawl
	key, id string // id is empty if no start was acknowledged

	settled approval.DecisionKind // this decision was acknowledged as the one that settled the call
	digest  string                // which it named
	taken   bool                  // a decision was acknowledged, unjudged
	late    bool                  // a decision was refused: the call had expired
	undone  bool                  // cancelled, and acknowledged as done
	forged  int                   // so many forged decisions were acknowledged
}

// crashPlot is how an actor treats a call, which tool it calls, and what else
// is tried on it: see crashTricks.
type crashPlot struct{ kind, tool, trick string }

var crashPlots = []crashPlot{
	{"allowed", "allowed", ""}, {"allowed", "allowed_slow", ""}, {"blocked", "unheard_of", ""},
	{"approved", "guarded", ""}, {"approved", "slow", ""}, {"approved", "slow", ""}, {"rejected", "guarded", ""},
	{"ignored", "guarded", ""}, {"just in time", "guarded", ""}, {"disputed", "slow", ""}, {"withdrawn", "guarded", ""}, {"asked twice", "slow", ""},
}

var (
	crashLongRun = flag.Bool("crash.long", false, "crash tests: ten minutes of storm, with outages of a minute")
	crashFor     = flag.Duration("crash.for", 0, "crash tests: how long the storms last; 0 is 25s, or 10m with -crash.long")
	crashSeed    = flag.Uint64("crash.seed", 0, "crash tests: what the storms' schedule and plots are derived from, and in short runs which world is sealed; 0 is a new one")
)

// crashStorm lets actors, and the agent if the world has one, start and decide
// calls while the parts are killed, stopped, paused and started again.
//
// The seed fixes which parts are hit, how and when; which calls actors and
// agent make under which keys; and what becomes of them by whose decision. It
// does not fix what the system does meanwhile: which worker or API gets what,
// how far a call is when a blow falls, and so how many calls there are.
func crashStorm(w *crashWorld) {
	seed, length, outage := w.seed, *crashFor, crashOutage
	if *crashLongRun {
		length, outage = cmp.Or(length, 10*time.Minute), time.Minute
	}
	length = cmp.Or(length, crashLength)
	w.patience = crashPatience + 3*outage // one part after the other may be away
	keys, deck, gap := crashTownKeys, crashTownDeck, crashTownGap
	if w.agent == nil {
		keys, deck, gap = crashStackKeys, crashStackDeck, crashStackGap
		if length < time.Minute { // while the one process sleeps nothing else can happen
			deck = slices.DeleteFunc(slices.Clone(deck), func(b crashBlow) bool { return b.do == "pause" })
		}
	}
	again := fmt.Sprintf("go test ./e2e -run %q -crash.seed %d -crash.for %v -crash.long=%v", "^"+w.t.Name()+"$", seed, length, *crashLongRun)
	w.t.Logf("repeat with: %s", again)
	plots := crashPlots
	if w.seal == nil {
		keys = nil
	} else {
		plots = slices.Concat(plots, crashTricks)
	}
	acts := crashSchedule(seed, keys, deck, gap, length, outage)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			for _, a := range acts {
				w.t.Log(a)
			}
			w.t.Logf("the storm began at %s; repeat it with: %s", w.storm.Format(crashClock), again)
		}
	})

	ctx, cancel := context.WithCancel(w.t.Context())
	over, enough := context.WithCancel(ctx)
	var actors, reviewers sync.WaitGroup
	defer reviewers.Wait()
	defer actors.Wait() // last of all: they report to the test
	defer cancel()
	defer enough()
	first := w.sample(ctx, "first")
	var deeds [crashActors][]*crashDeed
	for n := range deeds {
		a := &crashActor{crashWorld: w, ctx: ctx, plots: plots, name: fmt.Sprintf("%d-%d", seed, n)}
		a.asks, a.requester = w.asker(n)
		actors.Go(func() {
			for i := 0; over.Err() == nil; i++ {
				// Each call's choices are its own: how others went does not shift them.
				a.rand = rand.New(rand.NewPCG(seed, uint64(n+1)<<32+uint64(i)))
				deeds[n] = append(deeds[n], a.act(i))
			}
		})
	}
	if w.agent != nil {
		w.agent.args = append(w.agent.args, "--seed", fmt.Sprint(seed))
		w.agent.up()
		reviewers.Go(func() { w.review(ctx) })
	}
	w.storm = time.Now()
	w.perform(acts)
	enough()
	w.ready()
	calm := time.Now()
	if w.agent != nil {
		w.dismiss()
	}
	actors.Wait()
	if w.seal != nil {
		w.seal.rotating.Wait()
	}

	all := slices.Concat(slices.Concat(deeds[:]...), first, w.sample(ctx, "last"))
	w.settleRest()
	for _, d := range all {
		if d.settled != "" {
			w.repeat(ctx, d)
		}
	}
	l := w.check()
	agents := w.checkAgent(l)
	for _, d := range all {
		if err := d.stands(l); err != nil {
			w.t.Errorf("%s call %s under key %s: %v", d.kind, d.id, d.key, err)
		}
	}
	w.checkFiles()
	w.t.Logf("%d calls, %d of them the agent's; %d acts, %d processes ended; %v; all checked %v after the last part was back",
		len(l.records), agents, len(acts), w.deaths(), l.tally, crashRound(calm))
}

// sample makes a call of each kind that every storm must have met, while nothing
// stands in its way: before all keys are replaced, and after.
func (w *crashWorld) sample(ctx context.Context, name string) (deeds []*crashDeed) {
	a := &crashActor{crashWorld: w, ctx: ctx, name: fmt.Sprintf("%d-%s", w.seed, name)}
	a.asks, a.requester = w.asker(0)
	plots := []crashPlot{{"approved", "guarded", ""}}
	if w.seal != nil {
		plots = append(plots, crashPlot{"ignored", "guarded", "forged"})
	}
	for i, plot := range plots {
		a.plots, a.rand = []crashPlot{plot}, rand.New(rand.NewPCG(w.seed, uint64(i)))
		deeds = append(deeds, a.act(i))
	}
	return deeds
}

// settleRest rejects what still waits: calls whose actor never heard that they
// were started, or whose decision was lost on its way.
func (w *crashWorld) settleRest() {
	w.t.Helper()
	w.until("no request waits", func() bool {
		page, err := w.api.Requests(w.t.Context(), client.RequestQuery{})
		if err != nil {
			return false
		}
		for _, v := range page.Items {
			if v.Deadline.After(time.Now().Add(crashPatience)) {
				_, _ = w.decide(w.t.Context(), w.ana, v.ID, client.Decision{Kind: approval.Reject, ID: v.ID + "-rest"})
			}
		}
		return len(page.Items) == 0
	})
}

type crashActor struct {
	*crashWorld
	ctx       context.Context // ends when the storm is broken off
	rand      *rand.Rand
	plots     []crashPlot
	asks      *client.Client // for calls
	requester string         // who that is to Pawl
	name      string
}

// act starts one call, and does with it what its plot says.
func (a *crashActor) act(i int) *crashDeed {
	plot := a.plots[a.rand.IntN(len(a.plots))]
	d := &crashDeed{kind: plot.kind, of: a.requester, key: fmt.Sprintf("%s-%d", a.name, i)}
	call := approval.Call{Tool: plot.tool, Agent: "actor", IdempotencyKey: d.key, Timeout: approval.Duration(crashLong), Reason: crashPlant("reason"),
		Args: json.RawMessage(fmt.Sprintf(`{"key":%q,"marker":%q}`, d.key, crashPlant("argument")))}
	if plot.kind == "ignored" || plot.kind == "just in time" {
		call.Timeout = approval.Duration(crashShort)
	}
	var second sync.WaitGroup
	if plot.kind == "asked twice" {
		second.Go(func() { a.begin(d, call, &crashDeed{}) })
	}
	a.begin(d, call, d)
	second.Wait()
	if d.id == "" {
		return d
	}
	hesitation := time.Duration(a.rand.Int64N(int64(300 * time.Millisecond)))
	switch {
	case plot.kind == "allowed", plot.kind == "blocked", plot.kind == "ignored" && plot.trick == "":
		return d
	case plot.kind == "just in time":
		hesitation += crashShort - 200*time.Millisecond
	}
	v, ok := a.asked(d.id)
	if !ok {
		return d
	}
	forge, forged := a.forger(plot.trick, v), 0
	second.Go(func() { forged = forge() })
	<-time.After(hesitation)
	switch plot.kind {
	case "approved", "just in time", "asked twice":
		a.settle(a.ana, d, v, approval.Approve)
	case "rejected":
		a.settle(a.ana, d, v, approval.Reject)
	case "withdrawn":
		done, err := a.asks.Cancel(a.ctx, d.id, "")
		d.undone, d.taken = err == nil && done, err == nil && !done
	case "disputed":
		no := *d
		second.Go(func() { a.settle(a.bo, &no, v, approval.Reject) })
		a.settle(a.ana, d, v, approval.Approve)
		second.Wait()
		if no.settled != "" && d.settled != "" {
			a.t.Errorf("call %s: both its approval and its rejection are said to have settled it", d.id)
		}
		if no.settled != "" {
			d.settled, d.digest = no.settled, no.digest
		}
		d.taken = d.taken || no.taken
	}
	second.Wait()
	d.forged = forged
	if d.settled != "" && a.rand.IntN(2) == 0 { // impatience
		<-time.After(time.Duration(a.rand.Int64N(int64(time.Second))))
		a.repeat(a.ctx, d)
	}
	return d
}

// begin starts a call and notes in into that it was acknowledged.
func (a *crashActor) begin(d *crashDeed, call approval.Call, into *crashDeed) {
	v, _, err := a.asks.Start(a.ctx, call, 0)
	var uncertain *client.UncertainError
	var unreachable *client.UnreachableError
	switch {
	case err == nil && v.ID != approval.KeyedID(d.of, call.IdempotencyKey):
		a.t.Errorf("key %s: started as %s, which is not its ID", d.key, v.ID)
	case err == nil:
		into.id = v.ID
	case errors.As(err, &uncertain), errors.As(err, &unreachable), a.ctx.Err() != nil:
	default:
		a.t.Errorf("starting %s call %s: %v", d.kind, d.key, err)
	}
}

// asked waits until the call waits for people. It gives up when the call has
// ended without them: its time may have been too short.
func (a *crashActor) asked(id string) (v client.View, ok bool) {
	ok = crashPoll(a.ctx, a.patience, func() bool {
		last, err := a.asks.Get(a.ctx, id, 0)
		if err == nil {
			v = last
		}
		return err == nil && v.Status != approval.StatusEvaluating
	})
	if !ok && a.ctx.Err() == nil {
		a.t.Errorf("call %s was started and never asked for: last seen %s", id, v.Status)
	}
	return v, ok && v.Status == approval.StatusPending
}

func (a *crashActor) settle(who crashPerson, d *crashDeed, v client.View, kind approval.DecisionKind) {
	answer, err := a.decide(a.ctx, who, v.ID, d.decision(kind, v.Digest))
	var refused *client.Error
	var uncertain *client.UncertainError
	var unreachable *client.UnreachableError
	switch {
	case err == nil && answer.Outcome == approval.AnswerResolved:
		d.settled, d.digest = kind, v.Digest
	case answer.Outcome == client.NotJudged: // also where asking what became of it failed
		d.taken = true
	case errors.As(err, &refused) && refused.Outcome == approval.AnswerExpired:
		d.late = true
	case errors.As(err, &refused) && refused.Outcome == approval.AnswerAlreadyResolved && d.kind == "disputed":
	case errors.As(err, &uncertain), errors.As(err, &unreachable), a.ctx.Err() != nil:
	default:
		a.t.Errorf("%s call %s: %s was answered %+v, %v", d.kind, v.ID, kind, answer, err)
	}
}

// decision has an ID of its own, so that it counts once however often it is sent.
func (d *crashDeed) decision(kind approval.DecisionKind, digest string) client.Decision {
	return client.Decision{Kind: kind, Digest: digest, ID: d.key + "-" + string(kind)}
}

// repeat sends the decision that settled the call again: it still did.
func (w *crashWorld) repeat(ctx context.Context, d *crashDeed) {
	who := w.ana
	if d.kind == "disputed" && d.settled == approval.Reject {
		who = w.bo
	}
	answer, err := w.decide(ctx, who, d.id, d.decision(d.settled, d.digest))
	var refused *client.Error
	if errors.As(err, &refused) && refused.HTTPStatus < 500 && answer.Outcome != client.NotJudged ||
		err == nil && answer.Outcome != approval.AnswerResolved && answer.Outcome != client.NotJudged {
		w.t.Errorf("%s call %s: the %s that settled it was sent again and answered %+v, %v", d.kind, d.id, d.settled, answer, err)
	}
}

// stands holds what was acknowledged about a call against how it ended.
func (d *crashDeed) stands(l crashLedger) error {
	record, known := l.records[approval.KeyedID(d.of, d.key)]
	if !known {
		if d.id != "" {
			return errors.New("its start was acknowledged, and it is not on record")
		}
		return nil
	}
	v := record.View
	// Failed are tools that were not started, since their worker slept over the
	// answer about the permit: checkRuns sees to it that it did.
	ran := v.Status == approval.StatusExecuted || v.Status == approval.StatusOutcomeUnknown || v.Status == approval.StatusFailed
	fits := true
	switch {
	case d.kind == "allowed":
		fits = ran
	case d.kind == "blocked":
		fits = v.Status == approval.StatusBlocked
	case d.settled == approval.Approve:
		fits = ran
	case d.settled == approval.Reject:
		fits = v.Status == approval.StatusRejected
	case d.late, d.kind == "ignored":
		fits = v.Status == approval.StatusExpired
	case d.undone:
		fits = v.Status == approval.StatusCancelled
	case d.taken && (d.kind == "approved" || d.kind == "asked twice"):
		fits = ran
	case d.taken && d.kind == "rejected":
		fits = v.Status == approval.StatusRejected
	case d.taken && d.kind == "withdrawn":
		fits = v.Status == approval.StatusCancelled
	}
	if fits && d.settled != "" && !l.histories[v.ID].holds(d.decision(d.settled, "").ID) {
		return errors.New("its history does not hold the decision that settled it")
	}
	if n := l.histories[v.ID].worthless(); n < d.forged {
		return fmt.Errorf("its history holds %d forged decisions, and %d were acknowledged", n, d.forged)
	}
	if !fits {
		return fmt.Errorf("it ended %s (%+v) after %+v", v.Status, v.Error, *d)
	}
	return nil
}
