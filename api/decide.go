package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// judgingPause is how long after "judging" a workflow is asked again; it doubles each time.
const judgingPause = 50 * time.Millisecond

// admissionWait is how long a decision waits for its call to be judged by the policy.
const admissionWait = time.Second

func newDecisionID() string { return "decision-" + strings.ToLower(rand.Text()) }

func decisionPath(id, decisionID string) string {
	return "/api/requests/" + url.PathEscape(id) + "/decisions/" + url.PathEscape(decisionID)
}

// decide takes one reviewer's decision.
func (s *Server) decide(kind approval.DecisionKind) handler {
	return func(c *gin.Context) error {
		id, err := idParam(c)
		if err != nil {
			return err
		}
		d, err := decision(c, kind)
		if err != nil {
			return err
		}
		var in rest.DecisionRequest
		if err := decode(c, &in, true); err != nil {
			return err
		}
		a, state, err := s.send(c.Request.Context(), s.reader(c), id, d, in)
		if err != nil {
			return err
		}
		return s.replyAnswer(c, a, state)
	}
}

// send records one decision: it sends the signal, which is durable, then asks the workflow what the
// decision did.
func (s *Server) send(
	ctx context.Context, reader ballot.Reader, id string, d approval.Decision, in rest.DecisionRequest,
) (approval.Answer, approval.State, error) {
	var nothing approval.Answer
	fail := func(err error) (approval.Answer, approval.State, error) { return nothing, approval.State{}, err }
	if err := checkDecision(in); err != nil {
		return fail(answered(approval.AnswerInvalid, id, in.DecisionID, "", err.Error()))
	}
	if d.ID, d.Notes = in.DecisionID, in.Notes; d.ID == "" {
		d.ID = newDecisionID()
	}
	r, err := s.admitted(ctx, id, d.ID)
	if err != nil {
		return fail(err)
	}
	if a, known := settled(r, d); known {
		return a, approval.State{View: r.View}, nil
	}
	// Without a digest the decision is about what the store shows. Saying so lets it count even if
	// the workflow does not know yet that it waits: the store shows a call a moment before.
	digest := cmp.Or(in.Digest, r.View.Digest)
	foreseen := foreseen(reader, r.View, d, digest)
	if foreseen.Outcome == approval.AnswerForbidden {
		s.recordForbidden(ctx, id, foreseen.Answer, d)
		return foreseen.Answer, approval.State{View: r.View}, nil
	}
	if !foreseen.Refused() { // what will be refused is neither signed nor put on record as sent
		if d, err = s.signed(ctx, r.View, d); err != nil {
			return fail(err)
		}
		if err := s.recordSent(ctx, id, digest, d); err != nil {
			return fail(err)
		}
	}
	// A caller that hangs up does not stop it.
	err = s.calls.Signal(context.WithoutCancel(ctx), id, signalName(d.Kind), approval.DecisionSignal{
		DecisionID: d.ID, Reviewer: d.Reviewer, Channel: d.Channel, Notes: d.Notes, Digest: digest,
		Groups: d.Groups, Method: d.Method, Envelope: d.Envelope, NotesSalt: d.NotesSalt,
	})
	if errors.Is(err, calls.ErrEnded) {
		return s.tooLate(ctx, id, d)
	}
	full := errors.Is(err, calls.ErrTooManySignals)
	if err != nil && !full {
		p := problemOf(err).about(id, d.ID)
		p.Detail += " The decision may have arrived anyway. You may repeat it: it counts only once."
		return fail(p)
	}
	a, state := s.judged(ctx, r, d)
	full = full || ignored(state)
	switch {
	case a.Outcome != rest.AnswerNotJudged:
	case foreseen.Refused():
		a = foreseen.Answer // all it can become
	case full && undecided(state.Status):
		return fail(problemOf(calls.ErrTooManySignals).about(id, d.ID))
	case full:
		a = ballot.Closed(state.View, d)
	}
	return a, state, nil
}

// admitted returns the record of the call that a decision is about. A call gets one when the policy
// has judged it, a moment after its start: for that it waits a little.
func (s *Server) admitted(ctx context.Context, id, decisionID string) (store.Record, error) {
	patience, cancel := waiting(ctx, admissionWait)
	defer cancel()
	closed := false
	for pause := judgingPause; ; pause *= 2 {
		r, err := s.o.Store.Call(ctx, id)
		if !errors.Is(err, store.ErrNotFound) {
			return r, fromStore(err)
		}
		d, missing := s.calls.Describe(ctx, id)
		switch {
		case errors.Is(missing, calls.ErrUnknown):
			return r, answered(rest.AnswerUnknown, id, decisionID, "",
				"No call has this ID. Decisions need the whole ID, not its beginning.")
		case missing != nil:
			return r, missing
		case !calls.IsOpen(d.Status) && closed:
			return r, workflowGone(id, d, r).about(id, decisionID)
		case !calls.IsOpen(d.Status):
			closed = true // its end may have come between the two looks
		case !retry.Sleep(patience, pause):
			return r, answered(rest.AnswerNotWaiting, id, decisionID, approval.StatusEvaluating,
				"The policy has not judged the call yet, so it does not wait for anybody. Try again in a moment.")
		}
	}
}

