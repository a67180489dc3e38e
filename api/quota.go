package api

import (
	"context"
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
	// Pending is how many calls may wait for people at the same time. A little more get through where
	// many are started at once, since a call shows in the store a moment after its start. Default:
	// DefaultPending; negative: any number.
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
	if l.PerSecond == 0 {
		l.PerSecond = DefaultPerSecond
	}
	if l.Burst == 0 {
		l.Burst = max(1, int(2*l.PerSecond))
	}
	if l.Pending == 0 {
		l.Pending = DefaultPending
	}
	if l.Waits == 0 {
		l.Waits = 2 * l.Pending
	}
	return nil
}

// recount is how long a count of pending calls is used, if it leaves room for all that were started
// since.
const recount = 2 * time.Second

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

	pending int // as counted
	since   int // started after that
	at      time.Time
}

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
		one = &quota{requests: rate.NewLimiter(limit, q.limits.Burst)}
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

// addPending fails if too many of a requester's calls wait for people, else counts one more.
func (q *quotas) addPending(ctx context.Context, requester string) error {
	if q.limits.Pending < 0 {
		return nil
	}
	q.mu.Lock()
	one := q.quota(requester)
	if fits := one.pending+one.since < q.limits.Pending; fits && time.Since(one.at) < recount {
		one.since++
		q.mu.Unlock()
		return nil
	}
	q.mu.Unlock()

	// One item is enough: the total is what is asked for.
	at := time.Now()
	found, err := q.store.Calls(ctx, store.CallQuery{Requests: true,
		Requester: requester, Statuses: []approval.Status{approval.StatusPending}, Limit: 1})
	if err != nil {
		// What is started meanwhile is kept by Temporal; its pace is bounded.
		q.log.WarnContext(ctx,
			"pending calls could not be counted, so their number is not bounded now", "error", err)
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if one.at.Before(at) {
		one.pending, one.since, one.at = found.Total, 0, at
	}
	if one.pending+one.since >= q.limits.Pending {
		return tooMany(rest.CodeTooManyPending, pendingPause,
			fmt.Sprintf("%d of your calls wait for people, and no more than %d may. "+
				"Wait for answers, or withdraw some.", found.Total, q.limits.Pending))
	}
	one.since++
	return nil
}

// How long callers are advised to pause: where only people can make room, and where calls that end do.
const (
	pendingPause = 10 * time.Second
	waitsPause   = time.Second
)
