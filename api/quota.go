package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/time/rate"
)

// Limits bound what one principal may ask for. Each API process counts requests for itself; what is
// pending is counted in the store.
type Limits struct {
	// PerSecond is how many requests that change something (starts, decisions, withdrawals, …) are
	// taken in the long run. Default: DefaultPerSecond; negative: any number.
	PerSecond float64
	// Burst is how many are taken at once. Default: two seconds' worth.
	Burst int
	// Pending is how many calls may wait for people at the same time. One API process keeps to it
	// however many calls are started at once; of several, each learns of the others' calls when the
	// store has them. Default: DefaultPending; negative: any number.
	Pending int
	// Waits is how many requests of one caller may wait for calls to end, at the same time. Default:
	// twice Pending, where that is bounded; negative: any number.
	Waits int
}

// Defaults of Limits. A person answers a few requests in a minute.
const (
	DefaultPerSecond = 100
	DefaultPending   = 200
)

func (l *Limits) validate() error {
	if l.Burst < 0 {
		return fmt.Errorf("api: Options.Limits.Burst %d is negative", l.Burst)
	}
	if l.Pending > store.ExactTotal {
		return fmt.Errorf("api: Options.Limits.Pending %d is more than the %d that are counted",
			l.Pending, store.ExactTotal)
	}
	l.PerSecond = cmp.Or(l.PerSecond, DefaultPerSecond)
	l.Burst = cmp.Or(l.Burst, max(1, int(2*l.PerSecond)))
	l.Pending = cmp.Or(l.Pending, DefaultPending)
	l.Waits = cmp.Or(l.Waits, 2*l.Pending)
	return nil
}

const (
	// recount is how long a count of pending calls is used, if it leaves room for all that were
	// started since.
	recount = 2 * time.Second
	// recountPause is how soon the store is asked again about many calls that it did not know.
	recountPause = 100 * time.Millisecond
	// unseenFor is how long a call counts that the store does not know: it may never have been started.
	unseenFor = 10 * time.Minute
)

// quotas keep principals to Limits.
type quotas struct {
	limits Limits
	store  Store
	log    *slog.Logger

	mu sync.Mutex
	of *lru[string, *quota]
}

// quota is one principal's.
type quota struct {
	requests *rate.Limiter
	waits    int // requests that wait now
	pending  *pendingCalls
}

// pendingCalls bounds how many calls of one principal wait for people: those that the store has, and
// those that were started and may not be there yet.
type pendingCalls struct {
	mu      sync.Mutex // held while the store counts, so that calls that start at once see each other
	counted int
	at      time.Time            // of that count
	started map[string]time.Time // by call ID; the store may have counted some of them already
	exactAt time.Time            // when none of those was in the store
}

func (p *pendingCalls) most() int { return p.counted + len(p.started) }

func newQuotas(l Limits, s Store, log *slog.Logger) *quotas {
	return &quotas{limits: l, store: s, log: log, of: newLRU[string, *quota](maxRemembered)}
}

func (q *quotas) quota(subject string) *quota {
	one, known := q.of.get(subject)
	if !known {
		limit := rate.Limit(q.limits.PerSecond)
		if limit < 0 {
			limit = rate.Inf
		}
		one = &quota{
			requests: rate.NewLimiter(limit, q.limits.Burst),
			pending:  &pendingCalls{started: map[string]time.Time{}},
		}
		q.of.put(subject, one)
	}
	return one
}

// countRequest fails if a principal asks too fast.
func (q *quotas) countRequest(subject string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	asked := q.quota(subject).requests
	if asked.Allow() {
		return nil
	}
	wait := time.Duration((1 - asked.Tokens()) / float64(asked.Limit()) * float64(time.Second))
	return tooMany(rest.CodeTooManyRequests, wait,
		fmt.Sprintf("You send more than %v requests a second, the most that one caller may.", q.limits.PerSecond))
}

// hold counts a request that waits, until the caller calls done. It fails if too many wait already.
// Where nobody is authenticated, callers are not told apart, and any number may wait.
func (q *quotas) hold(p auth.Principal, wait time.Duration) (done func(), err error) {
	if wait <= 0 || q.limits.Waits < 0 || !p.Authenticated() {
		return func() {}, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	one := q.quota(p.Subject)
	if one.waits >= q.limits.Waits {
		return nil, tooMany(rest.CodeTooManyWaits, waitsPause,
			fmt.Sprintf("%d of your requests wait for calls to end, the most that may at the same time. "+
				"Wait for fewer calls, or ask without wait.", one.waits))
	}
	one.waits++
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		one.waits--
	}, nil
}

func (q *quotas) pendingOf(requester string) *pendingCalls {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.quota(requester).pending
}

// addPending counts a call that is about to be started, or fails if too many of its requester's wait
// for people.
func (q *quotas) addPending(ctx context.Context, requester, id string) error {
	if q.limits.Pending < 0 {
		return nil
	}
	one := q.pendingOf(requester)
	one.mu.Lock()
	defer one.mu.Unlock()
	var err error
	if time.Since(one.at) >= recount {
		err = q.count(ctx, requester, one)
	}
	if err == nil && one.most() >= q.limits.Pending && time.Since(one.exactAt) >= recountPause {
		err = q.countExactly(ctx, requester, one)
	}
	switch {
	case err != nil:
		// What is started meanwhile is kept by Temporal; its pace is bounded.
		q.log.WarnContext(ctx,
			"pending calls could not be counted, so their number is not bounded now", "error", err)
	case one.most() >= q.limits.Pending:
		return tooMany(rest.CodeTooManyPending, pendingPause,
			fmt.Sprintf("%d of your calls wait for people, and no more than %d may. "+
				"Wait for answers, or withdraw some.", one.most(), q.limits.Pending))
	}
	one.started[id] = time.Now()
	return nil
}

func (q *quotas) count(ctx context.Context, requester string, one *pendingCalls) error {
	// One item is enough: the total is what is asked for.
	found, err := q.store.Calls(ctx, store.CallQuery{Requests: true,
		Requester: requester, Limit: 1,
		// Approved are those that wait for their callers.
		Statuses: []approval.Status{approval.StatusPending, approval.StatusApproved}})
	if err == nil {
		one.counted, one.at = found.Total, time.Now()
	}
	return err
}

// countExactly counts until none of the started calls that are left can have been counted, too.
func (q *quotas) countExactly(ctx context.Context, requester string, one *pendingCalls) error {
	for {
		if err := q.count(ctx, requester, one); err != nil {
			return err
		}
		arrived := false
		for id, at := range one.started {
			_, err := q.store.Call(ctx, id)
			switch {
			case err == nil:
				arrived = true
				delete(one.started, id)
			case !errors.Is(err, store.ErrNotFound):
				return err
			case time.Since(at) > unseenFor:
				delete(one.started, id)
			}
		}
		if !arrived {
			if len(one.started) > 0 {
				one.exactAt = time.Now()
			}
			return nil
		}
	}
}

// How long callers are advised to pause: where only people can make room, where calls that end do, and
// where nothing does.
const (
	pendingPause = 10 * time.Second
	waitsPause   = time.Second
	signalsPause = time.Hour // trying again does not help
)
