package pawl

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/agent"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
)

const (
	// maxPolls bounds the calls that have a long poll of their own: a
	// namespace takes 1200 from everybody together (Temporal's default), and
	// each costs a stream.
	maxPolls = 100

	// sweepEvery is the pace of lists over all other calls; Temporal answers
	// some ten a second for a whole namespace. 10,000 waiting calls are looked
	// at every 25 s.
	sweepEvery = 500 * time.Millisecond
	looks      = 16 // how many ends of a list are fetched at once

	// lagging is how long a call that was just started may be missing in lists.
	lagging = time.Minute

	deadlineAfter = time.Second // a call that waits this long is asked for its deadline
)

// watcher waits for calls to end: for some by a long poll each, which brings
// the end at once, for all others by one list for many. A call that only waits
// in a list costs its entry here and no goroutine.
type watcher struct {
	b   agent.Backend
	log *slog.Logger
	ctx context.Context // ends with the agent

	mu       sync.Mutex
	waits    map[string]*wait // by call ID
	queue    []*wait          // those without a poll, in the order of sweeps
	polls    int
	sweeping bool
	running  sync.WaitGroup
}

// wait is one call that somebody waits for.
type wait struct {
	id, run string
	since   time.Time

	users  int                // guarded by watcher.mu; 0: nobody waits any more
	cancel context.CancelFunc // of its poll; nil without one

	mu       sync.Mutex
	deadline *time.Time
	trouble  error // what stands in the way at the moment

	done    chan struct{} // the fields below are written before it is closed
	outcome approval.Outcome
	err     error
}

func newWatcher(ctx context.Context, b agent.Backend, log *slog.Logger) *watcher {
	return &watcher{b: b, log: log, ctx: ctx, waits: map[string]*wait{}}
}

// join waits for a call until leave. Whoever waits for one ID shares one wait.
func (w *watcher) join(id, run string) *wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := w.waits[id]; x != nil {
		x.users++
		return x
	}
	x := &wait{id: id, run: run, since: time.Now(), users: 1, done: make(chan struct{})}
	if w.ctx.Err() != nil {
		x.err = ErrClosed
		close(x.done)
		return x
	}
	w.waits[id] = x
	if w.polls < maxPolls {
		w.poll(x)
	} else {
		w.queue = append(w.queue, x)
		w.sweep()
	}
	return x
}

func (w *watcher) leave(x *wait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x.users--; x.users > 0 || w.waits[x.id] != x {
		return
	}
	delete(w.waits, x.id)
	if x.cancel != nil {
		x.cancel()
	}
}

// finish ends a wait. A wait ends once.
func (w *watcher) finish(x *wait, o approval.Outcome, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waits[x.id] != x {
		return
	}
	delete(w.waits, x.id)
	x.outcome, x.err = o, err
	close(x.done)
}

// poll gives the wait a long poll of its own. The caller holds w.mu.
func (w *watcher) poll(x *wait) {
	w.polls++
	ctx, cancel := context.WithCancel(w.ctx)
	x.cancel = cancel
	w.running.Go(func() {
		defer cancel()
		ask := time.AfterFunc(deadlineAfter, func() { w.askDeadline(ctx, x) })
		defer ask.Stop()
		w.follow(ctx, x)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.polls--
		for len(w.queue) > 0 && w.polls < maxPolls && w.ctx.Err() == nil {
			next := w.queue[0]
			w.queue = w.queue[1:]
			if w.waits[next.id] == next {
				w.poll(next)
			}
		}
	})
}

