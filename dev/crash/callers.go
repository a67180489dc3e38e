//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
)

// Scripts of calls whose tool the actor runs itself. raced: two processes of one agent ask under one
// key. silent: nobody reports. withdrawn: while its caller tries to start it.
var callerScripts = []script{
	{"run", "shell", ""}, {"run", "shell_allowed", ""}, {"run", "shell", "forged report"},
	{"raced", "shell_allowed", ""}, {"raced", "shell", ""}, {"silent", "shell_allowed", ""},
	{"run withdrawn", "shell", ""},
}

// silentReport is how long a caller that stays silent has to report.
const silentReport = 2 * time.Second

// callerRun is what a caller did: it started the tool, and what it reported was taken.
type callerRun struct{ started, reported bool }

// runAsCaller does what the script says with a call that the actor runs.
func (a *actor) runAsCaller(c *actorCall, call approval.Call, s script) {
	if s.kind == "silent" {
		call.ReportWithin = approval.Duration(silentReport)
	}
	processes := 1
	if s.kind == "raced" {
		processes = 2
	}
	runs := make([]callerRun, processes)
	ids := make([]string, processes)
	pauses := make([]time.Duration, processes)
	for i := range pauses {
		pauses[i] = time.Duration(a.rand.Int64N(int64(300 * time.Millisecond)))
	}
	withdrawn := time.Duration(a.rand.Int64N(int64(800 * time.Millisecond)))
	var all sync.WaitGroup
	for i := range processes {
		p := &callerProcess{actor: a, script: s, pause: pauses[i], startID: fmt.Sprintf("process-%d-of-call-%s", i, c.key)}
		all.Go(func() { ids[i], runs[i] = p.run(call) })
	}
	if s.kind == "run withdrawn" {
		id := approval.KeyedID(c.subject, c.key)
		all.Go(func() {
			<-time.After(withdrawn)
			done, err := a.client.Cancel(a.ctx, id, "")
			c.undone, c.unjudged = err == nil && done, err == nil && !done
		})
	}
	all.Wait()
	for i, r := range runs {
		c.id = ids[i]
		c.started, c.reported = c.started || r.started, c.reported || r.reported
		if i > 0 && r.started && runs[0].started {
			a.t.Errorf("call %s: two processes were told to run its tool", c.id)
		}
	}
}

// callerProcess is one process that asks for a call and runs its tool.
type callerProcess struct {
	*actor
	script  script
	startID string
	pause   time.Duration // so long the tool takes
}

func (p *callerProcess) run(call approval.Call) (id string, r callerRun) {
	var b client.Begun
	lost := false
	ok := p.insist("asking", func() (err error) {
		b, err = p.client.StartAs(p.ctx, call, p.startID, 200*time.Millisecond)
		if lost = isCode(err, rest.CodeStarted, rest.CodeEnded); lost {
			return nil
		}
		return err
	})
	if id = b.ID; lost {
		return approval.KeyedID(p.subject, call.IdempotencyKey), r
	}
	for approved := false; ok && !b.Started; {
		switch b.Status {
		case approval.StatusPending:
			approved = approved || p.approves(b.View)
		case approval.StatusApproved:
			begun, final := p.start(id)
			if b.Started = begun.Started; b.Started {
				b = begun
				continue
			}
			if final {
				return id, r
			}
		case approval.StatusEvaluating:
		default: // it has ended, or somebody else runs it
			return id, r
		}
		ok = p.insist("waiting", func() error {
			news, err := p.client.WaitChanged(p.ctx, time.Second, rest.WaitCall{ID: id, Revision: b.Revision})
			switch {
			case err != nil || len(news) == 0:
			case news[0].Call != nil:
				b.Request.View = *news[0].Call
			case news[0].Outcome != nil:
				b.Status = news[0].Outcome.Status
			}
			return err
		})
	}
	if !ok {
		return id, r
	}
	// From here on it is the only one, for good.
	r.started = true
	p.tools.count(id, b.Digest, keyIn(b.Args))
	if keyIn(b.Args) != call.IdempotencyKey {
		p.t.Errorf("call %s: its caller was told to run it with %s", id, b.Args)
	}
	if p.script.attack == "forged report" {
		p.forgeReport(id)
	}
	<-time.After(p.pause)
	if p.script.kind == "silent" {
		return id, r
	}
	report := approval.ReportSignal{
		StartID: p.startID, Status: approval.ReportExecuted,
		Result: json.RawMessage(fmt.Sprintf(`{"marker":%q,"ran":%q}`, planted("result"), p.startID)),
	}
	p.insist("reporting", func() error {
		ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
		defer cancel()
		v, err := p.client.Report(ctx, id, report)
		if err == nil && v.Status != approval.StatusExecuted && v.Status.Ended() {
			p.t.Errorf("call %s: its report as executed was answered %s (%+v)", id, v.Status, v.Error)
		}
		r.reported = err == nil && v.Status.Ended()
		if err == nil && !r.reported {
			return errUnread
		}
		return err
	})
	return id, r
}

