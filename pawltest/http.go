package pawltest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/rest"
)

// HTTPAgent makes an agent that runs its functions itself, as pawl.ConnectHTTP does, without a
// server: the script decides about its calls, too. Without o.Agent it has the name of Agent, and
// without o.Dir a directory of its own, which goes when the test ends. Two agents with one Dir are two
// processes, of which one comes back. Options that are wrong panic.
//
// Approve and Allow let the agent run its function. Hold keeps it waiting, and Lose ends the call as
// if an earlier process had been lost over it.
func (f *Fake) HTTPAgent(o pawl.HTTPOptions) *pawl.HTTPAgent {
	o.Agent, o.HTTP = cmp.Or(o.Agent, f.name), &http.Client{Transport: api{f}}
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "pawltest-")
		if err != nil {
			panic(fmt.Sprintf("pawltest: %v", err))
		}
		if o.Dir = dir; f.t != nil {
			f.t.Cleanup(func() { _ = os.RemoveAll(dir) })
		}
	}
	agent, err := pawl.ConnectHTTP(context.Background(), o)
	if err != nil {
		panic(fmt.Sprintf("pawltest: %v", err))
	}
	return agent
}

// api is what a Fake's HTTP agents take for Pawl's API.
type api struct{ *Fake }

// RoundTrip answers a request in memory.
func (f api) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	status, answer := f.serve(r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	doc, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("pawltest: %w", err)
	}
	mediaType := "application/json"
	if status >= http.StatusBadRequest {
		mediaType = rest.ProblemType
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {mediaType}},
		ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Body: io.NopCloser(bytes.NewReader(doc)), ContentLength: int64(len(doc)),
	}, nil
}

// serve answers a request by the routes that an HTTPAgent uses.
func (f api) serve(r *http.Request) (status int, answer any) {
	routes := http.NewServeMux()
	add := func(pattern string, handle func(*http.Request) (int, any)) {
		routes.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) { status, answer = handle(r) })
	}
	status, answer = problem(http.StatusNotFound, rest.CodeNoRoute, "pawltest does not play this route")
	add("GET /api/version", func(*http.Request) (int, any) {
		return http.StatusOK, rest.Version{Version: "pawltest", Features: []string{"caller"}}
	})
	add("PUT /api/agents/{agent}/tools", f.putTools)
	add("POST /api/calls", f.startCall)
	add("GET /api/calls/{id}", f.getCall)
	add("POST /api/calls/wait", f.waitCalls)
	add("POST /api/calls/{id}/start", f.startTool)
	add("POST /api/calls/{id}/outcome", f.report)
	routes.ServeHTTP(nowhere{}, r)
	return status, answer
}

// nowhere takes what the mux itself writes.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

func problem(status int, code, detail string) (int, any) {
	return status, rest.NewProblem(status, code, detail)
}

func about(id string, status int, code, detail string) (int, any) {
	p := rest.NewProblem(status, code, detail)
	p.ID = id
	return status, p
}

// body decodes a request's body into in.
func body[T any](r *http.Request) (in T, err error) {
	err = json.NewDecoder(r.Body).Decode(&in)
	return in, err
}

