// Package retry paces what is tried again and again.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses of a Backoff.
const (
	First = 100 * time.Millisecond
	Most  = 10 * time.Second
)

// Backoff is the pause before the next attempt: at first First, each time twice
// as long, at most Most. Each is cut by up to half at random, so that many who
// failed together don't come back together. The zero value is ready; it is not
// safe for concurrent use.
type Backoff struct{ next time.Duration }

// Wait sleeps. It reports whether ctx let it.
func (b *Backoff) Wait(ctx context.Context) bool {
	pause := max(b.next, First)
	b.next = min(2*pause, Most)
	return Sleep(ctx, pause/2+rand.N(pause/2+1))
}

// Reset makes the next pause the first again, after a success.
func (b *Backoff) Reset() { b.next = 0 }

// Sleep reports whether d passed before ctx ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
