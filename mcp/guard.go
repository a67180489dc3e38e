package mcp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/strictjson"
)

const (
	// firstLook is how long the API is asked to hold its first answer: calls that are allowed start
	// within it, of others it says where to approve them.
	firstLook = 2 * time.Second
	// beat is how often a client that waits gets progress.
	beat = 15 * time.Second
	// askWithin is how long Pawl may take, at least, to say that it knows of a call. With a shorter
	// Options.Wait a call of a slow API would never come to be.
	askWithin = 10 * time.Second
)

// request is a tools/call.
type request struct {
	message
	at       map[string]span // fields of the params, as places in the frame
	name     string          // of the tool, as the server knows it
	args     []byte
	meta     []byte
	progress []byte // the progress token; empty: the client wants none
	client   clientInfo
}

// parked is a call that waits while no client does.
type parked struct {
	view  client.View
	start string // its start_id, which may have been used
}

// running is a call whose tool the server runs.
type running struct {
	id    []byte // of the request
	call  string // the call's ID
	start string
	tool  string
	again string // of the call's repeats with input: see session.begun
}

var callFields = []string{"name", "arguments", "_meta", "task", "inputResponses", "requestState"}

// readCall reads a tools/call, and says what is wrong with it.
func readCall(m message) (r request, err error) {
	r.message = m
	params := m.field("params")
	if r.at, err = fields(params, callFields...); err != nil {
		return r, fmt.Errorf("params: %w", err)
	}
	for name, at := range r.at {
		r.at[name] = span{at.from + m.span["params"].from, at.to + m.span["params"].from}
	}
	if r.name = text(m.raw, r.at, "name"); r.name == "" {
		return r, errors.New("params: the tool's name is missing")
	}
	if _, task := r.at["task"]; task {
		return r, errors.New("params: calls as tasks are not offered: Pawl could not tell when one has ended")
	}
	r.args, r.meta = r.at["arguments"].of(m.raw), r.at["_meta"].of(m.raw)
	if len(r.meta) > 0 {
		at, err := fields(r.meta, "progressToken", metaClient)
		if err != nil {
			return r, fmt.Errorf("params: _meta: %w", err)
		}
		r.progress = at["progressToken"].of(r.meta)
		if json.Unmarshal(at[metaClient].of(r.meta), &r.client) != nil {
			r.client = clientInfo{}
		}
	}
	return r, nil
}

// metaClient is where clients that hold no session say who they are.
const metaClient = "io.modelcontextprotocol/clientInfo"

// hold takes a tools/call: whatever becomes of it, the server gets it once Pawl has said so, or never.
func (s *session) hold(m message) {
	if m.id == nil {
		s.o.Logger.Warn("a call without an ID was left out: nobody could be told what became of it")
		return
	}
	r, err := readCall(m)
	if err != nil {
		s.answer(refusal(m.id, codeInvalidParams, "Pawl did not forward this call: "+reason(err)))
		return
	}
	key := m.key()
	ctx, cancel := context.WithCancel(s.ctx)
	h := &held{cancel: cancel}
	s.mu.Lock()
	r.client = cmp.Or(r.client, s.client)
	taken := s.held[key] != nil || s.running[key] != nil
	gone := s.ctx.Err() != nil
	if !taken && !gone {
		s.held[key] = h
		s.calls.Add(1)
	}
	s.mu.Unlock()
	if taken || gone {
		cancel()
		if taken { // delivered again; the answer to the first answers both
			s.o.Logger.Warn("a call came while one of the same ID goes on; it was left out", "id", string(m.id))
		}
		return
	}
	go func() {
		defer s.calls.Done()
		defer cancel()
		reply := s.answerTo(ctx, r)
		s.mu.Lock()
		if s.held[key] == h {
			delete(s.held, key)
		}
		unwanted := h.cancelled
		s.mu.Unlock()
		if reply != nil && !unwanted {
			s.answer(reply)
		}
	}()
}

// answerTo is ask. A fault of the gateway's own is an answer, too: the other calls go on.
func (s *session) answerTo(ctx context.Context, r request) (reply []byte) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		s.o.Logger.Error("a call met a fault of the gateway", "tool", r.name, "fault", fault,
			"stack", string(debug.Stack()))
		s.mu.Lock()
		forwarded := s.running[r.key()] != nil // the server answers it
		s.mu.Unlock()
		if !forwarded {
			reply = answer(r.id, said(true,
				"Not run: the gateway has a fault, which is in its log. Please report it. Whoever runs it can "+escape))
		}
	}()
	return s.ask(ctx, r)
}

