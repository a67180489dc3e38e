package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// The routes of calls whose callers run the tools themselves.

// callers returns Options.Callers, or says that this API may not write.
func (s *Server) callers() (Callers, error) {
	if s.o.Callers == nil {
		return nil, store.ErrReadOnly
	}
	return s.o.Callers, nil
}

// How often the store is asked whether calls that are waited for have changed, and when a wait renews
// the lease of its calls: not before it is clear that somebody waits. A caller that gives up closes its
// request and releases the call at once, and the two may come in any order.
var (
	watchPause = retry.Backoff{Most: time.Second}
	renewAfter = time.Second
	renewEvery = store.Lease / 3
)

// reportWait is how long the answer to a report waits for the workflow to take it.
const reportWait = 10 * time.Second

// attachTo finds a call of the same caller that is the same and that nobody uses, or returns "". A
// key that has a call finds that one, whoever uses it.
func (s *Server) attachTo(ctx context.Context, begin calls.Start) (id string, err error) {
	callers, err := s.callers()
	if err != nil {
		return "", err
	}
	if begin.Call.IdempotencyKey != "" {
		if _, err := s.o.Store.Call(ctx, begin.ID); !errors.Is(err, store.ErrNotFound) {
			return "", fromStore(err)
		}
	}
	key, err := callers.AlikeKey(ctx)
	if err != nil {
		return "", fromStore(err)
	}
	alike := store.Alike(key, begin.Call)
	if alike == "" {
		return "", nil
	}
	id, err = callers.Attach(ctx, alike)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return id, fromStore(err)
}

// followCaller is follow for a call whose caller runs the tool: the waiting ends, too, when the
// tool may be started, and as long as it lasts the call is this caller's.
func (s *Server) followCaller(
	ctx context.Context, id string, wait time.Duration,
) (*approval.Outcome, *calls.Description, error) {
	waiting, cancel := waiting(ctx, wait)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if s.watchStart(ctx, waiting, id) {
			cancel()
		}
	}()
	defer func() {
		cancel()
		<-watched
	}()
	return s.end(ctx, waiting, id)
}

// watchStart waits until the store says that a call's tool may be started. It keeps the call's lease.
func (s *Server) watchStart(ctx, waiting context.Context, id string) bool {
	lease := newRenewal()
	for pause := watchPause; ; {
		r, err := s.o.Store.Call(ctx, id)
		if err == nil && startable(r) {
			return true
		}
		if err == nil && r.View.Execution != approval.ExecutionCaller {
			return false
		}
		if err == nil && lease.due() {
			s.renew(ctx, r)
		}
		if lease.last || !lease.sleep(ctx, waiting, pause.Next()) {
			return false
		}
	}
}

// renew keeps the lease of a call that is waited for, if its caller runs it.
func (s *Server) renew(ctx context.Context, r store.Record) {
	if s.o.Callers == nil || r.View.Execution != approval.ExecutionCaller {
		return
	}
	if err := s.o.Callers.Renew(ctx, r.View.ID); err != nil && ctx.Err() == nil {
		s.o.Logger.DebugContext(ctx, "the lease of a call was not renewed", "id", r.View.ID, "error", err)
	}
}

// releaseCall gives the lease of a call back, for whoever asks the same next.
func (s *Server) releaseCall(c *gin.Context) error {
	id, err := s.callParam(c)
	if err != nil {
		return err
	}
	if err := decode(c, &struct{}{}, true); err != nil {
		return err
	}
	callers, err := s.callers()
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	r, err := s.callerRecord(ctx, id)
	if err == nil {
		err = fromStore(callers.Release(context.WithoutCancel(ctx), r.View.ID))
	}
	if err != nil {
		return err
	}
	return reply(c, http.StatusOK, s.shown(r.View))
}

func startable(r store.Record) bool {
	return r.View.Execution == approval.ExecutionCaller && r.View.Status == approval.StatusApproved &&
		r.Permit != nil && r.Permit.UsedAt.IsZero()
}

