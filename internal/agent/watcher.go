package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
)

const (
	// maxPolls bounds the calls that have a long poll of their own: a namespace takes 1200 from
	// everybody together (Temporal's default), and each costs a stream.
	maxPolls = 100

	// sweepEvery is how often the next of the other calls are listed; Temporal answers some ten lists
	// a second for a whole namespace. With 10,000 waiting calls, each is checked every 25 s.
	sweepEvery = 500 * time.Millisecond
	fetches    = 16 // how many ended calls of a list are fetched at once

	// listLag is how long a call that was just started may be missing in lists.
	listLag = time.Minute

	askAfter = time.Second // a call that is waited for this long is asked what it waits for
)

// watcher waits for calls to end: for some by a long poll each, which brings the end at once, for
// all others by one list for many. A call that only waits in a list costs its entry here and no
// goroutine.
type watcher struct {
	core
	waiting func(id string, s approval.State, err error) // of Options

	mu       sync.Mutex
	waits    map[string]*Wait // by call ID
	queue    []*Wait          // those without a poll, in the order of sweeps
	polls    int
	sweeping bool
	running  sync.WaitGroup
}

// Wait is one call that somebody waits for. It is safe for concurrent use.
type Wait struct {
	id, run string
	since   time.Time

	users  int                // guarded by watcher.mu; 0: nobody waits any more
	cancel context.CancelFunc // of its poll; nil without one

	mu       sync.Mutex
	deadline *time.Time
	trouble  error // the last one, while Temporal does not answer

	// Done is closed when the call has ended, or nobody can wait for it any more. The fields below are
	// written before.
	Done    chan struct{}
	Outcome approval.Outcome
	Err     error // of Backend.End, if Permanent; or ErrClosed
}

// Ended is a Wait that is over, for a call whose end is known.
func Ended(o approval.Outcome) *Wait { return over(o, nil) }

func over(o approval.Outcome, err error) *Wait {
	x := &Wait{Done: make(chan struct{}), Outcome: o, Err: err}
	close(x.Done)
	return x
}

// Trouble returns until when people may answer, where that is known, and the last error while
// Temporal does not answer.
func (x *Wait) Trouble() (deadline *time.Time, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.deadline, x.trouble
}

// Join waits for a call until Leave; a run may be given if it is known. Whoever waits for one call
// shares one Wait.
func (w *watcher) Join(id, run string) *Wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x := w.waits[id]; x != nil {
		x.users++
		return x
	}
	if w.ctx.Err() != nil {
		return over(approval.Outcome{}, ErrClosed)
	}
	x := &Wait{id: id, run: run, since: time.Now(), users: 1, Done: make(chan struct{})}
	w.waits[id] = x
	if w.polls < maxPolls {
		w.poll(x)
	} else {
		w.queue = append(w.queue, x)
		w.sweep()
	}
	return x
}

// Leave ends a waiting that Join began.
func (w *watcher) Leave(x *Wait) {
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

// settle ends the wait, once, if this answer of Backend.End says how the call ended, and reports
// whether it does; else it keeps the error for Trouble.
func (w *watcher) settle(x *Wait, o approval.Outcome, err error) bool {
	switch {
	case errors.Is(err, ErrPending):
		return false
	case err != nil && !Permanent(err):
		x.setTrouble(err)
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waits[x.id] == x {
		delete(w.waits, x.id)
		x.Outcome, x.Err = o, err
		close(x.Done)
	}
	return true
}

// poll gives the wait a long poll of its own. The caller holds w.mu.
func (w *watcher) poll(x *Wait) {
	w.polls++
	ctx, cancel := context.WithCancel(w.ctx)
	x.cancel = cancel
	w.running.Go(func() {
		defer cancel()
		ask := time.AfterFunc(askAfter, func() { w.askState(ctx, x) })
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

// follow asks until the call has ended, however often Temporal is away.
func (w *watcher) follow(ctx context.Context, x *Wait) {
	var pause retry.Backoff
	for {
		began := time.Now()
		o, err := w.b.End(ctx, x.id, x.run, true)
		if err != nil && ctx.Err() != nil || w.settle(x, o, err) {
			return
		}
		if time.Since(began) > retry.Most { // it was held for a while, so this is no row of failures
			pause.Reset()
		}
		w.log.DebugContext(ctx, "waiting for a call was interrupted", "id", x.id, "error", err)
		if !pause.Wait(ctx) {
			return
		}
	}
}

// askState learns the deadline, if Pawl says it, and passes on what the call waits for.
func (w *watcher) askState(ctx context.Context, x *Wait) {
	if ctx.Err() != nil {
		return
	}
	state, err := w.b.State(ctx, x.id)
	if ctx.Err() != nil {
		return
	}
	x.mu.Lock()
	x.deadline = state.Deadline
	x.mu.Unlock()
	w.waiting(x.id, state, err)
}

func (x *Wait) setTrouble(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trouble = err
}

// sweep checks the calls of the queue in turn until it is empty. The caller holds w.mu.
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
			if err := w.checkBatch(batch); err != nil {
				w.log.DebugContext(w.ctx, "a list of waiting calls was not answered", "error", err)
				for _, x := range batch {
					x.setTrouble(err)
				}
				pause = min(2*pause, retry.Most)
				continue
			}
			pause = sweepEvery
		}
	})
}

// batch takes the next waits from the queue's front and puts them at its end. It returns nil, and
// the sweeping is over, if none is left.
func (w *watcher) batch() []*Wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	live := slices.DeleteFunc(slices.Clone(w.queue), func(x *Wait) bool { return w.waits[x.id] != x })
	if len(live) == 0 {
		w.queue, w.sweeping = nil, false
		return nil
	}
	n := min(len(live), calls.MaxSweep)
	w.queue = append(live[n:], live[:n]...)
	return live[:n:n]
}

// checkBatch finds out which calls of the batch have ended. Lists may lag behind, so each of those
// is then asked for by itself.
func (w *watcher) checkBatch(batch []*Wait) error {
	ids := make([]string, len(batch))
	for i, x := range batch {
		ids[i] = x.id
	}
	ended, missing, err := w.b.Sweep(w.ctx, ids)
	if err != nil {
		return err
	}
	slots := make(chan struct{}, fetches)
	var all sync.WaitGroup
	for _, x := range batch {
		x.setTrouble(nil)
		lost := slices.Contains(missing, x.id) && time.Since(x.since) > listLag
		if !lost && !slices.Contains(ended, x.id) {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			o, err := w.b.End(w.ctx, x.id, "", false)
			w.settle(x, o, err)
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
		x.Err = ErrClosed
		close(x.Done)
	}
	w.queue = nil
	w.mu.Unlock()
	w.running.Wait()
}

// Waits returns the calls that somebody waits for, by ID.
func (w *watcher) Waits() map[string]*Wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.waits)
}
