package hook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/strictjson"
)

const (
	// DefaultWait is how long a tool call waits for people before the model hears that it is pending.
	// DefaultTimeout is the host's own limit; the difference is what an answer may take beyond the
	// wait.
	DefaultWait    = 4*time.Minute + 30*time.Second
	DefaultTimeout = 5 * time.Minute

	// reportWithin is how long the host may take for a call that it was let run: the person at its own
	// prompt, and then the tool. A call of a host that was killed counts as lost then.
	reportWithin = 4 * time.Hour

	// reporting is how long one process tries to report.
	reporting = 10 * time.Second

	// Project is the label with the folder that the host was started in.
	Project = "project"
	// Subagent is the label with the kind of subagent that asks, where it is one.
	Subagent = "subagent"
)

// ClaudeOptions configure a ClaudeCode. Client and Dir are needed.
type ClaudeOptions struct {
	Client *client.Client
	// Dir is where records are kept, for this user alone. It is made if it is missing.
	Dir string
	// Agent names the agent, to reviewers and in the policy. Default: claude-code.
	Agent string
	Team  string // default: none
	// Project is the folder that the host was started in. Default: where the event says that it is
	// now.
	Project string
	// Wait is how long one tool call waits for people. Default: DefaultWait.
	Wait time.Duration
	// Headless lets what the policy allows run without the host's own permission rules, too.
	Headless bool
	// Print says that the host ends when its answer is complete. Then it may hold a call that waits
	// back, and whoever resumes the session goes on with it.
	Print bool
	// Guarded says of an MCP server of the host whether the gateway guards it, so that this hook need
	// not. Subagents may have servers of their own, with the same names. Default: none.
	Guarded func(server string, subagent bool) bool
	// Alive says whether the host is still there. One that was killed runs nothing, so this process must leave
	// the call to the next one. Default: it is.
	Alive func() bool
	// Trouble is added to a denial for which Pawl is not there, or broken: how to start it, or do without it.
	Trouble string
	// NoToken is added where Pawl does not know who asks. Default: Undo.
	NoToken string
	// Undo is added to each other denial that nobody has decided: how to do without Pawl. Default: nothing.
	Undo string
	// Now is the clock by which old records are removed. Default: time.Now.
	Now func() time.Time
}

// ClaudeCode answers the events of Claude Code's hooks. Each process answers one.
type ClaudeCode struct{ o ClaudeOptions }