func (f api) putTools(r *http.Request) (int, any) {
	in, err := body[rest.OwnTools](r)
	if err != nil {
		return problem(http.StatusBadRequest, rest.CodeInvalidRequest, err.Error())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range in.Tools {
		spec := approval.ToolSpec{Name: t.Name, Description: t.Description, Schema: t.Schema}
		reason, no := f.refuse[t.Name]
		if _, err := toolOf(spec); err != nil && !no {
			reason, no = err.Error(), true
		}
		if no {
			return problem(http.StatusConflict, rest.CodeToolTaken, reason)
		}
		f.tools[t.Name] = spec
	}
	return http.StatusOK, in
}

func (f api) startCall(r *http.Request) (int, any) {
	in, err := body[rest.StartRequest](r)
	if err != nil {
		return problem(http.StatusBadRequest, rest.CodeInvalidRequest, err.Error())
	}
	if in.Timeout != nil {
		in.Call.Timeout = *in.Timeout
	}
	requester := "agent:" + in.Agent
	in.Requester = requester
	id := approval.KeyedID(requester, in.IdempotencyKey)
	digest, err := in.Call.Digest(id)
	if err != nil {
		return about(id, http.StatusUnprocessableEntity, approval.CodeInvalid, err.Error())
	}
	err = f.begin(calls.Start{ID: id, Call: in.Call, Fingerprint: digest})
	if errors.Is(err, calls.ErrConflict) {
		return about(id, http.StatusConflict, approval.CodeConflict, "the key is another call's")
	}
	if err != nil {
		return about(id, http.StatusInternalServerError, approval.CodeInternalError, err.Error())
	}
	f.await(r.Context(), in.Wait.Std(), func() bool { c := f.calls[id]; return c.mayStart || c.ended() })
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.calls[id]; in.StartID != "" && (c.mayStart || c.start == in.StartID && !c.ended()) {
		return f.start(c, in.StartID)
	}
	return f.shown(id)
}

// await waits until cond is true, which holds f.mu, or the time is up.
func (f api) await(ctx context.Context, most time.Duration, cond func() bool) {
	up := time.NewTimer(most)
	defer up.Stop()
	for {
		f.mu.Lock()
		done, news := cond(), f.news
		f.mu.Unlock()
		if done {
			return
		}
		select {
		case <-news:
		case <-up.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// shown is a call as it stands: an Outcome once it has ended. The caller holds f.mu.
func (f api) shown(id string) (int, any) {
	c := f.calls[id]
	switch {
	case c == nil:
		return about(id, http.StatusNotFound, approval.CodeNotFound, "there is no such call")
	case c.ended():
		return http.StatusOK, c.Outcome
	}
	return http.StatusAccepted, rest.OpenCall{View: c.revised()}
}

// revised is the view of a call that goes on.
func (c *call) revised() rest.View {
	v := rest.View{View: c.view()}
	v.Revision = string(v.Status)
	return v
}

func (f api) getCall(r *http.Request) (int, any) {
	id := r.PathValue("id")
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait")) // none: at once
	f.await(r.Context(), wait, func() bool { c := f.calls[id]; return c == nil || c.ended() || c.mayStart })
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.shown(id)
}

func (f api) waitCalls(r *http.Request) (int, any) {
	in, err := body[rest.WaitRequest](r)
	if err != nil {
		return problem(http.StatusBadRequest, rest.CodeInvalidRequest, err.Error())
	}
	out := rest.WaitAnswer{Calls: []rest.WaitedCall{}}
	f.await(r.Context(), in.Wait.Std(), func() bool {
		for _, known := range in.Calls {
			c := f.calls[known.ID]
			switch {
			case c == nil:
				out.Calls = append(out.Calls, rest.WaitedCall{ID: known.ID, Code: approval.CodeNotFound})
			case c.ended():
				o := c.Outcome
				out.Calls = append(out.Calls, rest.WaitedCall{ID: known.ID, Outcome: &o})
			default:
				if v := c.revised(); v.Revision != known.Revision {
					out.Calls = append(out.Calls, rest.WaitedCall{ID: known.ID, Call: &v})
				}
			}
		}
		return len(out.Calls) > 0
	})
	return http.StatusOK, out
}

func (f api) startTool(r *http.Request) (int, any) {
	in, err := body[rest.StartToolRequest](r)
	if err != nil {
		return problem(http.StatusBadRequest, rest.CodeInvalidRequest, err.Error())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := r.PathValue("id")
	switch c := f.calls[id]; {
	case c == nil:
		return about(id, http.StatusNotFound, approval.CodeNotFound, "there is no such call")
	case c.ended():
		return about(id, http.StatusConflict, rest.CodeEnded, "the call has ended")
	case c.mayStart || c.start == in.StartID:
		return f.start(c, in.StartID)
	case c.start != "":
		return about(id, http.StatusConflict, rest.CodeStarted, "somebody else has started the tool")
	}
	return about(id, http.StatusConflict, rest.CodeNotApproved, "the call is not approved yet")
}

// start lets one process run the tool. The caller holds f.mu.
func (f api) start(c *call, startID string) (int, any) {
	if c.mayStart {
		c.mayStart, c.executing, c.start, c.startedAt = false, true, startID, time.Now().UTC()
		f.tell()
	}
	within := cmp.Or(c.Call.Call.ReportWithin, approval.DefaultReportWithin).Std()
	return http.StatusOK, rest.Started{
		ID: c.ID, Status: approval.StatusExecuting, Digest: c.view().Digest, Args: c.Call.Call.Args,
		ReportBy: c.startedAt.Add(within),
	}
}

func (f api) report(r *http.Request) (int, any) {
	in, err := body[approval.ReportSignal](r)
	if err == nil {
		err = in.Validate()
	}
	if err != nil {
		return problem(http.StatusUnprocessableEntity, approval.CodeInvalid, err.Error())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := r.PathValue("id")
	c := f.calls[id]
	o, brief := in.Outcome()
	switch {
	case c == nil:
		return about(id, http.StatusNotFound, approval.CodeNotFound, "there is no such call")
	case c.start == "":
		return about(id, http.StatusConflict, rest.CodeNotStarted, "nobody has started the tool")
	case c.start != in.StartID:
		return about(id, http.StatusConflict, rest.CodeStarted, "somebody else has started the tool")
	case c.ended() && (c.reported == nil || !c.reported.Same(brief)):
		return about(id, http.StatusConflict, rest.CodeReportedLate, "the call had ended before this report came")
	case !c.ended():
		c.reported, o.Decision = &brief, c.settled
		f.end(c, o)
	}
	return http.StatusOK, c.Outcome
}
