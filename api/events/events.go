// Package events tells people's browsers which requests changed, by server-sent events.
//
// The audit log says it: whatever happens to a call is put on record in the transaction that changes
// it. So while anybody listens, one look at the log's new entries every half second serves all who
// do, and nothing is added to what calls write.
package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

type times struct {
	interval  time.Duration // between looks at the log
	heartbeat time.Duration // after which a listener hears that nothing changed, if that is known
	write     time.Duration // that a listener may take to read what it is sent
}

var usual = times{interval: 500 * time.Millisecond, heartbeat: 5 * time.Second, write: 10 * time.Second}

const (
	// lookTimeout bounds one look.
	lookTimeout = 5 * time.Second
	// maxPending is how many changes are kept for one listener; with more it reloads everything.
	maxPending = 1000
	// MaxListeners is how many may listen to one process.
	MaxListeners = 2000
)

// ContentType is that of server-sent events.
const ContentType = "text/event-stream"

// ErrFull is returned when MaxListeners listen.
var ErrFull = errors.New("too many listen to events")

// Source is where changes are read from; see store.Reader.
type Source interface {
	Changes(ctx context.Context, after int64) (changed []store.Change, place int64, err error)
}

// Hub serves all who listen to one process. Its methods are safe for concurrent use.
type Hub struct {
	source Source
	log    *slog.Logger
	pace   health.Pace
	times  times

	starting sync.Mutex // held by who joins
	mu       sync.Mutex
	joined   map[*listener]struct{}
	stop     context.CancelFunc // of the looks at the log; nil: nobody listens
}

// New makes a Hub that contacts nobody until somebody listens.
func New(source Source, log *slog.Logger) *Hub {
	return &Hub{source: source, log: log, times: usual, joined: map[*listener]struct{}{}}
}

// Listener is somebody who listens.
type Listener struct {
	// Requester is whose requests it hears of. Empty: everybody's.
	Requester string
	// Good fails when the listener's credential is good no longer. It is called before the first event,
	// with each heartbeat and after Check: with each event it would cost more than the events do.
	Good func() error
}

// listener is one that has joined.
type listener struct {
	Listener
	wake chan struct{} // holds one when there is something to do

	mu      sync.Mutex
	reset   bool // everything is to be read anew
	alive   bool // a look at the log succeeded since the last heartbeat
	check   bool // the credential is to be checked before anything more is sent
	pending map[string]int64
}

// Serve sends events until ctx ends, the listener goes, is too slow or has no good credential any
// more: first reset, which says that everything may have changed, then changed for each request that
// did. Errors before anything was sent: ErrFull, or that the store could not be read.
func (h *Hub) Serve(ctx context.Context, w http.ResponseWriter, who Listener) error {
	l := &listener{
		Listener: who, wake: make(chan struct{}, 1), reset: true, check: true, pending: map[string]int64{},
	}
	if err := h.join(ctx, l); err != nil {
		return err
	}
	defer h.leave(l)
	out := http.NewResponseController(w)
	if err := out.SetReadDeadline(time.Time{}); err != nil { // the server's is for requests
		return err
	}
	header := w.Header()
	header.Set("Content-Type", ContentType)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	beat := time.NewTicker(h.times.heartbeat)
	defer beat.Stop()
	for beaten := false; !l.due(beaten) || l.Good() == nil; {
		if text := l.take(beaten); len(text) > 0 {
			if out.SetWriteDeadline(time.Now().Add(h.times.write)) != nil {
				return nil
			}
			if _, err := w.Write(text); err != nil || out.Flush() != nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
			beaten = false
		case <-beat.C:
			beaten = true
		}
	}
	return nil
}

// join adds a listener. The place in the log from which on changes are found is known before: what
// happens after the listener's reset is sent is found.
func (h *Hub) join(ctx context.Context, l *listener) error {
	h.starting.Lock()
	defer h.starting.Unlock()
	if joined, err := h.add(l); joined || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	_, place, err := h.source.Changes(ctx, -1)
	if err != nil {
		return err
	}
	looking, stop := context.WithCancel(context.Background())
	h.mu.Lock()
	h.stop, h.joined[l] = stop, struct{}{}
	h.mu.Unlock()
	go h.look(looking, place)
	return nil
}

// add adds a listener to others.
func (h *Hub) add(l *listener) (joined bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.joined) >= MaxListeners {
		return false, ErrFull
	}
	if h.stop != nil {
		h.joined[l] = struct{}{}
	}
	return h.stop != nil, nil
}

// leave takes a listener out. Who leaves last stops the looks at the log.
func (h *Hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.joined, l)
	if len(h.joined) == 0 {
		h.stop()
		h.stop = nil
	}
}

// look finds what changed after a place in the log, until ctx ends.
func (h *Hub) look(ctx context.Context, place int64) {
	tick := time.NewTicker(h.times.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, next, err := h.changes(ctx, place)
		if err != nil {
			if ctx.Err() == nil {
				h.log.Log(ctx, h.pace.Level("changes", slog.LevelWarn),
					"can't look what changed; those who listen to events hear of nothing until that works",
					"error", err)
			}
			continue
		}
		place = next
		h.tell(changed)
	}
}

// Check ends at once the streams of those whose credential is good no longer, as after a sign-out.
// Where it was taken back by another process, a heartbeat finds out.
func (h *Hub) Check() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.joined {
		l.mu.Lock()
		l.check = true
		l.rouse()
		l.mu.Unlock()
	}
}

func (h *Hub) changes(ctx context.Context, after int64) ([]store.Change, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return h.source.Changes(ctx, after)
}

func (h *Hub) tell(changed []store.Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.joined {
		l.hear(changed)
	}
}

// hear notes what a listener is to be sent.
func (l *listener) hear(changed []store.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alive = true
	for _, c := range changed {
		if l.Requester == "" || l.Requester == c.Requester {
			l.pending[c.ID] = c.Revision
		}
	}
	if len(l.pending) > maxPending {
		l.reset = true
		clear(l.pending)
	}
	if l.reset || len(l.pending) > 0 {
		l.rouse()
	}
}

// due reports whether the credential is to be checked now.
func (l *listener) due(beat bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	due := l.check || beat
	l.check = false
	return due
}

// rouse has the listener look what there is to do.
func (l *listener) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take is what is to be sent now. When a heartbeat is due that is more than nothing, unless it is not
// known whether something changed.
func (l *listener) take(beat bool) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	var text bytes.Buffer
	if l.reset {
		text.WriteString("event: reset\ndata: {}\n\n")
	}
	for id, revision := range l.pending {
		if data, err := json.Marshal(rest.Changed{ID: id, Revision: revision}); err == nil { // escapes line breaks
			fmt.Fprintf(&text, "event: changed\ndata: %s\n\n", data)
		}
	}
	if beat && l.alive && text.Len() == 0 {
		text.WriteString(": nothing changed\n\n")
	}
	l.reset, l.alive = false, l.alive && !beat
	clear(l.pending)
	return text.Bytes()
}
