//go:build unix

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	enumspb "go.temporal.io/api/enums/v1"
	temporalclient "go.temporal.io/sdk/client"
)

const (
	crashActors = 12
	// crashShort is how long people have where nobody, or somebody late,
	// decides; crashLong is more than any storm takes.
	crashShort, crashLong = 2 * time.Second, time.Hour
)

// crashDeed is one call of the storm: what was asked for, and what was
// acknowledged.
type crashDeed struct {
	kind    string
	key, id string // id is empty if no start was acknowledged

	settled approval.DecisionKind // this decision was acknowledged as the one that settled the call
	digest  string                // which it named
	taken   bool                  // a decision was acknowledged, unjudged
	late    bool                  // a decision was refused: the call had expired
	undone  bool                  // cancelled, and acknowledged as done
}

// crashPlots are how actors treat a call, and the tools they call.
var crashPlots = []struct{ kind, tool string }{
	{"allowed", "allowed"}, {"allowed", "allowed_slow"}, {"blocked", "unheard_of"},
	{"approved", "guarded"}, {"approved", "slow"}, {"approved", "slow"}, {"rejected", "guarded"},
	{"ignored", "guarded"}, {"just in time", "guarded"}, {"disputed", "slow"}, {"withdrawn", "guarded"}, {"asked twice", "slow"},
}

// crashStorm lets actors start and decide calls while the stack is killed and
// started at random moments. PAWL_CRASH_SECONDS and PAWL_CRASH_SEED make it
// longer, or repeat its choices (not its timing).
func crashStorm(s *crashStack) {
	seconds := s.setting("PAWL_CRASH_SECONDS", 25)
	seed := s.setting("PAWL_CRASH_SEED", uint64(time.Now().UnixNano()))
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("repeat with PAWL_CRASH_SEED=%d", seed)
		}
	})

	ctx, cancel := context.WithCancel(s.t.Context())
	over, enough := context.WithCancel(ctx)
	var actors sync.WaitGroup
	defer actors.Wait() // last of all: actors report to the test
	defer cancel()
	defer enough()
	bo := s.as("bo")
	var deeds [crashActors][]*crashDeed
	for n := range deeds {
		a := &crashActor{
			crashStack: s, ctx: ctx, bo: bo, name: fmt.Sprintf("%d-%d", seed, n),
			rand: rand.New(rand.NewPCG(seed, uint64(n)+1)),
		}
		actors.Go(func() {
			for i := 0; over.Err() == nil; i++ {
				deeds[n] = append(deeds[n], a.act(i))
			}
		})
	}
	blows := s.strike(rand.New(rand.NewPCG(seed, 0)), time.After(time.Duration(seconds)*time.Second))
	enough()
	actors.Wait()

	s.settleRest()
	all := slices.Concat(deeds[:]...)
	temporal := s.temporal()
	for _, d := range all {
		if d.settled == "" {
			continue
		}
		d.repeat(ctx, s.api, bo, s.t)
		if err := d.told(ctx, temporal); err != nil {
			s.t.Errorf("%s call %s: %v", d.kind, d.id, err)
		}
	}
	began := time.Now()
	l := s.check()
	s.t.Logf("seed %d: %d calls; %d kills, %d of them while it started and %d while it stopped; %v; all ended %v after the last decision",
		seed, len(l.records), blows.kills, blows.starting, blows.stopping, l.tally, crashRound(began))
	for _, d := range all {
		if err := d.stands(l); err != nil {
			s.t.Errorf("%s call %s under key %s: %v", d.kind, d.id, d.key, err)
		}
	}
}

// setting is a number from the environment.
func (s *crashStack) setting(name string, otherwise uint64) uint64 {
	s.t.Helper()
	text, set := os.LookupEnv(name)
	if !set {
		return otherwise
	}
	v, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// crashBlows counts what a storm did to the stack.
type crashBlows struct{ kills, starting, stopping int }

// strike kills the stack every one to four seconds until end, and leaves it
// running. Some blows fall while it starts or stops, and some processes show
// every step in Temporal's UI, which takes other ways through the workflow.
func (s *crashStack) strike(r *rand.Rand, end <-chan time.Time) (n crashBlows) {
	upTo := func(most time.Duration) time.Duration { return time.Duration(r.Int64N(int64(most))) }
	for {
		select {
		case <-end:
			return n
		case <-time.After(time.Second + upTo(3*time.Second)):
		}
		if r.IntN(5) == 0 {
			p := s.running
			if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
				s.t.Fatal(err)
			}
			select {
			case <-p.done:
			case <-time.After(upTo(500 * time.Millisecond)):
			}
			n.stopping++
		}
		s.kill()
		n.kills++
		for r.IntN(4) == 0 {
			p := s.spawn()
			select {
			case <-p.done:
				s.t.Fatalf("pawl-dev did not start: %v", p.err)
			case <-time.After(upTo(500 * time.Millisecond)):
			}
			s.kill()
			n.kills++
			n.starting++
		}
		s.start(fmt.Sprintf("--ordinary-steps=%v", r.IntN(3) == 0))
	}
}

