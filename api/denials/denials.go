// Package denials puts on record who was kept out of the API: refused credentials, and requests
// without the role. However many there are, few entries are written.
package denials

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

const (
	// Window is how long equal events are counted together. Of each, the first one is written at once,
	// and the number of all others when the window ends.
	Window = time.Minute
	// Most is how many different events are told apart at the same time; others are one for each kind.
	Most = 50

	timeout = 10 * time.Second // of a write
)

// Log writes them. It is safe for concurrent use.
type Log struct {
	write func(ctx context.Context, entries ...audit.Entry) error
	log   *slog.Logger

	mu     sync.Mutex
	counts map[audit.Payload]*count // by the event, with no count
}

// count is of the events after the first one.
type count struct {
	more  int
	since time.Time
	end   *time.Timer
}

// New makes one that writes entries so. Where that is store.ErrReadOnly, nothing is put on record.
func New(write func(ctx context.Context, entries ...audit.Entry) error, log *slog.Logger) *Log {
	return &Log{write: write, log: log, counts: map[audit.Payload]*count{}}
}

// SignInFailed counts a refused credential.
func (l *Log) SignInFailed(ctx context.Context, f audit.SignInFailed) {
	l.add(ctx, f, audit.SignInFailed{Code: "several"})
}

// Forbidden counts a request without the role.
func (l *Log) Forbidden(ctx context.Context, f audit.Forbidden) {
	l.add(ctx, f, audit.Forbidden{Code: "several"})
}

func (l *Log) add(ctx context.Context, event, several audit.Payload) {
	now := store.Micros(time.Now())
	l.mu.Lock()
	if l.counts[event] == nil && len(l.counts) >= Most {
		event = several
	}
	if c := l.counts[event]; c != nil {
		if c.more++; c.more == 1 {
			c.since = now
		}
		l.mu.Unlock()
		return
	}
	l.counts[event] = &count{end: time.AfterFunc(Window, func() { l.ends(event) })}
	l.mu.Unlock()
	l.put(ctx, event, 1, now)
}

// ends writes how many more of an event there were.
func (l *Log) ends(event audit.Payload) {
	l.mu.Lock()
	c := l.counts[event]
	delete(l.counts, event)
	l.mu.Unlock()
	if c == nil || c.more == 0 {
		return
	}
	l.put(context.Background(), event, c.more, c.since)
}

// Close writes what is counted so far.
func (l *Log) Close() {
	l.mu.Lock()
	var events []audit.Payload
	for event, c := range l.counts {
		c.end.Stop()
		events = append(events, event)
	}
	l.mu.Unlock()
	for _, event := range events {
		l.ends(event)
	}
}

// put writes an entry, even where whoever was kept out has gone.
func (l *Log) put(ctx context.Context, p audit.Payload, count int, since time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	switch event := p.(type) {
	case audit.SignInFailed:
		event.Count, event.Since = count, since
		p = event
	case audit.Forbidden:
		event.Count, event.Since = count, since
		p = event
	}
	now := time.Now().UTC()
	e, err := audit.New(audit.SubjectAccess, now.Format(time.RFC3339Nano)+"/"+rand.Text()[:8], now, p)
	if err == nil {
		err = l.write(ctx, e)
	}
	if err != nil && !errors.Is(err, store.ErrReadOnly) {
		l.log.WarnContext(ctx, "it was not put on record that somebody was kept out", "kind", p.Kind(), "error", err)
	}
}
