package mcp

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// web is the session of a client that comes by HTTP or, for those that hold no session, of all that show
// one credential. Of the latter each request gets an ID and a progress token that no other has.
type web struct {
	credential string
	shared     bool
	s          *session

	mu      sync.Mutex
	used    time.Time
	open    int                // streams
	waiting map[string]*posted // requests under way, by their ID for the server
	tokens  map[string]*posted // those that want progress, by its token for the server
	stream  *stream            // of what is about no request
	queue   [][]byte           // what waits for that stream
	next    int
	ended   bool
}

// posted is a request under way, and where its answer goes.
type posted struct {
	raw       []byte // as it came
	id, token []byte // as they came
	to        *stream
}

// stream is an answer by server-sent events, or by one JSON text to who takes no events.
type stream struct {
	frames chan event
	done   chan struct{} // closed when nobody reads any more
}

type event struct {
	raw  []byte // nothing: there is no frame
	last bool
}

const (
	maxQueued  = 100
	keepAlive  = 15 * time.Second
	headerType = "Content-Type"
)

func newWeb(credential string, shared bool) *web {
	return &web{
		credential: credential, shared: shared, used: time.Now(),
		waiting: map[string]*posted{}, tokens: map[string]*posted{},
	}
}

func newStream() *stream { return &stream{make(chan event, 16), make(chan struct{})} }

// send hands a frame to a stream; last ends it.
func (t *stream) send(raw []byte, last bool) {
	select {
	case t.frames <- event{raw, last}:
	case <-t.done:
	}
}

// unused is how long nobody has used the session.
func (w *web) unused() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open > 0 || len(w.waiting) > 0 {
		return 0
	}
	return time.Since(w.used)
}

// take takes a frame that was posted, and answers the request.
func (w *web) take(rw http.ResponseWriter, r *http.Request, m message) {
	if m.method == "" || m.id == nil {
		if !w.shared { // those without a session have nothing to answer, and cancel by hanging up
			w.s.fromClient(m.raw)
		}
		rw.WriteHeader(http.StatusAccepted)
		return
	}
	p := &posted{raw: m.raw, id: m.id, to: newStream()}
	at, wants := locate(m.raw, "params", "_meta", "progressToken")
	if wants {
		p.token = bytes.Clone(at.of(m.raw))
	}
	w.mu.Lock()
	if w.shared {
		w.next++
		name := fmt.Appendf(nil, `"c%d"`, w.next)
		edits := []span{m.span["id"]}
		if wants {
			edits = append(edits, at)
		}
		var err error
		if m, err = m.withAll(edits, name); err != nil {
			w.mu.Unlock()
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
	}
	key, token := m.key(), idKey(p.token)
	if w.shared {
		token = key
	}
	old := w.waiting[key]
	switch {
	case w.ended:
		w.mu.Unlock()
		http.Error(rw, "the session has ended", http.StatusNotFound)
		return
	case old != nil && !bytes.Equal(old.raw, p.raw):
		w.mu.Unlock()
		rw.Header().Set(headerType, "application/json")
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = rw.Write(refusal(m.id, codeInvalidRequest, "another request with this ID is under way"))
		return
	case old != nil: // delivered again: its answer goes here
		p, old.to = old, p.to
	default:
		w.waiting[key] = p
		if wants {
			w.tokens[token] = p
		}
	}
	to := p.to
	w.open++
	w.mu.Unlock()
	if old == nil {
		go w.s.fromClient(m.raw)
	}
	whole := to.serve(rw, r)
	w.mu.Lock()
	w.open--
	w.used = time.Now()
	w.mu.Unlock()
	switch {
	case whole:
	case !w.shared: // its client may post it again
		time.AfterFunc(grace, func() { w.leave(key, p, to) })
	default:
		doc, err := newRequest("", methodCancelled, map[string]any{
			"requestId": key[1:], "reason": "the client hung up",
		})
		if err == nil {
			w.s.fromClient(doc)
		}
		w.forget(key)
	}
}

// leave lets go of a request whose client has hung up and not posted it again, if people still think
// about it: what they approve runs in answer to a client only. A tool that runs is not disturbed.
func (w *web) leave(key string, p *posted, to *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting[key] == p && p.to == to && w.s.drop(key) {
		w.remove(key)
	}
}

func (w *web) forget(key string) *posted {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.remove(key)
}

func (w *web) remove(key string) *posted {
	p := w.waiting[key]
	delete(w.waiting, key)
	for token, other := range w.tokens {
		if other == p {
			delete(w.tokens, token)
		}
	}
	return p
}

// serve writes a stream until it ends. It reports whether the client was there to the end.
func (t *stream) serve(rw http.ResponseWriter, r *http.Request) (whole bool) {
	defer close(t.done)
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		return t.serveOne(rw, r)
	}
	out := http.NewResponseController(rw)
	rw.Header().Set(headerType, "text/event-stream")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(http.StatusOK)
	// At once: some clients give up on a server that says nothing for a minute.
	write := func(format string, a ...any) bool {
		_, err := fmt.Fprintf(rw, format, a...)
		return err == nil && out.Flush() == nil
	}
	if !write(": Pawl\n\n") {
		return false
	}
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		select {
		case e := <-t.frames:
			if len(e.raw) > 0 && !write("event: message\ndata: %s\n\n", e.raw) {
				return false
			}
			if e.last {
				return true
			}
		case <-alive.C:
			if !write(": Pawl\n\n") {
				return false
			}
		case <-r.Context().Done():
			return false
		}
	}
}

