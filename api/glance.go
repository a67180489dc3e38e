package api

import (
	"context"
	"sync"
	"time"
)

const (
	// glanceFresh is how long what was found is taken for true.
	glanceFresh = 3 * time.Second
	// glanceTimeout bounds one look, with the wait for its turn.
	glanceTimeout = 2 * time.Second
	// glancesAtOnce is how many keys are looked at side by side.
	glancesAtOnce = 8
)

// glances finds things out for everybody at once: whoever asks about one key
// within a few seconds shares one look at it, however many calls wait. Its
// methods are safe for concurrent use.
type glances[K comparable, V any] struct {
	look func(context.Context, K) (V, error)
	turn chan struct{} // holds one of glancesAtOnce for each look under way

	mu   sync.Mutex
	seen map[K]*glance[V]
}

// glance is one look. Its other fields are written before done is closed, and
// read after.
type glance[V any] struct {
	done  chan struct{}
	at    time.Time
	found V
	err   error
}

func newGlances[K comparable, V any](look func(context.Context, K) (V, error)) *glances[K, V] {
	return &glances[K, V]{look: look, turn: make(chan struct{}, glancesAtOnce), seen: map[K]*glance[V]{}}
}

// at returns what was found. An error means that nobody can tell now.
func (g *glances[K, V]) at(ctx context.Context, key K) (V, error) {
	g.mu.Lock()
	one := g.seen[key]
	if one == nil || one.old() {
		for other, one := range g.seen { // agents' task queues come and go
			if one.old() {
				delete(g.seen, other)
			}
		}
		one = &glance[V]{done: make(chan struct{})}
		g.seen[key] = one
		go g.run(key, one)
	}
	g.mu.Unlock()

	select {
	case <-one.done:
		return one.found, one.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// run looks for everybody who waits, so nobody's leaving ends it.
func (g *glances[K, V]) run(key K, one *glance[V]) {
	ctx, cancel := context.WithTimeout(context.Background(), glanceTimeout)
	defer cancel()
	select {
	case g.turn <- struct{}{}:
		one.found, one.err = g.look(ctx, key)
		<-g.turn
	case <-ctx.Done():
		one.err = ctx.Err()
	}
	one.at = time.Now()
	close(one.done)
}

// old reports whether a look is over and too long ago. One that failed lasts
// as long, so that a Temporal in trouble is not asked again and again.
func (g *glance[V]) old() bool {
	select {
	case <-g.done:
		return time.Since(g.at) > glanceFresh
	default:
		return false
	}
}