// NewClaudeCode makes one.
func NewClaudeCode(o ClaudeOptions) (*ClaudeCode, error) {
	if o.Client == nil || o.Dir == "" {
		return nil, approval.Errorf(approval.CodeInvalid, "hook.ClaudeOptions: Client and Dir are needed")
	}
	o.Agent, o.Wait = cmp.Or(o.Agent, "claude-code"), cmp.Or(o.Wait, DefaultWait)
	if o.Wait < 0 {
		return nil, approval.Errorf(approval.CodeInvalid, "hook.ClaudeOptions: Wait %v is negative", o.Wait)
	}
	if o.Guarded == nil {
		o.Guarded = func(string, bool) bool { return false }
	}
	if o.Alive == nil {
		o.Alive = func() bool { return true }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &ClaudeCode{o}, nil
}

// Answer reads one event and answers it. Before a tool every error, and a panic too, is a denial.
func (h *ClaudeCode) Answer(ctx context.Context, in io.Reader) (a Answer) {
	e, err := readEvent(in)
	if err != nil {
		return Blocked(err, h.o.Undo)
	}
	defer func() {
		if p := recover(); p != nil {
			a = Blocked(fmt.Errorf("the hook of Pawl has failed: %v", p), h.o.Undo)
		}
	}()
	switch e.Name {
	case beforeTool:
		ctx, cancel := context.WithTimeout(ctx, h.o.Wait)
		defer cancel()
		go h.watch(ctx, cancel)
		return h.before(ctx, e)
	case sessionEnd:
		err = h.end(ctx, e)
	default:
		err = h.after(ctx, e)
	}
	return noted(err)
}

// watch ends the waiting when the host has gone.
func (h *ClaudeCode) watch(ctx context.Context, gone context.CancelFunc) {
	for retry.Sleep(ctx, time.Second) {
		if !h.o.Alive() {
			gone()
		}
	}
}

// before decides about a tool call that the host is about to make.
func (h *ClaudeCode) before(ctx context.Context, e event) Answer {
	if server, _, ok := mcpTool(e.Tool); ok && h.o.Guarded(server, e.Subagent != "") {
		return Answer{}
	}
	call, alike, err := h.call(e)
	if err != nil {
		return h.trouble(fmt.Errorf("this call can't be put before Pawl: %w", err))
	}
	s := h.session(e.Session)
	_, _ = h.flush(ctx, s, always)
	r, err := h.take(s, e.Use, alike)
	if err != nil {
		return h.trouble(err)
	}
	if r.Answered {
		r.close(false)
		return h.deny("Claude Code was let run this call before, so it may have run already. " +
			"Find out before you try again.")
	}
	b, err := h.permit(ctx, call, r)
	if r.Call == "" {
		r.close(!mayHaveBegun(err))
		return h.trouble(err)
	}
	a, open := h.decided(ctx, s, r, e, b, err)
	r.close(!open)
	return a
}

// call is the tool call as Pawl is asked about it.
func (h *ClaudeCode) call(e event) (c approval.Call, alike string, err error) {
	c = approval.Call{
		Tool: ToolName(e.Tool), Args: e.Input, Agent: h.o.Agent, Team: h.o.Team, Session: e.Session,
		Labels:    map[string]string{Project: cmp.Or(h.o.Project, e.Folder)},
		Execution: approval.ExecutionCaller, ReportWithin: approval.Duration(reportWithin),
	}
	if c.Labels[Project] == "" {
		delete(c.Labels, Project)
	}
	if e.Subagent != "" {
		c.Labels[Subagent] = e.Subagent
	}
	c.Normalize()
	if err := c.Validate(); err != nil {
		return c, "", err
	}
	canonical, err := strictjson.Canonical(c.Args)
	return c, hash(c.Tool, string(canonical)), err
}

// take finds the record of a call that the host held back, or of one that the model tries again
// after it was told that it waits. Else it makes a new one.
func (h *ClaudeCode) take(s session, use, alike string) (*record, error) {
	r, err := s.find(func(r *record) bool { return r.Use == use })
	if r == nil && err == nil {
		if s.has(use) {
			return nil, errors.New("another process answers for this tool call: is the hook installed twice?")
		}
		r, err = s.find(func(r *record) bool { return r.Alike == alike && !r.Answered && r.Report == nil })
	}
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return s.open(use, alike)
	case r.Use == use && r.Alike != alike:
		r.close(false)
		return nil, errors.New("the host uses one tool_use_id for two calls")
	case r.Use != use:
		r.Use, r.Deferred = use, false
		if err := r.write(); err != nil {
			r.close(false)
			return nil, err
		}
	}
	return r, nil
}

// permit asks Pawl, and waits until the tool is started or the call has ended.
func (h *ClaudeCode) permit(ctx context.Context, call approval.Call, r *record) (b client.Begun, err error) {
	v := client.View{}
	if v.ID = r.Call; v.ID != "" {
		b, err = h.o.Client.Permit(ctx, v, r.Start)
		if approval.CodeOf(err) != approval.CodeNotFound || err == nil {
			return b, err
		}
	}
	// Without a wait: a process that is killed while it waits has left the call's ID to the next one.
	// One that is killed before has left the key, by its record.
	if call.IdempotencyKey, err = r.key(call); err != nil {
		return b, err
	}
	v, _, err = h.o.Client.Attach(ctx, call, 0)
	if err != nil {
		return b, err
	}
	r.Call = v.ID
	if err := r.write(); err != nil { // on the disk before anything is started
		return client.Begun{View: v}, err
	}
	return h.o.Client.Permit(ctx, v, r.Start)
}

// mayHaveBegun reports whether there may be a call whose ID no answer has named.
func mayHaveBegun(err error) bool {
	var refused *client.Error
	var silent *client.UnreachableError
	switch {
	case errors.As(err, new(*client.UncertainError)):
		return true
	case errors.As(err, &refused):
		return refused.HTTPStatus < http.StatusBadRequest || refused.HTTPStatus >= http.StatusInternalServerError
	}
	return !errors.As(err, &silent) || silent.Sent
}

