package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
)

// fakeCalls is a Backend full of calls that only end.
type fakeCalls struct {
	Backend

	mu      sync.Mutex
	ended   map[string]chan struct{}
	gone    map[string]bool
	away    bool // nothing answers
	polls   int
	most    int // polls at once
	asked   int // End and Sweep
	sweeps  []time.Time
	biggest int
	told    []string // that these wait
}

func (l *fakeCalls) waiting(id string, _ approval.State, _ error) {
	l.set(func() { l.told = append(l.told, id) })
}

func newFakeCalls() *fakeCalls {
	return &fakeCalls{ended: map[string]chan struct{}{}, gone: map[string]bool{}}
}

var errAway = errors.New("nobody answers")

func (l *fakeCalls) End(ctx context.Context, id, _ string, wait bool) (approval.Outcome, error) {
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
		return approval.Outcome{}, &GoneError{How: "was terminated"}
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
		return approval.Outcome{}, ErrPending
	}
}

func (l *fakeCalls) Sweep(_ context.Context, ids []string) (ended, missing []string, err error) {
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

func (l *fakeCalls) State(context.Context, string) (approval.State, error) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	return approval.State{View: approval.View{Deadline: &at}}, nil
}

func (l *fakeCalls) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *fakeCalls) open(id string) { l.set(func() { l.ended[id] = make(chan struct{}) }) }

func (l *fakeCalls) end(id string) { l.set(func() { close(l.ended[id]) }) }

// joined opens calls and waits for each.
func (l *fakeCalls) joined(w *watcher, ids []string) (waits []*Wait) {
	for _, id := range ids {
		l.open(id)
		waits = append(waits, w.Join(id, ""))
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
func watching(t *testing.T, l *fakeCalls, f func(t *testing.T, w *watcher)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &watcher{core: core{l, slog.New(slog.DiscardHandler), ctx}, waiting: l.waiting, waits: map[string]*Wait{}}
		f(t, w)
		cancel()
		w.close()
	})
}

func isDone(x *Wait) bool {
	select {
	case <-x.Done:
		return true
	default:
		return false
	}
}

func TestWaitsBeyondThePollsAreSwept(t *testing.T) {
	ids := numbered(1000)
	l := newFakeCalls()
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
			t.Error("a call with a poll of its own did not end its wait at once")
		}
		l.end(ids[999])
		time.Sleep(time.Duration(len(ids)/calls.MaxSweep+1) * sweepEvery)
		synctest.Wait()
		if !isDone(waits[999]) || waits[999].Outcome.ID != ids[999] {
			t.Errorf("after a whole round: %+v, %v", waits[999].Outcome, waits[999].Err)
		}
		for _, id := range ids[1:999] {
			l.end(id)
		}
		for _, x := range waits {
			<-x.Done
			if x.Err != nil || x.Outcome.ID != x.id {
				t.Fatalf("%+v, %v", x.Outcome, x.Err)
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
	l := newFakeCalls()
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
			if _, err := waits[i].Trouble(); !errors.Is(err, errAway) {
				t.Errorf("the trouble is %v", err)
			}
		}
		l.set(func() { l.away = false })
		for _, id := range ids {
			l.end(id)
		}
		time.Sleep(2 * retry.Most)
		synctest.Wait()
		for _, x := range waits {
			if !isDone(x) || x.Err != nil {
				t.Errorf("%s: %v", x.id, x.Err)
			}
		}
	})
}

func TestCutOffCallsEndTheWait(t *testing.T) {
	ids := numbered(maxPolls + 3)
	l := newFakeCalls()
	watching(t, l, func(t *testing.T, w *watcher) {
		waits := l.joined(w, ids)
		terminated, deleted := waits[maxPolls+1], waits[maxPolls+2]
		l.set(func() {
			l.gone[terminated.id] = true
			delete(l.ended, deleted.id)
		})
		never := w.Join("never", "")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if isDone(deleted) {
			t.Error("a call that lists do not show yet was given up")
		}
		time.Sleep(listLag)
		synctest.Wait()
		for x, want := range map[*Wait]error{terminated: new(GoneError), deleted: calls.ErrUnknown, never: calls.ErrUnknown} {
			gone := errors.As(want, new(*GoneError)) && errors.As(x.Err, new(*GoneError))
			if !isDone(x) || !gone && !errors.Is(x.Err, want) {
				t.Errorf("%s: %v, want %v", x.id, x.Err, want)
			}
		}
	})
}

func TestLeavingFreesAPoll(t *testing.T) {
	ids := numbered(maxPolls + 1)
	l := newFakeCalls()
	watching(t, l, func(t *testing.T, w *watcher) {
		waits := l.joined(w, ids)
		again := w.Join(ids[0], "")
		if again != waits[0] {
			t.Error("one call is waited for twice")
		}
		w.Leave(again)
		synctest.Wait()
		if waits[maxPolls].cancel != nil {
			t.Error("the poll went, though somebody still waits")
		}
		w.Leave(waits[0])
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
	l := newFakeCalls()
	watching(t, l, func(t *testing.T, w *watcher) {
		l.open("a")
		x := w.Join("a", "")
		if deadline, _ := x.Trouble(); deadline != nil {
			t.Errorf("%v", deadline)
		}
		l.open("b")
		soon := w.Join("b", "")
		w.Join("a", "") // a second who waits for it is no second call
		time.Sleep(askAfter / 2)
		w.Leave(soon)
		time.Sleep(2 * askAfter)
		synctest.Wait()
		if deadline, err := x.Trouble(); deadline == nil || err != nil {
			t.Errorf("%v, %v", deadline, err)
		}
		if !slices.Equal(l.told, []string{"a"}) {
			t.Errorf("told that these wait: %v", l.told)
		}
	})
}

func TestClosingEndsEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := numbered(maxPolls + 5)
		l := newFakeCalls()
		ctx, cancel := context.WithCancel(t.Context())
		w := &watcher{core: core{l, slog.New(slog.DiscardHandler), ctx}, waiting: l.waiting, waits: map[string]*Wait{}}
		waits := l.joined(w, ids)
		cancel()
		w.close()
		for _, x := range append(waits, w.Join("late", "")) {
			if !isDone(x) || !errors.Is(x.Err, ErrClosed) {
				t.Errorf("%s: %v", x.id, x.Err)
			}
		}
	})
}