// follow asks until the call has ended, however often Temporal goes away.
func (w *watcher) follow(ctx context.Context, x *wait) {
	var pause retry.Backoff
	for {
		began := time.Now()
		o, err := w.b.End(ctx, x.id, x.run, true)
		switch {
		case err == nil:
			w.finish(x, o, nil)
			return
		case ctx.Err() != nil:
			return
		case agent.Permanent(err) && !errors.Is(err, agent.ErrPending):
			w.finish(x, approval.Outcome{}, told(x.id, err))
			return
		}
		if time.Since(began) > retry.Most { // it was held for a while, so this is no row of failures
			pause.Reset()
		}
		x.hit(err)
		w.log.DebugContext(ctx, "waiting for a call was interrupted", "id", x.id, "error", err)
		if !pause.Wait(ctx) {
			return
		}
	}
}

func (w *watcher) askDeadline(ctx context.Context, x *wait) {
	if ctx.Err() != nil {
		return
	}
	state, err := w.b.State(ctx, x.id)
	if err != nil {
		return // it is told where it is known
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.deadline = state.Deadline
}

func (x *wait) hit(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trouble = err
}

// pending says that the wait ended first.
func (x *wait) pending(tool string, why error) *PendingError {
	x.mu.Lock()
	defer x.mu.Unlock()
	return &PendingError{ID: x.id, Tool: tool, Deadline: x.deadline, why: why, trouble: x.trouble}
}

// sweep looks after the queue until it is empty. The caller holds w.mu.
func (w *watcher) sweep() {
	if w.sweeping {
		return
	}
	w.sweeping = true
	w.running.Go(func() {
		pause := sweepEvery
		for retry.Sleep(w.ctx, pause) {
			batch := w.batch()
			if batch == nil {
				return
			}
			if err := w.look(batch); err != nil {
				w.log.DebugContext(w.ctx, "a list of waiting calls was not answered", "error", err)
				for _, x := range batch {
					x.hit(err)
				}
				pause = min(2*pause, retry.Most)
				continue
			}
			pause = sweepEvery
		}
	})
}

// batch takes the next waits from the queue's front and puts them at its end.
// It returns nil, and the sweeping is over, if none is left.
func (w *watcher) batch() []*wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	live := w.queue[:0:0]
	for _, x := range w.queue {
		if w.waits[x.id] == x {
			live = append(live, x)
		}
	}
	if len(live) == 0 {
		w.queue, w.sweeping = nil, false
		return nil
	}
	n := min(len(live), calls.MaxSweep)
	w.queue = append(live[n:], live[:n]...)
	return live[:n:n]
}

// look finds out which calls of the batch have ended. Lists may lag behind, so
// each of those is asked for itself.
func (w *watcher) look(batch []*wait) error {
	ids := make([]string, len(batch))
	for i, x := range batch {
		ids[i] = x.id
	}
	ended, missing, err := w.b.Sweep(w.ctx, ids)
	if err != nil {
		return err
	}
	suspect, unseen := map[string]bool{}, map[string]bool{}
	for _, id := range ended {
		suspect[id] = true
	}
	for _, id := range missing {
		unseen[id] = true
	}
	slots := make(chan struct{}, looks)
	var all sync.WaitGroup
	for _, x := range batch {
		x.hit(nil)
		if !suspect[x.id] && !(unseen[x.id] && time.Since(x.since) > lagging) {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			o, err := w.b.End(w.ctx, x.id, "", false)
			switch {
			case err == nil:
				w.finish(x, o, nil)
			case errors.Is(err, agent.ErrPending):
			case agent.Permanent(err):
				w.finish(x, approval.Outcome{}, told(x.id, err))
			default:
				x.hit(err)
			}
		})
	}
	all.Wait()
	return nil
}

// close ends every wait. The context must have ended before.
func (w *watcher) close() {
	w.mu.Lock()
	for id, x := range w.waits {
		delete(w.waits, id)
		x.err = ErrClosed
		close(x.done)
	}
	w.queue = nil
	w.mu.Unlock()
	w.running.Wait()
}

// has reports whether somebody waits for the call.
func (w *watcher) has(id string) *wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waits[id]
}

// ids returns the calls that somebody waits for.
func (w *watcher) ids() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make(map[string]bool, len(w.waits))
	for id := range w.waits {
		all[id] = true
	}
	return all
}