// decided answers by what became of a call. open says that its record is still needed.
func (h *ClaudeCode) decided(
	ctx context.Context, s session, r *record, e event, b client.Begun, err error,
) (a Answer, open bool) {
	var refused *client.Error
	switch {
	case b.Started:
		return h.let(ctx, r, e, b)
	case errors.As(err, &refused) && refused.Code == rest.CodeStarted:
		return h.deny(fmt.Sprintf("Somebody else has started this call (%s), so it may have run already. "+
			"Find out before you try again.", shown(r.Call))), false
	case errors.Is(err, context.DeadlineExceeded) && b.Status == approval.StatusPending:
		return h.pending(s, r, b.View)
	case errors.Is(err, context.DeadlineExceeded) && b.Status == approval.StatusEvaluating:
		return h.deny(troubleText(fmt.Errorf("nobody has judged the call %s in time: does a worker run?",
			shown(r.Call)), h.o.Trouble)), true
	case err != nil:
		return h.trouble(err), true
	case b.Lost():
		return h.trouble(fmt.Errorf("the call %s goes no further: %s", shown(r.Call), b.Error.Message)), false
	}
	return h.deny(denial(b.View)), false
}

// let lets the host run a tool that is started. What is said here is on the disk first: a record
// without Answered proves that the tool was not run.
func (h *ClaudeCode) let(ctx context.Context, r *record, e event, b client.Begun) (a Answer, open bool) {
	if !h.o.Alive() {
		return h.trouble(errors.New("the host, Claude Code, has ended")), true
	}
	changed, err := differ(e.Input, b.Args)
	if err == nil {
		r.Answered = true
		err = r.write()
	}
	if err != nil {
		r.Report = &approval.ReportSignal{Status: approval.ReportNotRun, Error: "the hook could not keep its start"}
		return h.trouble(fmt.Errorf("what this hook has started can't be kept: %w", err)), h.send(ctx, r) != nil
	}
	var d decision
	switch approved := b.Decision != nil && b.Decision.Kind == approval.FinalApprove; {
	case approved:
		d.Decision = "allow"
		d.Reason = fmt.Sprintf("%s approved this call in Pawl (%s).", shown(b.Decision.By), shown(r.Call))
	case h.o.Headless:
		d.Decision, d.Reason = "allow", fmt.Sprintf("Pawl's policy allows this call (%s).", shown(r.Call))
	case !changed:
		return Answer{}, true
	}
	if changed { // the host is to run other arguments than it asked about
		d.Input = b.Args
	}
	return h.say(d), true
}

// differ reports whether Pawl lets other arguments run than the host is about to.
func differ(asked, let json.RawMessage) (bool, error) {
	a, err := strictjson.Canonical(asked)
	if err != nil {
		return false, err
	}
	b, err := strictjson.Canonical(let)
	return !bytes.Equal(a, b), err
}

// pending answers when the time is up. The call waits on.
func (h *ClaudeCode) pending(s session, r *record, v client.View) (a Answer, open bool) {
	where := "in 'pawl review'"
	if v.URL != "" {
		where = "at " + shown(v.URL)
	}
	if h.o.Print {
		held, err := s.hold(r)
		if err != nil {
			return h.trouble(err), true
		}
		if held {
			reason := fmt.Sprintf("Pawl: %s waits for approval %s.", shown(r.Call), where)
			return h.say(decision{Decision: "defer", Reason: reason}), true
		}
	}
	return h.deny(fmt.Sprintf("This call is pending: %s still waits for a person, who decides %s. "+
		"Nothing has run. Go on with something else, and make the same call again later: it goes on where it "+
		"stopped.", shown(r.Call), where)), true
}

func (h *ClaudeCode) trouble(err error) Answer {
	if errors.Is(err, context.Canceled) {
		err = errors.New("this hook was stopped while it waited")
	}
	return h.deny(troubleText(err, h.help(err)))
}

// help is what a person can do about an error. To start Pawl helps only where it is silent or broken: what it
// refuses it refuses again, something else may answer in its place, and some calls are never put before it.
func (h *ClaudeCode) help(err error) string {
	refused, said := errors.AsType[*client.Error](err)
	silent, nothing := errors.AsType[*client.UnreachableError](err)
	switch {
	case said && refused.HTTPStatus == http.StatusUnauthorized:
		return cmp.Or(h.o.NoToken, h.o.Undo)
	case said && refused.HTTPStatus >= http.StatusInternalServerError,
		nothing && !silent.Answers(),
		errors.As(err, new(*client.UncertainError)), errors.Is(err, context.DeadlineExceeded):
		return h.o.Trouble
	}
	return h.o.Undo
}