// ask asks Pawl about a call and forwards it, if it may run. Otherwise it returns the answer.
func (s *session) ask(ctx context.Context, r request) []byte {
	if r.name == statusTool {
		return s.status(ctx, r)
	}
	if _, input := r.at["inputResponses"]; input || len(r.at["requestState"].of(r.raw)) > 0 {
		return s.goOn(r)
	}
	wait := s.waitFor(r.client.Name, len(r.progress) > 0)
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	asking, stop := context.WithTimeout(context.WithoutCancel(s.ctx), max(wait, askWithin))
	defer stop()
	// A session that ends lets Pawl answer first: a call whose ID is known can be released.
	defer context.AfterFunc(s.ctx, func() { time.AfterFunc(2*firstLook, stop) })()
	if err := s.ready(asking, s.api); err != nil {
		return s.unasked(r, err)
	}
	agent, err := s.asker(asking)
	if err != nil {
		return s.unasked(r, err)
	}
	def, change := s.describe(ctx, agent, r)
	call := approval.Call{
		Tool: s.o.Server + "." + r.name, Args: json.RawMessage(r.args), Agent: agent, Session: s.o.Session,
		Description: def.shown(s.o.Server, change), RequireApproval: change != "",
		ReportWithin: approval.Duration(s.o.ReportWithin), Labels: r.client.labels(),
	}
	call.Normalize()
	if err := call.Validate(); err != nil {
		return answer(r.id, said(true, "Not run: Pawl can't guard this call as it is. "+reason(err)))
	}
	same := likeness(call)
	place := same
	if place != "" && change != "" {
		place += "\x00" + call.Description // people are to see what has changed by now
	}
	p, err := s.take(asking, place, call, min(firstLook, wait))
	if err != nil {
		return s.unasked(r, err)
	}
	if p.view.SchemaUnknown && usable(call.Tool, def.Input) {
		s.forget() // Pawl has lost the list, or another server of this name has replaced it
	}
	beats := s.tell(waiting, r, p.view)
	begun, err := s.api.Permit(waiting, p.view, p.start)
	late := waiting.Err() != nil
	cancel()
	<-beats // no progress follows an answer
	switch {
	case begun.Started:
		if change != "" { // people have seen it, and approved
			s.keep(r.name, def)
		}
		return s.start(r, begun, p.start, same)
	case err == nil:
		return answer(r.id, denied(begun.View))
	case late && begun.ID != "":
		p.view = begun.View
		s.park(place, p)
		return answer(r.id, pending(begun.View, s.page(begun.View), len(def.Output) > 0, err))
	}
	if p.view = begun.View; !refused(err) { // it may go on when Pawl answers again
		s.park(place, p)
	}
	return s.unasked(r, err)
}

// refused reports that Pawl has understood a request, and says no.
func refused(err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.HTTPStatus >= 400 && e.HTTPStatus < 500 && e.HTTPStatus != http.StatusTooManyRequests
}

// likeness is the same for calls that may take each other's place.
func likeness(c approval.Call) string {
	canonical, err := strictjson.Canonical(c.Args)
	if err != nil {
		return ""
	}
	return fmt.Sprint(c.Tool, " ", c.RequireApproval, " ", string(canonical))
}

// take takes up a call like this one that nobody waits for, or starts one. A client that cancels does
// not interrupt it: the call would be nobody's until its lease ends.
func (s *session) take(
	ctx context.Context, same string, call approval.Call, wait time.Duration,
) (parked, error) {
	s.mu.Lock()
	if here := s.parked[same]; same != "" && len(here) > 0 {
		s.parked[same] = here[1:]
		s.mu.Unlock()
		return here[0], nil
	}
	s.mu.Unlock()
	v, _, err := s.api.Attach(ctx, call, wait)
	return parked{v, rand.Text()}, err
}

func (s *session) park(same string, p parked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parked[same] = append(s.parked[same], p)
}