// decision is the one place that makes a decision of a principal: who decides, in which groups, and
// how they were authenticated.
func decision(c *gin.Context, kind approval.DecisionKind) (approval.Decision, error) {
	name, err := reviewer(c, "decides")
	d := approval.Decision{Kind: kind, Reviewer: name, Channel: channel(c)}
	if p := principal(c); p.Authenticated() {
		d.Groups, d.Method = p.Groups, string(p.Method)
	}
	return d, err
}

// foreseen judges a decision before it is sent, as if it came in time and were signed where this
// API signs. If it is refused here, the workflow will refuse it, too, whatever others decide.
func foreseen(reader ballot.Reader, v approval.View, d approval.Decision, digest string) ballot.Judgement {
	rules := ballot.RulesOf(v)
	d.Authenticated = reader.Authenticated
	j := rules.Judge(ballot.Decision{Decision: d, Digest: digest})
	if j.Refused() {
		j.Message = rules.Why(j, reader)
	}
	return j
}

// reader is who asks, as far as that matters for deciding. Without authentication it may have no
// name.
func (s *Server) reader(c *gin.Context) ballot.Reader {
	p := principal(c)
	r := ballot.Reader{Reviewer: p.Has(rest.RoleReviewer)}
	r.Name, _ = reviewer(c, "decides")
	if p.Authenticated() {
		r.Groups, r.Authenticated = p.Groups, s.o.Signer != nil
	}
	return r
}

// recordForbidden puts a decision on record that was never sent to its workflow, where this process
// may write the record; the log tells in any case.
func (s *Server) recordForbidden(ctx context.Context, id string, a approval.Answer, d approval.Decision) {
	s.o.Logger.WarnContext(ctx, "a decision was forbidden", "id", id, "reviewer", d.Reviewer, "decision", d.Kind)
	s.recordRefusal(ctx, id, "forbidden/"+d.ID, audit.Refusal{
		Answer: approval.Answer{DecisionID: d.ID, Outcome: a.Outcome, Message: a.Message},
		Signal: signalName(d.Kind), Reviewer: d.Reviewer, Channel: d.Channel, Method: d.Method,
	})
}

func (s *Server) recordRefusal(ctx context.Context, id, step string, r audit.Refusal) {
	e, err := audit.New(id, step, time.Now(), audit.Refused{Refused: []audit.Refusal{r}})
	if err == nil {
		err = s.o.Store.Append(context.WithoutCancel(ctx), e)
	}
	if err != nil && !errors.Is(err, store.ErrReadOnly) {
		s.o.Logger.ErrorContext(ctx, "a forbidden decision was not put on record", "id", id, "error", err)
	}
}

// recordSent puts a rejection, or a signed approval, on record before its workflow hears of it: from
// then on a claim counts it, even if the workflow never does. An approval that can't be put on record
// is not sent. A rejection is, all the same; and where this process may not write the record at all,
// everything is.
func (s *Server) recordSent(ctx context.Context, id, digest string, d approval.Decision) error {
	if d.Kind == approval.Approve && len(d.Envelope) == 0 {
		return nil
	}
	at := time.Now().UTC().Truncate(time.Microsecond)
	sent := audit.Sent{
		DecisionID: d.ID, Reviewer: d.Reviewer, Channel: d.Channel, Method: d.Method, Digest: digest, At: at,
	}
	if d.Kind != approval.Reject {
		sent.Decides = d.Kind
	}
	e, err := audit.New(id, "sent/"+d.ID, at, sent)
	if err == nil {
		err = s.o.Store.Append(context.WithoutCancel(ctx), e)
	}
	switch {
	case err == nil || errors.Is(err, store.ErrReadOnly):
		return nil
	case d.Kind == approval.Reject:
		s.o.Logger.Log(ctx, s.pace.Level("rejection", slog.LevelWarn),
			"a rejection was not put on record before it was sent", "id", id, "error", err)
		return nil
	}
	return unavailable(rest.CodeStoreUnavailable,
		"The decision can't be put on record now, so it was not made; try again.", err).about(id, d.ID)
}

func checkDecision(in rest.DecisionRequest) error {
	return cmp.Or(
		approval.CheckName("decision_id", in.DecisionID),
		approval.CheckName("digest", in.Digest),
		approval.CheckNotes(in.Notes),
	)
}

func signalName(kind approval.DecisionKind) string {
	if kind == approval.Approve {
		return approval.SignalApprove
	}
	return approval.SignalReject
}

// settled answers a decision from the stored record, where no workflow will: the call has ended, or
// never was a request.
func settled(r store.Record, d approval.Decision) (approval.Answer, bool) {
	if r.IsRequest && !r.View.Status.Ended() {
		return approval.Answer{}, false
	}
	return ballot.Closed(r.View, d), true
}

