package agent

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/tool"
)

const (
	// maxPublication keeps one publication well below Temporal's limit of 2 MiB for one payload. Bytes
	// of schemas and descriptions.
	maxPublication = 1 << 20
	maxTools       = 200 // of one publication

	// warmUp is how long a task waits for its tool while the process that took it still starts; at
	// most half of the task's timeout, so that it can say that nothing ran before Temporal takes it
	// for lost.
	warmUp = 10 * time.Second

	// workerCheckEvery is how often Temporal is asked whether a Pawl worker polls at all, while a
	// publication is under way. One that polls takes it sooner.
	workerCheckEvery = 5 * time.Second

	// workerChecks in a row must have seen no worker before waiting callers get an error: a Temporal
	// that has just restarted has forgotten who polls, and workers come back to it within seconds.
	workerChecks = 6
)

// publisher holds the tools that the agent guards, and puts each into the catalogue before a call
// of it is started.
type publisher struct {
	core
	agent       string
	unpublished func(tool, reason string, cause, trouble error) error // of Options

	mu      sync.Mutex
	offers  []*offer
	more    chan struct{} // closed and made anew when an offer comes
	busy    bool
	running sync.WaitGroup
}

type offer struct {
	tool     *tool.Tool
	accepted bool
	round    *round // under way; nil: before the first, and after one has ended
}

// round is one attempt to get an offer into the catalogue.
type round struct {
	done    chan struct{}
	failed  error // written before done is closed; nil: the tool was taken
	trouble error // guarded by publisher.mu
}

// errNoWorker: no worker is there to take a publication, which is tried again all the same.
var errNoWorker = errors.New("no Pawl worker polls")

// named returns the offer of a tool, or nil. The caller holds p.mu.
func (p *publisher) named(tool string) *offer {
	if i := slices.IndexFunc(p.offers, func(o *offer) bool { return o.tool.Name() == tool }); i >= 0 {
		return p.offers[i]
	}
	return nil
}

func (p *publisher) offer(t *tool.Tool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.named(t.Name()) != nil {
		return approval.Errorf(approval.CodeInvalid,
			"tool %s is guarded already; a name can be used once", t.Name())
	}
	p.offers = append(p.offers, &offer{tool: t})
	close(p.more)
	p.more = make(chan struct{})
	return nil
}

// find returns the tool of this name, or nil if none came within warmUp.
func (p *publisher) find(ctx context.Context, name string) *tool.Tool {
	patience := warmUp
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		p.mu.Lock()
		o, more := p.named(name), p.more
		p.mu.Unlock()
		if o != nil {
			return o.tool
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *publisher) names() (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.offers {
		names = append(names, o.tool.Name())
	}
	return names
}

// await returns once the tool is in the catalogue, and at once if it is not the agent's own. After
// a refusal the next await publishes the tool again.
func (p *publisher) await(ctx context.Context, name string) error {
	p.mu.Lock()
	o := p.named(name)
	if o == nil || o.accepted {
		p.mu.Unlock()
		return nil
	}
	if o.round == nil {
		o.round = &round{done: make(chan struct{})}
	}
	r := o.round
	if !p.busy && p.ctx.Err() == nil {
		p.busy = true
		p.running.Go(p.run)
	}
	p.mu.Unlock()

	select {
	case <-r.done:
		return r.failed
	case <-p.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.unpublished(name, "", Stopped(ctx), r.trouble)
	}
}

// run publishes until nobody waits for it.
func (p *publisher) run() {
	publishing, stop := context.WithCancel(p.ctx)
	defer stop()
	p.running.Go(func() { p.checkWorkers(publishing) })
	var pause retry.Backoff
	for {
		batch, doc := p.next()
		if batch == nil {
			return
		}
		done, err := p.b.Publish(p.ctx, doc)
		if p.ctx.Err() != nil {
			return
		}
		if Permanent(err) {
			for _, o := range batch {
				refused := approval.RefusedTool{Name: o.tool.Name(), Reason: err.Error()}
				done.Refused = append(done.Refused, refused)
			}
			err = nil
		}
		if err == nil {
			p.settle(batch, done)
			pause.Reset()
			continue
		}
		p.log.WarnContext(p.ctx, "tools could not be published; trying again", "tools", len(batch), "error", err)
		p.mu.Lock()
		for _, o := range batch {
			if o.round != nil {
				o.round.trouble = err
			}
		}
		p.mu.Unlock()
		if !pause.Wait(p.ctx) {
			return
		}
	}
}

// checkWorkers fails those who wait, whenever no worker is there to take the publication. As long
// as Temporal does not say, they go on waiting.
func (p *publisher) checkWorkers(ctx context.Context) {
	warned := false
	for missed := 0; retry.Sleep(ctx, workerCheckEvery); {
		polled, where, err := p.b.Polled(ctx)
		if missed++; err != nil || polled {
			missed = 0
		}
		if missed < workerChecks {
			continue
		}
		missed = 0
		p.mu.Lock()
		if ctx.Err() != nil { // it was taken meanwhile
			p.mu.Unlock()
			return
		}
		for _, o := range p.offers {
			if r := o.round; r != nil {
				o.round = &round{done: make(chan struct{}), trouble: r.trouble}
				r.failed = p.unpublished(o.tool.Name(), "nobody polls "+where+
					": start `pawl worker`, or check TEMPORAL_NAMESPACE and Options.TaskQueue", errNoWorker, nil)
				close(r.done)
			}
		}
		p.mu.Unlock()
		if !warned {
			warned = true
			p.log.WarnContext(ctx, "tools can't be published, because no Pawl worker polls; trying again",
				"where", where)
		}
	}
}

// next takes the tools that are not in the catalogue, if somebody waits for one of them: those that
// are guarded one after the other are published together.
func (p *publisher) next() ([]*offer, approval.Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var wanted, others []*offer
	for _, o := range p.offers {
		switch {
		case o.accepted:
		case o.round != nil:
			wanted = append(wanted, o)
		default:
			others = append(others, o)
		}
	}
	if len(wanted) == 0 {
		p.busy = false
		return nil, approval.Publication{}
	}
	doc, size := approval.Publication{Agent: p.agent}, 0
	var batch []*offer
	for _, o := range append(wanted, others...) {
		t := o.tool
		spec := approval.ToolSpec{
			Name: t.Name(), Description: t.Description(), Schema: t.Schema(), Idempotent: t.Idempotent(),
			Timeout: approval.Duration(t.Timeout()), Heartbeat: approval.Duration(runner.HeartbeatTimeout),
		}
		size += len(spec.Schema) + len(spec.Description) + 1<<10
		if len(batch) == maxTools || size > maxPublication && len(batch) > 0 {
			break
		}
		doc.Tools, batch = append(doc.Tools, spec), append(batch, o)
		if o.round == nil {
			o.round = &round{done: make(chan struct{})}
		}
	}
	return batch, doc
}

func (p *publisher) settle(batch []*offer, done approval.Published) {
	refused := map[string]string{}
	for _, r := range done.Refused {
		refused[r.Name] = cmp.Or(r.Reason, "no reason was given")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range batch {
		reason, no := refused[o.tool.Name()]
		if no {
			p.log.ErrorContext(p.ctx, "a tool was refused", "tool", o.tool.Name(), "reason", reason)
			o.round.failed = p.unpublished(o.tool.Name(), reason, nil, nil)
		}
		o.accepted = !no
		close(o.round.done)
		o.round = nil
	}
}

// close waits for what is under way. The context must have ended before.
func (p *publisher) close() {
	p.mu.Lock()
	p.busy = true // nothing begins any more
	p.mu.Unlock()
	p.running.Wait()
}