// start forwards a call that Pawl has started: with the client's own bytes, if they mean what was
// approved.
func (s *session) start(r request, b client.Begun, startID, same string) []byte {
	run := &running{id: r.id, call: b.ID, start: startID, tool: r.name, again: same}
	m := r.message
	if !equal(cmp.Or(string(r.args), "{}"), string(b.Args)) {
		at, there := r.at["arguments"]
		part := []byte(b.Args)
		if !there { // at the beginning of the params
			from := m.span["params"].from + 1
			at, part = span{from, from}, slices.Concat([]byte(`"arguments":`), b.Args, []byte(","))
		}
		var err error
		if m, err = m.with(at, part); err != nil {
			s.report(run, approval.ReportSignal{Status: approval.ReportNotRun})
			return s.unasked(r, err)
		}
	}
	s.run(m, run)
	return nil
}

func equal(a, b string) bool {
	one, err := strictjson.Canonical(json.RawMessage(a))
	two, err2 := strictjson.Canonical(json.RawMessage(b))
	return err == nil && err2 == nil && bytes.Equal(one, two)
}

// run forwards a call that was started, unless its client has cancelled it.
func (s *session) run(m message, run *running) {
	key := m.key()
	s.mu.Lock()
	h := s.held[key]
	unwanted := h != nil && h.cancelled || s.ctx.Err() != nil
	delete(s.held, key)
	if !unwanted {
		s.running[key] = run
	}
	s.mu.Unlock()
	if unwanted {
		s.report(run, approval.ReportSignal{Status: approval.ReportNotRun})
		return
	}
	if err := s.up.send(m); err != nil {
		s.lost(m.id, err, false)
	}
}

// tell sends progress to a client that waits, until ctx ends. Then what it returns is closed.
func (s *session) tell(ctx context.Context, r request, v client.View) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if len(r.progress) == 0 {
			return
		}
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for n := 1; ctx.Err() == nil; n++ {
			// Less than anything that the server will say of its own progress.
			doc, err := newRequest("", methodProgress, map[string]any{
				"progressToken": json.RawMessage(r.progress), "progress": float64(n) / 1e9,
				"message": "Waiting for approval of " + v.ID + " at " + s.page(v),
			})
			if err == nil && !v.Status.Ended() && v.Status != approval.StatusApproved {
				s.answer(doc)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	return done
}

// page is where people decide about a call. Without a public URL, the API serves the page itself.
func (s *session) page(v client.View) string {
	return cmp.Or(v.URL, s.api.URL()+"/requests/"+url.PathEscape(v.ID))
}

// labels show people which client asks, as it says.
func (c clientInfo) labels() map[string]string {
	name := approval.Display(c.Name, 80)
	if name == "" {
		return nil
	}
	if c.Version != "" {
		name += " " + approval.Display(c.Version, 40)
	}
	return map[string]string{"mcp_client": name}
}

// status answers the gateway's own tool.
func (s *session) status(ctx context.Context, r request) []byte {
	var in struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(r.args, &in); err != nil || in.ID == "" {
		return answer(r.id, said(true, "Give the call's ID, as text: {\"id\": \"pawl-…\"}"))
	}
	v, err := s.api.Get(ctx, in.ID, 0)
	if err != nil {
		why := err.Error()
		if !refused(err) {
			why = reason(err)
		}
		return answer(r.id, said(true, "Pawl could not say what became of this call: "+why))
	}
	switch {
	case v.Status.Denied():
		return answer(r.id, denied(v))
	case v.Status == approval.StatusApproved:
		return answer(r.id, said(false, "Call "+v.ID+" is approved, and has not run. "+
			"Repeat the call with the same arguments: then it runs."))
	case v.Status.Ended():
		return answer(r.id, said(false, fmt.Sprintf("Call %s has ended: %s.%s", v.ID, v.Status, errorOf(v))))
	case v.Status == approval.StatusExecuting:
		return answer(r.id, said(false, "Call "+v.ID+" runs now."))
	}
	return answer(r.id, pending(v, s.page(v), false, nil))
}

// unasked refuses a call about which Pawl gave no permission.
func (s *session) unasked(r request, err error) []byte {
	if e, ok := errors.AsType[*client.Error](err); ok && e.Code == rest.CodeStarted {
		return answer(r.id, said(true, "Another request has started the same call, "+
			cmp.Or(e.ID, "its ID is unknown")+". It was not run for this one. "+
			"See what came of it before you call again."))
	}
	s.o.Logger.Warn("a call was refused: Pawl did not permit it", "tool", r.name, "error", err)
	return answer(r.id, said(true, "Not run: Pawl did not permit this call. "+reason(err)))
}
