package hook_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
)

// pawl is an API of which the test says how all calls stand.
type pawl struct {
	*httptest.Server
	mu        sync.Mutex
	view      rest.View
	started   map[string]string // start_id by call
	withdrawn []string
	changed   chan struct{} // closed when the view changes
	reports   []approval.ReportSignal
	begun     []approval.Call           // without those that are found by their key
	held      chan struct{}             // takes one value for each request that begins to wait
	broken    http.HandlerFunc          // answers everything instead
	kill      func()                    // at the next start, whose answer gets lost
	lose      func(http.ResponseWriter) // instead of the answer to the next call, which has begun
	runs      json.RawMessage           // arguments that are let run; default: those that were asked for
}

func newPawl(t *testing.T) *pawl {
	p := &pawl{changed: make(chan struct{}), started: map[string]string{}, held: make(chan struct{}, 100)}
	p.view.Status = approval.StatusPending
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *pawl) set(status approval.Status, d *approval.FinalDecision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.view.Status, p.view.Decision = status, d
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pawl) fail(with http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = with
}

func (p *pawl) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.begun)
}

func (p *pawl) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	broken := p.broken
	p.mu.Unlock()
	if broken != nil {
		broken(w, r)
		return
	}
	if r.Method == http.MethodGet {
		wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
		up := time.After(wait)
		p.mu.Lock()
		if p.view.Status == approval.StatusPending && wait > 0 {
			p.held <- struct{}{}
		}
		for p.view.Status == approval.StatusPending && wait > 0 {
			changed := p.changed
			p.mu.Unlock()
			select {
			case <-changed:
			case <-up:
				wait = 0
			case <-r.Context().Done():
				wait = 0
			}
			p.mu.Lock()
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id := ""
	if parts := strings.Split(r.URL.Path, "/"); len(parts) > 3 {
		id = parts[3]
	}
	view := p.view
	view.ID = id
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		if status >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch {
	case r.URL.Path == "/api/calls":
		var in rest.StartRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !in.Attach {
			answer(400, rest.NewProblem(400, rest.CodeInvalidRequest, "no attach"))
			return
		}
		if in.Wait != 0 { // whoever is killed meanwhile does not know its call, and people are asked twice
			answer(400, rest.NewProblem(400, rest.CodeInvalidRequest, "the first request holds the call's ID back"))
			return
		}
		at := slices.IndexFunc(p.begun, func(c approval.Call) bool { return c.IdempotencyKey == in.IdempotencyKey })
		if at < 0 {
			at, p.begun = len(p.begun), append(p.begun, in.Call)
		}
		p.view.Tool, p.view.Args, p.view.Execution = in.Tool, in.Args, in.Execution
		if lose := p.lose; lose != nil {
			p.lose = nil
			lose(w)
			return
		}
		view = p.view
		view.ID = "pawl-" + string(rune('a'+at))
		answer(http.StatusAccepted, view)
	case strings.HasSuffix(r.URL.Path, "/start"):
		var in rest.StartToolRequest
		_ = json.NewDecoder(r.Body).Decode(&in)
		if by := p.started[id]; by != "" && by != in.StartID {
			answer(409, rest.NewProblem(409, rest.CodeStarted, "somebody else has started it"))
			return
		}
		p.started[id] = in.StartID
		if kill := p.kill; kill != nil {
			p.kill = nil
			kill()
			panic(http.ErrAbortHandler)
		}
		args := p.view.Args
		if p.runs != nil {
			args = p.runs
		}
		answer(200, rest.Started{ID: id, Status: approval.StatusExecuting, Args: args, ReportBy: time.Now()})
	case strings.HasSuffix(r.URL.Path, "/outcome"):
		var in approval.ReportSignal
		_ = json.NewDecoder(r.Body).Decode(&in)
		p.reports = append(p.reports, in)
		o, _ := in.Outcome()
		o.ID = id
		answer(200, o)
	case r.URL.Path == "/api/sessions/s/cancel":
		p.withdrawn = append(p.withdrawn, "all")
		answer(200, rest.SessionCancelled{})
	case strings.HasSuffix(r.URL.Path, "/cancel"):
		p.withdrawn = append(p.withdrawn, id)
		view.Status = approval.StatusCancelled
		answer(200, view)
	default:
		answer(200, view)
	}
}

var (
	byPolicy = &approval.FinalDecision{Kind: approval.FinalAllow, By: "policy"}
	byAna    = &approval.FinalDecision{Kind: approval.FinalApprove, By: "ana"}
	notByAna = &approval.FinalDecision{Kind: approval.FinalReject, By: "ana", Notes: "use the other one"}
)