// replyCaller answers whoever starts a call to run its tool, with startID at once where it may.
func (s *Server) replyCaller(c *gin.Context, id string, wait time.Duration, startID string) error {
	ctx, until := c.Request.Context(), time.Now().Add(wait)
	c.Header("Location", callPath(id))
	hold := wait
	if startID != "" {
		hold = max(wait, s.o.QueryBudget)
	}
	o, d, err := s.followCaller(ctx, id, hold)
	if err == nil && hold > 0 {
		err = s.reauthenticate(c)
	}
	switch {
	case err != nil:
		p := problemOf(err)
		p.ID, p.Location = id, callPath(id)
		return p
	case o != nil:
		return s.replyStarted(c, *o, until)
	case !calls.IsOpen(d.Status):
		return s.replyExisting(c, id, until)
	}
	if startID != "" {
		r, err := s.o.Store.Call(ctx, id)
		if err == nil && (startable(r) || r.Permit != nil && r.Permit.Start == approval.HashStartID(startID)) {
			return s.start(c, id, startID)
		}
	}
	return s.replyOpen(c, http.StatusAccepted, d, false)
}

// startTool lets the caller run the tool of a call.
func (s *Server) startTool(c *gin.Context) error {
	id, err := s.callParam(c)
	if err != nil {
		return err
	}
	var in rest.StartToolRequest
	if err := decode(c, &in, false); err != nil {
		return err
	}
	if err := approval.CheckStartID(in.StartID); err != nil {
		return err
	}
	return s.start(c, id, in.StartID)
}

// start uses a call's permit for its caller, and answers with the arguments. The workflow hears of
// it before the answer; if it does not, it finds out at its next look at the store.
func (s *Server) start(c *gin.Context, id, startID string) error {
	callers, err := s.callers()
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	r, err := s.callerRecord(ctx, id)
	switch {
	case err != nil:
		return err
	case r.View.Status.Ended():
		return s.ended(c, r, rest.CodeEnded, "The call has ended.")
	case r.View.Execution != approval.ExecutionCaller:
		return notYet(r, "A worker runs the tool of this call.")
	case r.Permit == nil:
		return notYet(r, "The call is not approved yet.")
	}
	call, err := s.calls.Call(ctx, id)
	if err != nil {
		return err
	}
	r, err = callers.StartCaller(context.WithoutCancel(ctx), id, call, approval.HashStartID(startID), actor(c))
	switch {
	case errors.Is(err, store.ErrStarted):
		return newProblem(http.StatusConflict, rest.CodeStarted,
			"Somebody else has started the tool, perhaps this program before it was restarted. "+
				"Follow the call, and don't run the tool.").about(id, "")
	case errors.Is(err, store.ErrRunOut):
		return newProblem(http.StatusGone, approval.CodeExpired,
			"The approval ran out before the tool was started. Nothing may run; ask again.").about(id, "")
	case errors.Is(err, store.ErrNoPermit):
		return notYet(r, "The call has no permit that its caller may use.")
	case errors.Is(err, store.ErrDigest):
		return internalError(err)
	case err != nil:
		return fromStore(err)
	}
	err = s.calls.Signal(context.WithoutCancel(ctx), id, approval.SignalStarted, nil)
	if err != nil {
		s.o.Logger.WarnContext(ctx, "the workflow was not told of a start; it finds out itself",
			"id", id, "error", err)
	}
	if r.View.Status.Ended() {
		return s.ended(c, r, rest.CodeEnded, "The call has ended.")
	}
	out := rest.Started{ID: id, Status: r.View.Status, Digest: r.View.Digest, Args: call.Args}
	if at := r.View.StartedAt; at != nil {
		out.ReportBy = at.Add(r.View.ReportWithin.Std())
	}
	return reply(c, http.StatusOK, out)
}

// callerRecord is what the store has of a call, which is nothing before the policy has answered.
func (s *Server) callerRecord(ctx context.Context, id string) (store.Record, error) {
	r, err := s.o.Store.Call(ctx, id)
	if !errors.Is(err, store.ErrNotFound) {
		return r, fromStore(err)
	}
	if _, err := s.calls.Describe(ctx, id); err != nil {
		return r, err
	}
	return store.Record{View: approval.View{
		ID: id, Status: approval.StatusEvaluating, Execution: approval.ExecutionCaller,
	}}, nil
}

func notYet(r store.Record, detail string) *problem {
	p := newProblem(http.StatusConflict, rest.CodeNotApproved, detail).about(r.View.ID, "")
	p.CallStatus = r.View.Status
	return p
}

// ended is the problem of who comes too late. It tells how the call ended.
func (s *Server) ended(c *gin.Context, r store.Record, code, detail string) error {
	o, err := s.endOf(c, r)
	if err != nil {
		return err
	}
	p := newProblem(http.StatusConflict, code, detail).about(r.View.ID, "")
	p.CallStatus, p.CallOutcome = r.View.Status, &o
	return p
}

