package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/internal/attempts"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// listPages answers with a page of a list that takes no other parameters.
func listPages[T any](list func(context.Context, store.Paging) (store.Page[T], error)) handler {
	return func(c *gin.Context) error {
		limit, err := limitParam(c)
		if err != nil {
			return err
		}
		found, err := list(c.Request.Context(), store.Paging{Cursor: c.Query("cursor"), Limit: limit})
		if err != nil {
			return fromStore(err)
		}
		return replyList(c, found)
	}
}

// replyList answers with a page.
func replyList[T any](c *gin.Context, found store.Page[T]) error {
	found.Items = append([]T{}, found.Items...) // never null
	return reply(c, http.StatusOK, found)
}

// listRequests lists what reviewers have before them: pending calls, unless asked for others.
func (s *Server) listRequests(c *gin.Context) error {
	q := store.CallQuery{
		Requests: true,
		Tool:     c.Query("tool"), Agent: c.Query("agent"), Session: c.Query("session"),
		By: c.Query("by"), Cursor: c.Query("cursor"),
	}
	switch status := c.DefaultQuery("status", string(approval.StatusPending)); status {
	case "all":
	case "ended":
		q.Ended = true
	default:
		one, err := approval.ParseStatus(status)
		if err != nil {
			return invalid("status: must be all, ended or one of %v", approval.Statuses)
		}
		if q.Statuses = []approval.Status{one}; one == approval.StatusOutcomeUnknown {
			q.Unsettled = true // what nobody has to look into any more is found among all
		}
	}
	switch c.Query("order") {
	case "", "newest":
	case "deadline":
		q.Nearest = true
	default:
		return invalid("order: must be newest or deadline")
	}
	var err error
	if risk := c.Query("risk"); risk != "" {
		if q.Risk, err = approval.ParseRisk(risk); err != nil {
			return invalid("risk: must be one of %v", approval.Risks)
		}
	}
	if err = timesParam(c, &q.Since, &q.Until); err != nil {
		return err
	}
	if q.Limit, err = limitParam(c); err != nil {
		return err
	}
	if onlyOwn(c) {
		q.Requester = principal(c).Subject
	}
	list, reader := s.o.Store.Calls, s.reader(c)
	switch c.Query("may") {
	case "":
	case approval.MayApprove:
		if !slices.Equal(q.Statuses, []approval.Status{approval.StatusPending}) {
			return invalid("may: only calls that wait can be approved: the status must be pending")
		}
		if q.By != "" {
			return invalid("may: must not be given together with by: both are looked for call by call")
		}
		list = func(ctx context.Context, q store.CallQuery) (store.Page[approval.View], error) {
			return s.approvable(ctx, q, reader)
		}
	default:
		return invalid("may: must be %s", approval.MayApprove)
	}
	found, err := list(c.Request.Context(), q)
	if err != nil {
		return fromStore(err)
	}
	page := rest.Page[rest.ListedRequest]{Total: found.Total, Next: found.Next}
	tools := s.presentable(c.Request.Context())
	for _, v := range found.Items {
		item := rest.ListedRequest{View: s.shown(v), Summary: present.Summary(v, tools[v.Tool])}
		if v.Status == approval.StatusPending {
			item.You, item.Rack, item.Approvals = offer(item.View.View, nil, reader)
		}
		page.Items = append(page.Items, item)
	}
	return replyList(c, page)
}

func (s *Server) getRequest(c *gin.Context) error {
	ctx := c.Request.Context()
	r, err := s.requested(c)
	if err != nil {
		return err
	}
	out := rest.Request{View: s.shown(r.View), Timeline: []rest.Event{}}
	now := approval.State{View: out.View.View}
	if !r.View.Status.Ended() {
		full, err := s.addLiveState(ctx, &out)
		if err != nil {
			return err
		}
		now = approval.State{View: out.View.View, TooManySignals: full}
		out.Waiting = s.waitingFor(ctx, now)
	}
	if w := out.Waiting; w != nil {
		var problem string
		if out.PolicyNow, problem = s.policyNow(ctx, r, out.Status); problem != "" {
			w.Problems = append(w.Problems, rest.Obstacle{Code: rest.ObstaclePolicy, Message: problem})
		}
	}
	if r.IsRequest {
		if now.TooManySignals {
			now.Error = &approval.CallError{Code: rest.CodeTooManySignals, Message: nothingArrives}
		}
		out.You, out.Rack, out.Approvals = offer(now.View, out.PolicyNow, s.reader(c))
	}
	tool := s.presentable(ctx)[out.Tool]
	tool.Redacts = r.Verdict.Redact
	shown := present.Of(out.View.View, tool)
	out.Summary, out.Blocks = shown.Summary, shown.Blocks
	if shown.Found.Any() {
		out.Found = &shown.Found
	}
	if out.Attempts, out.Previous, err = attempts.Before(ctx, s.o.Store, r); err != nil {
		return fromStore(err)
	}
	entries, err := s.o.Store.Entries(ctx, store.EntryQuery{Subject: r.View.ID, Limit: store.MaxPage})
	if err != nil {
		return fromStore(err)
	}
	for _, e := range entries.Items {
		out.Timeline = append(out.Timeline, rest.Event{Kind: string(e.Kind),
			At: e.At, Payload: e.Payload, Damage: e.Damage})
	}
	out.TimelineCursor = entries.Next
	return reply(c, http.StatusOK, out)
}