// serveOne answers with the last frame only.
func (t *stream) serveOne(rw http.ResponseWriter, r *http.Request) bool {
	for {
		select {
		case e := <-t.frames:
			if !e.last {
				continue
			}
			rw.Header().Set(headerType, "application/json")
			_, err := rw.Write(e.raw)
			return err == nil
		case <-r.Context().Done():
			return false
		}
	}
}

// listen serves what is about no request.
func (w *web) listen(rw http.ResponseWriter, r *http.Request) {
	t := newStream()
	w.mu.Lock()
	if w.ended || w.stream != nil {
		w.mu.Unlock()
		http.Error(rw, "this session has such a stream, or has ended", http.StatusConflict)
		return
	}
	w.stream = t
	w.open++
	queue := w.queue
	w.queue = nil
	w.mu.Unlock()
	go func() {
		for _, raw := range queue {
			t.send(raw, false)
		}
	}()
	t.serve(rw, r)
	w.mu.Lock()
	if w.stream == t {
		w.stream = nil
	}
	w.open--
	w.used = time.Now()
	w.mu.Unlock()
}

// route hands a frame of the server's, or of the gateway's, to where its client reads.
func (w *web) route(m message) {
	if m.method == "" {
		p := w.forget(m.key())
		if p == nil {
			return
		}
		if w.shared {
			m = m.replaced(p.id, "id")
		}
		w.mu.Lock()
		to := p.to
		w.mu.Unlock()
		to.send(m.raw, true)
		return
	}
	w.mu.Lock()
	var p *posted
	if at, ok := locate(m.raw, "params", "progressToken"); ok && m.method == methodProgress {
		if p = w.tokens[idKey(at.of(m.raw))]; p != nil && w.shared {
			m = m.replaced(p.token, "params", "progressToken")
		}
	}
	if at, ok := locate(m.raw, "params", "_meta", metaSubscription); ok && w.shared {
		if p = w.waiting[idKey(at.of(m.raw))]; p != nil {
			m = m.replaced(p.id, "params", "_meta", metaSubscription)
		}
	}
	var to *stream
	switch {
	case p != nil:
		to = p.to
	case w.shared: // it is for nobody in particular
	case w.stream != nil:
		to = w.stream
	default:
		for _, other := range w.waiting {
			to = other.to
		}
		if to == nil && len(w.queue) < maxQueued {
			w.queue = append(w.queue, m.raw)
		}
	}
	w.mu.Unlock()
	if to != nil {
		to.send(m.raw, false)
	}
}

// metaSubscription is where what a client listens to says by which of its requests.
const metaSubscription = "io.modelcontextprotocol/subscriptionId"

// drop ends everything when the session has ended.
func (w *web) drop() {
	w.mu.Lock()
	w.ended = true
	all := w.waiting
	w.waiting, w.tokens = map[string]*posted{}, map[string]*posted{}
	t := w.stream
	w.stream = nil
	w.mu.Unlock()
	for _, p := range all {
		p.to.send(refusal(p.id, codeServer, "the session has ended"), true)
	}
	if t != nil {
		t.send(nil, true)
	}
}

// locate finds a value inside of objects.
func locate(doc []byte, path ...string) (span, bool) {
	at := span{0, len(doc)}
	for _, name := range path {
		found, err := fields(at.of(doc), name)
		inner, there := found[name]
		if err != nil || !there {
			return span{}, false
		}
		at = span{at.from + inner.from, at.from + inner.to}
	}
	return at, true
}

// replaced returns the frame with a value replaced, if it is there.
func (m message) replaced(value []byte, path ...string) message {
	at, ok := locate(m.raw, path...)
	if !ok {
		return m
	}
	if changed, err := m.with(at, value); err == nil {
		return changed
	}
	return m
}

// withAll returns the frame with several parts replaced by the same text.
func (m message) withAll(parts []span, text []byte) (message, error) {
	raw := m.raw
	for len(parts) > 0 { // the last one first: the places before it stay
		last := 0
		for i, p := range parts {
			if p.from > parts[last].from {
				last = i
			}
		}
		at := parts[last]
		raw = bytes.Join([][]byte{raw[:at.from], text, raw[at.to:]}, nil)
		parts = append(parts[:last:last], parts[last+1:]...)
	}
	return parse(raw)
}