// endOf is how a call ended that the store says has ended: from its workflow, which has the raw
// result, if it is closed already.
func (s *Server) endOf(c *gin.Context, r store.Record) (approval.Outcome, error) {
	o := r.View.Outcome()
	whole, _, err := s.follow(c.Request.Context(), r.View.ID, 0)
	if err == nil && whole != nil {
		o = *whole
	}
	err = s.delivers(c, &o)
	return o, err
}

// delivers readies a call's end for an answer: it lays over it what a person said became of the
// call, which only the store knows, and notes that it is told, unless nobody may see the answer:
// nobody attaches to the call any more.
func (s *Server) delivers(c *gin.Context, o *approval.Outcome) error {
	ctx := c.Request.Context()
	o.Settled = nil // the workflow's word alone is no proof
	if o.Status == approval.StatusOutcomeUnknown {
		err := s.visible(c, o.ID) // its ID, too, is the workflow's word
		var r store.Record
		if err == nil {
			r, err = s.o.Store.Call(ctx, o.ID)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fromStore(err)
		}
		o.Settled = r.View.Settled
	}
	if o.Execution != approval.ExecutionCaller || !o.Status.Denied() || s.o.Callers == nil ||
		looksAhead(c.Request) {
		return nil
	}
	if err := s.o.Callers.Deliver(ctx, o.ID); err != nil && !errors.Is(err, store.ErrReadOnly) {
		return fromStore(err)
	}
	return nil
}

// reportOutcome takes a caller's report of how the tool ended that it ran.
func (s *Server) reportOutcome(c *gin.Context) error {
	id, err := s.callParam(c)
	if err != nil {
		return err
	}
	var in approval.ReportSignal
	if err := decode(c, &in, false); err != nil {
		return err
	}
	if err := cmp.Or(in.Normalize(), in.Validate()); err != nil {
		return err
	}
	if _, err := s.callers(); err != nil {
		return err
	}
	ctx := c.Request.Context()
	r, err := s.callerRecord(ctx, id)
	switch {
	case err != nil:
		return err
	case r.Permit == nil || r.Permit.UsedAt.IsZero() || r.View.Execution != approval.ExecutionCaller:
		p := newProblem(http.StatusConflict, rest.CodeNotStarted,
			"Nobody has started the tool of this call, so there is nothing to report.").about(id, "")
		p.CallStatus = r.View.Status
		return p
	case r.Permit.Start != approval.HashStartID(in.StartID):
		return newProblem(http.StatusConflict, rest.CodeStarted,
			"Somebody else has started the tool: only who started it reports.").about(id, "")
	case r.View.Status.Ended():
		return s.reported(c, r, in)
	}
	err = s.calls.Signal(context.WithoutCancel(ctx), id, approval.SignalReport,
		approval.SentReport{ReportSignal: in, Actor: actor(c)})
	if err != nil && !errors.Is(err, calls.ErrEnded) {
		return err
	}
	_, d, err := s.follow(ctx, id, reportWait)
	if err != nil && !errors.Is(err, calls.ErrUnknown) {
		return err
	}
	if r, err = s.o.Store.Call(ctx, id); err != nil {
		return fromStore(err)
	}
	switch {
	case r.View.Status.Ended():
		return s.reported(c, r, in)
	case d != nil && calls.IsOpen(d.Status):
		c.Header("Location", callPath(id))
		return s.replyOpen(c, http.StatusAccepted, d, false)
	}
	return workflowGone(id, d, r)
}

// reported answers a report about a call that has ended: by this very report, or otherwise.
func (s *Server) reported(c *gin.Context, r store.Record, in approval.ReportSignal) error {
	_, said := in.Outcome()
	if kept := r.View.Report; kept != nil {
		if kept.ResultDigest == "" { // the result holds what is hidden
			said.ResultDigest = ""
		}
		if kept.Same(said) {
			o, err := s.endOf(c, r)
			if err != nil {
				return err
			}
			return reply(c, http.StatusOK, o)
		}
	}
	ctx := c.Request.Context()
	call, err := s.calls.Call(ctx, r.View.ID)
	if err != nil {
		return err
	}
	late := approval.SentReport{ReportSignal: in, Actor: actor(c)}
	if err := s.o.Callers.ReportLate(context.WithoutCancel(ctx), r.View.ID, call, late); err != nil {
		return fromStore(err)
	}
	return s.ended(c, r, rest.CodeReportedLate,
		"The call had ended before this report came. The report is kept as evidence, and the outcome stays.")
}
