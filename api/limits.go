package api

import (
	"container/list"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// lru holds the values that were used last, at most so many. It is not safe for concurrent use.
type lru[K comparable, V any] struct {
	most  int
	order *list.List // of *lruItem, the last used first
	items map[K]*list.Element
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](most int) *lru[K, V] {
	return &lru[K, V]{most: most, order: list.New(), items: map[K]*list.Element{}}
}

func (l *lru[K, V]) get(key K) (v V, ok bool) {
	e, ok := l.items[key]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*lruItem[K, V]).value, true
}

// put adds a value under a key that is not there.
func (l *lru[K, V]) put(key K, v V) {
	l.items[key] = l.order.PushFront(&lruItem[K, V]{key, v})
	if l.order.Len() > l.most {
		last := l.order.Remove(l.order.Back()).(*lruItem[K, V])
		delete(l.items, last.key)
	}
}

// Bounds of refused credentials, for each remote address: a burst, then one in so long.
const (
	failureBurst  = 20
	failurePause  = time.Second
	maxRemembered = 8192 // addresses, and callers
)

// failures slows down who tries credentials. Every credential is looked up, since many programs may
// share an address: only the answers to those that are refused change.
type failures struct {
	mu sync.Mutex
	of *lru[netip.Prefix, *rate.Limiter]
}

func newFailures() *failures {
	return &failures{of: newLRU[netip.Prefix, *rate.Limiter](maxRemembered)}
}

// failed counts a refused credential, and returns how long the address should wait, if it sent too
// many.
func (f *failures) failed(remote netip.Addr) (wait time.Duration, tooMany bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	limiter, known := f.of.get(network(remote))
	if !known {
		limiter = rate.NewLimiter(rate.Every(failurePause), failureBurst)
		f.of.put(network(remote), limiter)
	}
	if limiter.Allow() {
		return 0, false
	}
	return time.Duration((1 - limiter.Tokens()) * float64(failurePause)), true
}

// network is whom an address stands for: a single IPv4 address, or the /64 that one IPv6 customer
// has whole.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // an invalid address gives the zero prefix: all of those are one
	return p
}

// source is the network of an address, as text; empty: it is not known.
func source(a netip.Addr) string {
	n := network(a)
	switch {
	case !n.IsValid():
		return ""
	case n.IsSingleIP():
		return n.Addr().String()
	}
	return n.String()
}

// tooMany is the answer to who is too fast.
func tooMany(code string, wait time.Duration, detail string) *problem {
	seconds := max(1, int(math.Ceil(wait.Seconds())))
	p := newProblem(http.StatusTooManyRequests, code, detail)
	p.retryAfter = strconv.Itoa(seconds)
	return p
}
