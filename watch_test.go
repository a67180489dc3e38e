package pawl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/agent"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
)

// lake is a Temporal full of calls that only end.
type lake struct {
	agent.Backend

	mu      sync.Mutex
	ended   map[string]chan struct{}
	gone    map[string]bool
	away    bool // nothing answers
	polls   int
	most    int // polls at once
	asked   int // End and Sweep
	sweeps  []time.Time
	biggest int
}

func newLake() *lake { return &lake{ended: map[string]chan struct{}{}, gone: map[string]bool{}} }

var errAway = errors.New("nobody answers")

func (l *lake) End(ctx context.Context, id, _ string, wait bool) (approval.Outcome, error) {
	l.mu.Lock()
	l.asked++
	done, known, gone, away := l.ended[id], l.ended[id] != nil, l.gone[id], l.away
	if wait {
		l.polls++
		l.most = max(l.most, l.polls)
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.polls--
		}()
	}
	l.mu.Unlock()
	switch {
	case away:
		return approval.Outcome{}, errAway
	case gone:
		return approval.Outcome{}, &agent.GoneError{How: "was terminated"}
	case !known:
		return approval.Outcome{}, calls.ErrUnknown
	}
	if wait {
		select {
		case <-done:
		case <-ctx.Done():
			return approval.Outcome{}, ctx.Err()
		}
	}
	select {
	case <-done:
		return approval.Outcome{ID: id, Status: approval.StatusExecuted, Result: []byte(`1`)}, nil
	default:
		return approval.Outcome{}, agent.ErrPending
	}
}

func (l *lake) Sweep(_ context.Context, ids []string) (ended, missing []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	l.sweeps = append(l.sweeps, time.Now())
	l.biggest = max(l.biggest, len(ids))
	if l.away {
		return nil, nil, errAway
	}
	for _, id := range ids {
		done, known := l.ended[id]
		if !known || l.gone[id] {
			missing = append(missing, id)
			continue
		}
		select {
		case <-done:
			ended = append(ended, id)
		default:
		}
	}
	return ended, missing, nil
}

func (l *lake) State(context.Context, string) (approval.State, error) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	return approval.State{View: approval.View{Deadline: &at}}, nil
}

func (l *lake) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *lake) open(id string) { l.set(func() { l.ended[id] = make(chan struct{}) }) }

func (l *lake) end(id string) { l.set(func() { close(l.ended[id]) }) }

// joined opens calls and waits for each.
func (l *lake) joined(w *watcher, ids []string) (waits []*wait) {
	for _, id := range ids {
		l.open(id)
		waits = append(waits, w.join(id, ""))
	}
	return waits
}

func numbered(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("call-%d", i))
	}
	return ids
}

// watching runs a test with a watcher, in a bubble where time costs nothing.
func watching(t *testing.T, l *lake, f func(t *testing.T, w *watcher)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWatcher(ctx, l, slog.New(slog.DiscardHandler))
		f(t, w)
		cancel()
		w.close()
	})
}

func isDone(x *wait) bool {
	select {
	case <-x.done:
		return true
	default:
		return false
	}
}