// judged asks the workflow what the acknowledged decision d did, within the budget. Where it does
// not say, the store may: its end is recorded there before a workflow closes.
func (s *Server) judged(
	ctx context.Context, r store.Record, d approval.Decision,
) (approval.Answer, approval.State) {
	budget, cancel := calls.Within(ctx, s.o.QueryBudget)
	defer cancel()
	id, last := r.View.ID, approval.State{View: r.View}
	for pause := judgingPause; ; pause *= 2 {
		state, err := s.calls.State(budget, id)
		if err != nil {
			s.o.Logger.DebugContext(ctx, "the workflow did not say what a decision did", "id", id, "error", err)
			break
		}
		last = state
		if a, ok := found(state, d.ID); ok {
			return ballot.Same(a, state.View, d), state
		}
		if !state.Judging || !retry.Sleep(budget, pause) {
			break
		}
	}
	if r, err := s.o.Store.Call(ctx, id); err == nil {
		if a, known := settled(r, d); known {
			return a, approval.State{View: r.View}
		}
	}
	return approval.Answer{DecisionID: d.ID, Outcome: rest.AnswerNotJudged,
		Message: "The decision is on record and will be judged; ask again at the location."}, last
}

// found returns the workflow's answer to a decision; votes outlive answers.
func found(state approval.State, decisionID string) (approval.Answer, bool) {
	if a, ok := state.Find(decisionID); ok {
		return a, true
	}
	for _, a := range ballot.Answers(state.View) {
		if a.DecisionID == decisionID {
			return a, true
		}
	}
	return approval.Answer{}, false
}

// tooLate answers a decision whose workflow has closed before it came.
func (s *Server) tooLate(
	ctx context.Context, id string, d approval.Decision,
) (a approval.Answer, state approval.State, err error) {
	r, err := s.o.Store.Call(ctx, id)
	if err != nil {
		return a, state, fromStore(err)
	}
	if a, known := settled(r, d); known {
		return a, approval.State{View: r.View}, nil
	}
	desc, err := s.calls.Describe(ctx, id)
	if err != nil && !errors.Is(err, calls.ErrUnknown) {
		return a, state, err
	}
	return a, state, workflowGone(id, desc, r).about(id, d.ID)
}

// answerStatus says which HTTP status each answer to a decision has.
var answerStatus = map[approval.AnswerOutcome]int{
	approval.AnswerResolved:        http.StatusOK,
	approval.AnswerRecorded:        http.StatusOK,
	rest.AnswerNotJudged:           http.StatusAccepted,
	approval.AnswerForbidden:       http.StatusForbidden,
	rest.AnswerUnknown:             http.StatusNotFound,
	rest.AnswerNotWaiting:          http.StatusConflict,
	approval.AnswerAlreadyResolved: http.StatusConflict,
	approval.AnswerStale:           http.StatusConflict,
	approval.AnswerExpired:         http.StatusGone,
	approval.AnswerInvalid:         http.StatusUnprocessableEntity,
}

// replyAnswer answers with what a decision did to the call.
func (s *Server) replyAnswer(c *gin.Context, a approval.Answer, state approval.State) error {
	v := state.View
	if err := notCounted(a, v); err != nil {
		return err
	}
	status := answerStatus[a.Outcome]
	out := rest.DecisionAnswer{
		Outcome: a.Outcome, DecisionID: a.DecisionID, Message: a.Message, View: s.shown(v),
	}
	if status == http.StatusAccepted {
		out.Location = decisionPath(v.ID, a.DecisionID)
		c.Header("Location", out.Location)
	}
	if status == http.StatusAccepted || a.Outcome == approval.AnswerRecorded {
		out.Waiting = s.waitingFor(c.Request.Context(), state)
	}
	return reply(c, status, out)
}

// notCounted is the problem of a decision that does not count, else nil.
func notCounted(a approval.Answer, v approval.View) error {
	switch status, known := answerStatus[a.Outcome]; {
	case !known:
		return errors.New("the workflow gave an answer that this version does not know")
	case status == http.StatusOK, status == http.StatusAccepted:
		return nil
	}
	return answered(a.Outcome, v.ID, a.DecisionID, v.Status, cmp.Or(a.Message, refusal(a.Outcome, v.Status)))
}

// answered is the problem of a decision, or withdrawal, that did not count. status is the call's,
// if that is known.
func answered(
	o approval.AnswerOutcome, id, decisionID string, status approval.Status, detail string,
) *problem {
	p := newProblem(answerStatus[o], string(o), detail).about(id, decisionID)
	p.Outcome, p.CallStatus = o, status
	if o == approval.AnswerExpired {
		p.Code = approval.CodeExpired
	}
	return p
}

func refusal(o approval.AnswerOutcome, status approval.Status) string {
	switch o {
	case approval.AnswerExpired:
		return "The decision came after the deadline; the call is " + string(status) + "."
	case approval.AnswerStale:
		return "The decision was about another digest than the call has. Look at the call again, then decide."
	case approval.AnswerForbidden:
		return "This reviewer may not decide about this call."
	case approval.AnswerInvalid:
		return "The decision could not be read."
	}
	return "The decision does not count: the call is already " + string(status) + "."
}