// errUnread: a report was taken, and nobody has read it yet.
var errUnread = errors.New("the report is not read yet")

// insist asks again until there is an answer. It reports false when the storm is broken off, or after
// an error.
func (p *callerProcess) insist(doing string, ask func() error) bool {
	var last error
	ok := poll(p.ctx, p.stormPatience, func() bool {
		last = ask()
		var refused *client.Error
		again := unanswered(last) || errors.Is(last, errUnread) || errors.As(last, &refused) && refused.HTTPStatus >= 500
		return !again
	})
	if (!ok || last != nil) && p.ctx.Err() == nil {
		p.t.Errorf("the caller %s, %s: %v", p.startID, doing, last)
	}
	return ok && last == nil
}

// approves lets ana approve the call, and reports whether that needs no other try.
func (p *callerProcess) approves(v client.View) bool {
	d := client.Decision{Kind: approval.Approve, Digest: v.Digest, ID: v.ID + "-by-ana"}
	answer, err := p.decide(p.ctx, p.ana, v.ID, d)
	var refused *client.Error
	switch {
	case err == nil:
	case errors.As(err, &refused) && refused.Outcome == approval.AnswerAlreadyResolved: // it was withdrawn
	case unanswered(err), p.ctx.Err() != nil:
		return false
	default:
		p.t.Errorf("call %s: its approval was answered %+v, %v", v.ID, answer, err)
	}
	return true
}

// start starts the tool, if the call still may. final: it never will for this process.
func (p *callerProcess) start(id string) (b client.Begun, final bool) {
	p.insist("starting", func() (err error) {
		b, err = p.client.StartTool(p.ctx, id, p.startID)
		if final = isCode(err, rest.CodeStarted, rest.CodeEnded); final || isCode(err, rest.CodeNotApproved) {
			return nil
		}
		return err
	})
	return b, final
}

// isCode reports whether the API answered with one of these codes.
func isCode(err error, codes ...string) bool {
	var refused *client.Error
	return errors.As(err, &refused) && slices.Contains(codes, refused.Code)
}

// forgeReport sends a report as somebody does who may write to Temporal and does not know who started
// the tool.
func (p *callerProcess) forgeReport(id string) {
	keys, err := p.keysOf(p.rand.IntN(2) == 0)
	if err != nil {
		p.t.Errorf("forging a report: %v", err)
		return
	}
	_ = p.signal(id, approval.SignalReport, approval.ReportSignal{
		StartID: forgedPrefix + approval.NewID(), Status: approval.ReportExecuted, Result: json.RawMessage(`"forged"`),
	}, keys) // Temporal may be away
}

// ran holds a call that its actor ran against how it ended.
func (c *actorCall) ran(v approval.View) bool {
	switch {
	case c.reported:
		return v.Status == approval.StatusExecuted
	case c.undone:
		return v.Status == approval.StatusCancelled && !c.started
	case c.kind == "silent" && c.started:
		return v.Status == approval.StatusOutcomeUnknown && v.Error.Code == approval.CodeNotReported
	case c.kind == "run withdrawn" && c.unjudged:
		return v.Status == approval.StatusCancelled || c.started
	}
	return true
}
