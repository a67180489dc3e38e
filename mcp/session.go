package mcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlhq/pawl/client"
)

// session is one client with its connection to the server.
type session struct {
	*Gateway
	api  *client.Client
	up   upstream
	out  func(message)   // hands a frame to the client; safe for concurrent use
	ctx  context.Context // of everything that waits
	stop context.CancelFunc

	calls     sync.WaitGroup // of those that are held
	reports   sync.WaitGroup
	reporting context.Context
	giveUp    context.CancelFunc

	left atomic.Bool   // the client has gone: nobody reads what is handed to it
	over chan struct{} // closed when the server has ended
	why  error         // set by then

	mu      sync.Mutex
	client  clientInfo
	held    map[string]*held    // tools/call requests that wait, by their ID
	running map[string]*running // those that were forwarded
	lists   map[string]bool     // tools/list requests that were forwarded; true: for the first page
	own     map[string]chan message
	parked  map[string][]parked // calls that wait while no client does
	begun   map[string]*running // calls that go on with input that the server asked for
	tools   map[string]definition
	listed  bool // tools has all there are

	agent       string        // that asks; empty: not known yet
	introducing chan struct{} // closed when Pawl has been told of the tools; nil: nobody tells it now
	introduced  bool          // Pawl knows of the tools as they are
}

type clientInfo struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// held is a request that waits for people, or for Pawl.
type held struct {
	cancel    context.CancelFunc
	cancelled bool // the client does not want an answer any more
}

func (g *Gateway) newSession(api *client.Client, out func(message)) (*session, error) {
	s := &session{
		Gateway: g, api: api, out: out, over: make(chan struct{}),
		held: map[string]*held{}, running: map[string]*running{}, lists: map[string]bool{},
		own: map[string]chan message{}, parked: map[string][]parked{}, begun: map[string]*running{},
		tools: map[string]definition{}, agent: g.o.Agent,
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.reporting, s.giveUp = context.WithCancel(context.Background())
	var err error
	s.up, err = g.o.Upstream.dial(s)
	return s, err
}

// close ends the session: whoever waits stops waiting, the server is ended, and what is to report is
// reported, for patience at most.
func (s *session) close() {
	s.left.Store(true)
	s.halt()
	s.up.close()
	timer := time.AfterFunc(patience, s.giveUp)
	s.reports.Wait()
	timer.Stop()
	s.giveUp()
}

// fromClient takes a frame of the client's.
func (s *session) fromClient(raw []byte) {
	m, err := parse(raw)
	if err != nil {
		code := codeInvalidRequest
		if m.raw == nil {
			code = codeParse
		}
		s.answer(refusal(m.id, code, "Pawl did not forward this: "+reason(err)))
		return
	}
	switch m.method {
	case methodCall:
		s.hold(m)
		return
	case methodCancelled:
		if s.cancel(m) {
			return
		}
	case methodInitialize:
		s.meet(m.field("params"), "clientInfo")
	case methodList:
		s.mu.Lock()
		at, err := fields(m.field("params"), "cursor")
		_, further := at["cursor"]
		s.lists[m.key()] = err != nil || !further
		s.mu.Unlock()
	}
	s.forward(m)
}

// forward hands a frame to the server. Whoever waits for its answer is told if that is impossible.
func (s *session) forward(m message) {
	if err := s.up.send(m); err != nil && m.method != "" && m.id != nil {
		s.answer(refusal(m.id, codeServer, "the server behind Pawl can't be reached: "+err.Error()))
	}
}

// answer hands a frame of our own to the client.
func (s *session) answer(raw []byte) {
	m, err := parse(raw)
	if err != nil {
		m = message{raw: raw} // an error without an ID
	}
	s.deliver(m)
}

// deliver hands a frame to the client.
func (s *session) deliver(m message) {
	if !s.left.Load() {
		s.out(m)
	}
}

// meet notes who the client is, as it says.
func (s *session) meet(from []byte, field string) {
	at, err := fields(from, field)
	if err != nil {
		return
	}
	var info clientInfo
	if json.Unmarshal(at[field].of(from), &info) == nil && info.Name != "" {
		s.mu.Lock()
		s.client = info
		s.mu.Unlock()
	}
}

// cancel ends the waiting of a held request. It reports whether there is one; its call goes on.
func (s *session) cancel(m message) bool {
	params := m.field("params")
	at, err := fields(params, "requestId")
	if err != nil {
		return false
	}
	key := idKey(at["requestId"].of(params))
	if s.drop(key) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.running[key]; r != nil {
		// The server need not answer what was cancelled, and nobody knows how far it came.
		time.AfterFunc(grace, func() { s.disown(key, r) })
	}
	return false
}

// drop ends the waiting of a held request, if there is one; its call goes on.
func (s *session) drop(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[key]
	if h == nil {
		return false
	}
	h.cancelled = true
	h.cancel()
	return true
}

// disown ends a run that its client cancelled, unless the server has answered meanwhile.
func (s *session) disown(key string, r *running) {
	s.mu.Lock()
	still := s.running[key] == r
	if still {
		delete(s.running, key)
	}
	s.mu.Unlock()
	if still {
		s.abandon(r, errors.New("the client cancelled it while it ran"), true)
	}
}

// receive takes a frame of the server's.
func (s *session) receive(raw []byte) {
	m, err := parse(raw)
	if err != nil {
		s.o.Logger.Warn("a line of the server is no frame, and was left out", "server", s.o.Server, "error", err)
		return
	}
	if m.method != "" {
		if m.method == methodListChanged {
			s.mu.Lock()
			s.tools, s.listed, s.introduced = map[string]definition{}, false, false
			s.mu.Unlock()
		}
		s.deliver(m)
		return
	}
	key := m.key()
	s.mu.Lock()
	asked, own := s.own[key]
	delete(s.own, key)
	run := s.running[key]
	delete(s.running, key)
	first, list := s.lists[key]
	delete(s.lists, key)
	early := s.held[key] != nil
	s.mu.Unlock()
	switch {
	case own:
		asked <- m
		return
	case early:
		s.o.Logger.Warn("the server answered a call that it has not got; it was left out", "server", s.o.Server)
		return
	case run != nil:
		s.finish(run, m)
	case list:
		m = s.listing(m, first)
	}
	s.deliver(m)
}

// halt ends all waiting. No call is held any more when it returns.
func (s *session) halt() {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.calls.Wait()
}

// lost is told of a request that will get no answer.
func (s *session) lost(id []byte, why error, acted bool) {
	key := idKey(id)
	s.mu.Lock()
	run := s.running[key]
	delete(s.running, key)
	asked, own := s.own[key]
	delete(s.own, key)
	delete(s.lists, key)
	s.mu.Unlock()
	switch {
	case run != nil:
		s.answer(answer(run.id, s.abandon(run, why, acted)))
	case own:
		close(asked)
	default:
		s.answer(refusal(id, codeServer, "the server behind Pawl gave no answer: "+why.Error()))
	}
}

// ended is told that the server has ended.
func (s *session) ended(why error) {
	s.mu.Lock()
	var all [][]byte
	for _, r := range s.running {
		all = append(all, r.id)
	}
	for key := range s.own {
		all = append(all, []byte(`"`+key[1:]+`"`))
	}
	s.mu.Unlock()
	for _, id := range all {
		s.lost(id, why, true)
	}
	s.halt()
	s.why = cmp.Or(why, errors.New("the server ended"))
	close(s.over)
}