func TestWaitsBeyondThePollsAreSwept(t *testing.T) {
	ids := numbered(1000)
	l := newLake()
	watching(t, l, func(t *testing.T, w *watcher) {
		waits := l.joined(w, ids)
		synctest.Wait()
		if l.polls != maxPolls {
			t.Errorf("%d polls", l.polls)
		}
		// One with a poll ends at once, the last in the queue within one round.
		l.end(ids[0])
		synctest.Wait()
		if !isDone(waits[0]) {
			t.Error("a call with a poll of its own was not told at once")
		}
		l.end(ids[999])
		time.Sleep(time.Duration(len(ids)/calls.MaxSweep+1) * sweepEvery)
		synctest.Wait()
		if !isDone(waits[999]) || waits[999].outcome.ID != ids[999] {
			t.Errorf("after a whole round: %+v, %v", waits[999].outcome, waits[999].err)
		}
		for _, id := range ids[1:999] {
			l.end(id)
		}
		for _, x := range waits {
			<-x.done
			if x.err != nil || x.outcome.ID != x.id {
				t.Fatalf("%+v, %v", x.outcome, x.err)
			}
		}
		if l.most > maxPolls || l.biggest > calls.MaxSweep {
			t.Errorf("%d polls at once, lists of %d", l.most, l.biggest)
		}
		for i := 1; i < len(l.sweeps); i++ {
			if d := l.sweeps[i].Sub(l.sweeps[i-1]); d < sweepEvery {
				t.Errorf("two lists within %v", d)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(l.sweeps); len(w.waits) > 0 || w.polls != 0 || w.sweeping {
			t.Errorf("%d lists; left behind: %d waits, %d polls, sweeping %t", n, len(w.waits), w.polls, w.sweeping)
		}
	})
}

func TestWaitingSurvivesAnOutageWithoutHaste(t *testing.T) {
	ids := numbered(maxPolls + 1)
	l := newLake()
	watching(t, l, func(t *testing.T, w *watcher) {
		l.away = true
		waits := l.joined(w, ids)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		// Each of 101 callers asks every 5 to 10 s at last.
		if most := len(ids) * (10*60/5 + 10); l.asked > most {
			t.Errorf("%d questions in ten minutes, want at most %d", l.asked, most)
		}
		for _, i := range []int{0, maxPolls} {
			if p := waits[i].pending("t", context.Canceled); !errors.Is(p.trouble, errAway) {
				t.Errorf("%v does not tell of the trouble", p)
			}
		}
		l.set(func() { l.away = false })
		for _, id := range ids {
			l.end(id)
		}
		time.Sleep(2 * retry.Most)
		synctest.Wait()
		for _, x := range waits {
			if !isDone(x) || x.err != nil {
				t.Errorf("%s: %v", x.id, x.err)
			}
		}
	})
}

func TestCutOffCallsEndTheWait(t *testing.T) {
	ids := numbered(maxPolls + 3)
	l := newLake()
	watching(t, l, func(t *testing.T, w *watcher) {
		waits := l.joined(w, ids)
		terminated, deleted := waits[maxPolls+1], waits[maxPolls+2]
		l.set(func() {
			l.gone[terminated.id] = true
			delete(l.ended, deleted.id)
		})
		never := w.join("never", "")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if isDone(deleted) {
			t.Error("a call that lists do not show yet was given up")
		}
		time.Sleep(lagging)
		synctest.Wait()
		for x, want := range map[*wait]error{terminated: ErrGone, deleted: ErrUnknownCall, never: ErrUnknownCall} {
			if !isDone(x) || !errors.Is(x.err, want) {
				t.Errorf("%s: %v, want %v", x.id, x.err, want)
			}
		}
	})
}

func TestLeavingFreesAPoll(t *testing.T) {
	ids := numbered(maxPolls + 1)
	l := newLake()
	watching(t, l, func(t *testing.T, w *watcher) {
		waits := l.joined(w, ids)
		again := w.join(ids[0], "")
		if again != waits[0] {
			t.Error("one call is waited for twice")
		}
		w.leave(again)
		synctest.Wait()
		if waits[maxPolls].cancel != nil {
			t.Error("the poll went, though somebody still waits")
		}
		w.leave(waits[0])
		synctest.Wait()
		l.end(ids[maxPolls]) // the last one has a poll now
		synctest.Wait()
		if !isDone(waits[maxPolls]) {
			t.Error("a freed poll was not given to the call that was first in the queue")
		}
		if len(w.waits) != maxPolls-1 {
			t.Errorf("%d waits", len(w.waits))
		}
	})
}

func TestDeadlineIsKnownAfterAWhile(t *testing.T) {
	l := newLake()
	watching(t, l, func(t *testing.T, w *watcher) {
		l.open("a")
		x := w.join("a", "")
		if p := x.pending("t", context.Canceled); p.Deadline != nil {
			t.Errorf("%v", p)
		}
		time.Sleep(2 * deadlineAfter)
		synctest.Wait()
		if p := x.pending("t", context.Canceled); p.Deadline == nil || !errors.Is(p, context.Canceled) {
			t.Errorf("%v", p)
		}
	})
}

func TestClosingEndsEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := numbered(maxPolls + 5)
		l := newLake()
		ctx, cancel := context.WithCancel(t.Context())
		w := newWatcher(ctx, l, slog.New(slog.DiscardHandler))
		waits := l.joined(w, ids)
		cancel()
		w.close()
		for _, x := range append(waits, w.join("late", "")) {
			if !isDone(x) || !errors.Is(x.err, ErrClosed) {
				t.Errorf("%s: %v", x.id, x.err)
			}
		}
	})
}