// settleRest rejects what still waits: calls whose actor never heard that they
// were started, or whose decision was lost on its way.
func (s *crashStack) settleRest() {
	s.t.Helper()
	s.until("no request waits", func() bool {
		page, err := s.api.Requests(s.t.Context(), client.RequestQuery{})
		if err != nil {
			return false
		}
		for _, v := range page.Items {
			if v.Deadline.After(time.Now().Add(crashPatience)) {
				_, _ = s.api.Decide(s.t.Context(), v.ID, client.Decision{Kind: approval.Reject})
			}
		}
		return len(page.Items) == 0
	})
}

type crashActor struct {
	*crashStack
	ctx  context.Context // ends when the storm is broken off
	rand *rand.Rand
	bo   *client.Client // a second reviewer
	name string
}

// act starts one call, and does with it what its plot says.
func (a *crashActor) act(i int) *crashDeed {
	plot := crashPlots[a.rand.IntN(len(crashPlots))]
	d := &crashDeed{kind: plot.kind, key: fmt.Sprintf("%s-%d", a.name, i)}
	call := approval.Call{Tool: plot.tool, Agent: "actor", IdempotencyKey: d.key, Timeout: approval.Duration(crashLong)}
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
	switch plot.kind {
	case "allowed", "blocked", "ignored":
		return d
	case "just in time":
		hesitation += crashShort - 200*time.Millisecond
	}
	v, ok := a.asked(d.id)
	if !ok {
		return d
	}
	<-time.After(hesitation)
	switch plot.kind {
	case "approved", "just in time", "asked twice":
		a.decide(a.api, d, v, approval.Approve)
	case "rejected":
		a.decide(a.api, d, v, approval.Reject)
	case "withdrawn":
		done, err := a.api.Cancel(a.ctx, d.id, "")
		d.undone, d.taken = err == nil && done, err == nil && !done
	case "disputed":
		no := *d
		second.Go(func() { a.decide(a.bo, &no, v, approval.Reject) })
		a.decide(a.api, d, v, approval.Approve)
		second.Wait()
		if no.settled != "" && d.settled != "" {
			a.t.Errorf("call %s: both its approval and its rejection are said to have settled it", d.id)
		}
		if no.settled != "" {
			d.settled, d.digest = no.settled, no.digest
		}
		d.taken = d.taken || no.taken
	}
	if d.settled != "" && a.rand.IntN(2) == 0 { // impatience
		<-time.After(time.Duration(a.rand.Int64N(int64(time.Second))))
		d.repeat(a.ctx, a.api, a.bo, a.t)
	}
	return d
}

// begin starts a call and notes in into that it was acknowledged.
func (a *crashActor) begin(d *crashDeed, call approval.Call, into *crashDeed) {
	v, _, err := a.api.Start(a.ctx, call, 0)
	var uncertain *client.UncertainError
	var unreachable *client.UnreachableError
	switch {
	case err == nil && v.ID != approval.KeyedID("local", call.IdempotencyKey):
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
	ok = crashPoll(a.ctx, crashPatience, func() bool {
		last, err := a.api.Get(a.ctx, id, 0)
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

func (a *crashActor) decide(as *client.Client, d *crashDeed, v client.View, kind approval.DecisionKind) {
	answer, err := as.Decide(a.ctx, v.ID, d.decision(kind, v.Digest))
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
func (d *crashDeed) repeat(ctx context.Context, ana, bo *client.Client, t *testing.T) {
	as := ana
	if d.kind == "disputed" && d.settled == approval.Reject {
		as = bo
	}
	answer, err := as.Decide(ctx, d.id, d.decision(d.settled, d.digest))
	var refused *client.Error
	if errors.As(err, &refused) && answer.Outcome != client.NotJudged ||
		err == nil && answer.Outcome != approval.AnswerResolved && answer.Outcome != client.NotJudged {
		t.Errorf("%s call %s: the %s that settled it was sent again and answered %+v, %v", d.kind, d.id, d.settled, answer, err)
	}
}

// told looks in history for the signal of the decision that settled the call.
func (d *crashDeed) told(ctx context.Context, temporal temporalclient.Client) error {
	events := temporal.GetWorkflowHistory(ctx, d.id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return err
		}
		for _, p := range e.GetWorkflowExecutionSignaledEventAttributes().GetInput().GetPayloads() {
			var s approval.DecisionSignal
			if json.Unmarshal(p.GetData(), &s) == nil && s.DecisionID == d.decision(d.settled, "").ID {
				return nil
			}
		}
	}
	return errors.New("its history does not hold the decision that settled it")
}

// stands holds what was acknowledged about a call against how it ended.
func (d *crashDeed) stands(l crashLedger) error {
	record, known := l.records[approval.KeyedID("local", d.key)]
	if !known {
		if d.id != "" {
			return errors.New("its start was acknowledged, and it is not on record")
		}
		return nil
	}
	v := record.View
	ran := v.Status == approval.StatusExecuted || v.Status == approval.StatusOutcomeUnknown
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
	if !fits {
		return fmt.Errorf("it ended %s (%+v) after %+v", v.Status, v.Error, *d)
	}
	return nil
}