// presentable are the catalogue's tools by name, as far as they say how calls are shown. Without the
// catalogue calls are shown by the shape of their arguments.
func (s *Server) presentable(ctx context.Context) map[string]present.Tool {
	tools, err := s.tools.get(ctx, struct{}{})
	if err != nil {
		s.o.Logger.DebugContext(ctx, "the store did not say which tools there are", "error", err)
	}
	return tools
}

func (s *Server) readPresentable(ctx context.Context, _ struct{}) (map[string]present.Tool, error) {
	rows, err := s.o.Store.Tools(ctx)
	tools := make(map[string]present.Tool, len(rows))
	for _, t := range rows {
		tools[t.Name] = present.Tool{Schema: t.Schema, Trusted: t.Publisher == s.o.TaskQueue}
	}
	return tools, err
}

// offer is ballot.For as the active policy would have it: people learn what approving does before
// they do it.
func offer(
	v approval.View, now *rest.PolicyNow, reader ballot.Reader,
) (*approval.You, []approval.Segment, *approval.Standing) {
	if now != nil && now.Effect == rest.EffectWaits {
		v.Requirement = now.Requirement
	}
	you, rack := ballot.For(v, reader)
	if now != nil && now.Effect == rest.EffectBlocked && you.IfApprove != "" {
		you.IfApprove = now.Reason
	}
	standing := ballot.Standing(v)
	return &you, rack, &standing
}

// requested returns the call that the path's ID, or prefix of one, means.
func (s *Server) requested(c *gin.Context) (r store.Record, err error) {
	ctx := c.Request.Context()
	prefix, err := s.callParam(c)
	if err != nil {
		return r, err
	}
	id, err := s.o.Store.Resolve(ctx, prefix)
	if errors.Is(err, store.ErrNotFound) {
		if d, _ := s.calls.Describe(ctx, prefix); d != nil && calls.IsOpen(d.Status) {
			return r, unknown("The policy has not judged this call yet, so it is no request. Try again in a moment.")
		}
	}
	if err == nil {
		r, err = s.o.Store.Call(ctx, id)
	}
	return r, fromStore(err)
}

// addLiveState brings a call that has not ended up to date with its workflow, if that answers
// within the budget, and reports whether that has got too many signals. What the call asks for stays
// as it is in the store.
func (s *Server) addLiveState(ctx context.Context, out *rest.Request) (full bool, err error) {
	budget, cancel := calls.Within(ctx, s.o.QueryBudget)
	defer cancel()
	d, err := s.calls.Describe(budget, out.ID)
	if err == nil && calls.IsOpen(d.Status) {
		state, err := s.calls.State(budget, out.ID)
		if err != nil {
			s.o.Logger.DebugContext(ctx, "the workflow did not say its state", "id", out.ID, "error", err)
			return false, nil
		}
		if state.Digest != out.Digest {
			s.o.Logger.WarnContext(ctx, "the workflow shows another digest than the store", "id", out.ID)
			return false, nil
		}
		out.Status, out.Votes, out.Answers, out.Live = state.Status, state.Votes, state.Answers, true
		return state.TooManySignals, nil
	}
	if err != nil && !errors.Is(err, calls.ErrUnknown) {
		s.o.Logger.DebugContext(ctx, "Temporal did not say the state of a call", "id", out.ID, "error", err)
		return false, nil
	}
	// Closed: it ended just now, or outside Pawl.
	r, err := s.o.Store.Call(ctx, out.ID)
	if err != nil {
		return false, fromStore(err)
	}
	if out.View = s.shown(r.View); !r.View.Status.Ended() {
		out.Error = noOutcome(d, r)
	}
	return false, nil
}

