package api

import (
	"context"
	"sync"
	"time"
)

const (
	// cacheFresh is how long a value, or that there is none, is given to everybody who asks.
	cacheFresh = 3 * time.Second
	// cacheTimeout bounds one search, with the wait for its turn.
	cacheTimeout = 2 * time.Second
	// cacheSearches is how many keys are searched for at the same time.
	cacheSearches = 8
)

// cache finds values for everybody at once: all who ask for one key within a few seconds share one
// search, however many calls wait. Its methods are safe for concurrent use.
type cache[K comparable, V any] struct {
	find func(context.Context, K) (V, error)
	turn chan struct{} // holds one of cacheSearches for each search under way

	mu      sync.Mutex
	entries map[K]*cacheEntry[V]
}

// cacheEntry is one search. Its other fields are written before done is closed, and read after.
type cacheEntry[V any] struct {
	done  chan struct{}
	at    time.Time
	value V
	err   error
}

func newCache[K comparable, V any](find func(context.Context, K) (V, error)) *cache[K, V] {
	return &cache[K, V]{find: find, turn: make(chan struct{}, cacheSearches), entries: map[K]*cacheEntry[V]{}}
}

// get returns the value for a key. An error means that it could not be found out.
func (c *cache[K, V]) get(ctx context.Context, key K) (V, error) {
	c.mu.Lock()
	e := c.entries[key]
	if e == nil || e.old() {
		for other, e := range c.entries { // agents' task queues come and go
			if e.old() {
				delete(c.entries, other)
			}
		}
		e = &cacheEntry[V]{done: make(chan struct{})}
		c.entries[key] = e
		go c.search(key, e)
	}
	c.mu.Unlock()

	select {
	case <-e.done:
		return e.value, e.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// search works for everybody who waits, so nobody's leaving ends it.
func (c *cache[K, V]) search(key K, e *cacheEntry[V]) {
	ctx, cancel := context.WithTimeout(context.Background(), cacheTimeout)
	defer cancel()
	select {
	case c.turn <- struct{}{}:
		e.value, e.err = c.find(ctx, key)
		<-c.turn
	case <-ctx.Done():
		e.err = ctx.Err()
	}
	e.at = time.Now()
	close(e.done)
}

// old reports whether a search ended too long ago. One that failed is kept as long, so that a
// Temporal in trouble is not asked again and again.
func (e *cacheEntry[V]) old() bool {
	select {
	case <-e.done:
		return time.Since(e.at) > cacheFresh
	default:
		return false
	}
}
