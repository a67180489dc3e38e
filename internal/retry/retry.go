// Package retry paces what is tried again and again.
package retry

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// First and Most bound the pauses of a Backoff.
const (
	First = 100 * time.Millisecond
	Most  = 10 * time.Second
)

// Backoff is the pause before the next attempt: First, then each time twice as long. Each is cut by
// up to half at random, so that many who failed together don't come back together. The zero value
// is ready; it is not safe for concurrent use.
type Backoff struct {
	Most time.Duration // the longest pause; default: Most
	next time.Duration
}

// Wait sleeps for Next. It reports whether ctx let it.
func (b *Backoff) Wait(ctx context.Context) bool { return Sleep(ctx, b.Next()) }

// Next is how long to pause now.
func (b *Backoff) Next() time.Duration {
	pause := max(b.next, First)
	b.next = min(2*pause, cmp.Or(b.Most, Most))
	return pause/2 + rand.N(pause/2+1)
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