// getDecision tells what became of a decision, from the workflow, which also answers after its end,
// or from the votes that the store keeps.
func (s *Server) getDecision(c *gin.Context) error {
	ctx := c.Request.Context()
	decision, err := pathParam(c, "decision_id")
	if err != nil {
		return err
	}
	r, err := s.requested(c)
	if err != nil {
		return err
	}
	id := r.View.ID
	out := rest.DecisionState{ID: id, DecisionID: decision, Status: r.View.Status, Outcome: rest.AnswerNotJudged}
	for _, vote := range r.View.Votes {
		if vote.ID == decision && r.View.Status.Ended() {
			a, _ := settled(r, vote)
			out.Outcome = a.Outcome
			return reply(c, http.StatusOK, out)
		}
	}
	budget, cancel := calls.Within(ctx, s.o.QueryBudget)
	defer cancel()
	state, err := s.calls.State(budget, id)
	if err != nil {
		s.o.Logger.DebugContext(ctx, "the workflow did not say what a decision did", "id", id, "error", err)
	}
	if a, ok := found(state, decision); ok {
		out.Outcome, out.Message, out.Status = a.Outcome, a.Message, state.Status
		if r.View.ErasedAt != nil { // it may name people, and say what they wrote
			out.Message = ""
		}
		return reply(c, http.StatusOK, out)
	}
	switch over := r.View.Status.Ended(); {
	case over && err != nil && !errors.Is(err, calls.ErrUnknown):
		out.Message = "The workflow, which knows what became of the decision, does not answer now. Ask again."
	case over || !r.IsRequest:
		p := unknown("No decision with this ID is known for this call, and the call no longer waits for decisions.")
		p.CallStatus = r.View.Status
		return p.about(id, decision)
	case ignored(state) && undecided(state.Status):
		out.Message = nothingArrives
	}
	return reply(c, http.StatusAccepted, out)
}

// settle keeps what a reviewer says became of a call whose outcome is unknown, once: 200, also for
// the same again.
func (s *Server) settle(c *gin.Context) error {
	id, err := idParam(c)
	if err != nil {
		return err
	}
	said, err := settleRequest(c)
	if err != nil {
		return err
	}
	callers, err := s.callers()
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	r, err := s.callerRecord(ctx, id)
	if err != nil {
		return err
	}
	if r.View.Status != approval.StatusOutcomeUnknown {
		return notUnknown(r.View)
	}
	may, own := ballot.MaySettle(r.View, said.Settled.By)
	if said.Settled.SelfApproval = own; !may {
		s.o.Logger.WarnContext(ctx, "a call was not settled by whose it is", "id", id, "reviewer", said.Settled.By)
		const why = "Who asked for a call, or owns the agent that did, may not say what became of it: " +
			"somebody else must, unless its rule has self_approval."
		s.recordRefusal(ctx, id, "forbidden/settle/"+said.Settled.By, audit.Refusal{ // once for each person
			Answer: approval.Answer{Outcome: approval.AnswerForbidden, Message: why},
			Signal: "settle", Reviewer: said.Settled.By, Channel: said.Channel, Method: said.Method,
		})
		return answered(approval.AnswerForbidden, id, "", r.View.Status, why)
	}
	// What the arguments hide is hidden in what people write, too. Temporal may have forgotten them.
	call, err := s.calls.Call(ctx, id)
	if err != nil && !errors.Is(err, calls.ErrUnknown) && len(said.Settled.Result) > 0 {
		return err
	}
	r, err = callers.Settle(context.WithoutCancel(ctx), id, call, said)
	switch {
	case errors.Is(err, store.ErrSettled):
		o := r.View.Outcome()
		p := newProblem(http.StatusConflict, rest.CodeSettled, settledBefore(r.View.Settled)).about(id, "")
		p.CallStatus, p.CallOutcome = r.View.Status, &o
		return p
	case errors.Is(err, store.ErrNotUnknown): // unknown outcomes stay so
		return internalError(err)
	case approval.CodeOf(err) == approval.CodeInvalid:
		return err
	case err != nil:
		return fromStore(err)
	}
	return reply(c, http.StatusOK, s.shown(r.View))
}

// settleRequest reads what a reviewer says, and who they are.
func settleRequest(c *gin.Context) (said audit.Settled, err error) {
	if said.Settled.By, err = reviewer(c, "settles it"); err != nil {
		return said, err
	}
	var in rest.SettleRequest
	if err := decode(c, &in, false); err != nil {
		return said, err
	}
	if in.Ran == nil {
		return said, invalid("ran: say true if the tool did what it was asked to, or false")
	}
	said.Settled.Ran, said.Settled.Notes, said.Settled.Result = *in.Ran, in.Notes, in.Result
	if said.Channel = channel(c); principal(c).Authenticated() {
		said.Method = string(principal(c).Method)
	}
	return said, said.Settled.Check()
}

func notUnknown(v approval.View) *problem {
	detail := fmt.Sprintf(
		"The call is %s. Only a call that ended with an unknown outcome can be settled.", v.Status)
	p := newProblem(http.StatusConflict, rest.CodeNotUnknown, detail).about(v.ID, "")
	p.CallStatus = v.Status
	return p
}

func settledBefore(known *approval.Settled) string {
	if known == nil {
		return "Somebody has said before what became of the call, and that stays."
	}
	what := "did not run"
	if known.Ran {
		what = "ran"
	}
	return fmt.Sprintf("%s said at %s that the tool %s, and that stays.",
		approval.Display(known.By, 100), known.At.Format(time.RFC3339), what)
}
