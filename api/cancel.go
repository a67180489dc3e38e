package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/rest"
)

// cancelCall withdraws a call: 200 once it is cancelled, also by an earlier request; 202 while that
// is not certain; 409 when it ended otherwise.
func (s *Server) cancelCall(c *gin.Context) error {
	id, err := s.callParam(c)
	if err != nil {
		return err
	}
	by, notes, err := withdrawal(c)
	if err != nil {
		return err
	}
	ctx := c.Request.Context()
	o, d, err := s.follow(ctx, id, 0) // also keeps the signal from workflows that are no calls
	if err == nil && o == nil && calls.IsOpen(d.Status) {
		how := via(c)
		signal := approval.CancelSignal{
			DecisionID: newDecisionID(), By: by, Channel: how.Channel, Method: how.Method, Notes: notes,
		}
		err = s.calls.Signal(context.WithoutCancel(ctx), id, approval.SignalCancel, signal)
		if err != nil && !over(err) {
			return err
		}
		if err := s.refused(ctx, id, signal.DecisionID); err != nil {
			return err
		}
		o, d, err = s.follow(ctx, id, s.o.QueryBudget)
		if err == nil && o == nil {
			// Of a tool that its caller runs the workflow had to ask the store first.
			if err := s.refused(ctx, id, signal.DecisionID); err != nil {
				return err
			}
		}
	}
	switch {
	case err != nil && !errors.Is(err, calls.ErrUnknown):
		return err
	case o != nil:
		return replyCancelled(c, *o)
	case d != nil && calls.IsOpen(d.Status):
		c.Header("Location", callPath(id))
		return s.replyOpen(c, http.StatusAccepted, d, false)
	}
	r, err := s.o.Store.Call(ctx, id)
	if err != nil {
		return fromStore(err)
	}
	if !r.View.Status.Ended() {
		return workflowGone(id, d, r)
	}
	return replyCancelled(c, r.View.Outcome())
}

// withdrawal reads who withdraws, and why.
func withdrawal(c *gin.Context) (by, notes string, err error) {
	by = principal(c).Subject
	if len(c.Request.Header.Values(rest.HeaderReviewer)) > 0 {
		if by, err = reviewer(c, "withdraws it"); err != nil {
			return "", "", err
		}
	}
	var in rest.CancelRequest
	if err := decode(c, &in, true); err != nil {
		return "", "", err
	}
	return by, in.Notes, approval.CheckNotes(in.Notes)
}

// over reports whether a signal came too late: its call has ended.
func over(err error) bool { return errors.Is(err, calls.ErrEnded) }

// refused is the problem of a withdrawal that a running workflow has refused or ignored.
func (s *Server) refused(ctx context.Context, id, decisionID string) error {
	budget, cancel := calls.Within(ctx, s.o.QueryBudget)
	defer cancel()
	state, err := s.calls.State(budget, id)
	if err != nil {
		s.o.Logger.DebugContext(ctx, "the workflow did not say whether it is withdrawn", "id", id, "error", err)
		return nil
	}
	a, ok := state.Find(decisionID)
	switch never := !ok && ignored(state); {
	case state.Status.Ended():
	case a.Outcome == approval.AnswerAlreadyResolved, never && state.Status == approval.StatusExecuting:
		return tooLateToCancel(id, state.Status)
	case never:
		return calls.ErrTooManySignals
	}
	return nil
}

func replyCancelled(c *gin.Context, o approval.Outcome) error {
	if o.Status != approval.StatusCancelled {
		return tooLateToCancel(o.ID, o.Status)
	}
	return reply(c, http.StatusOK, o)
}

func tooLateToCancel(id string, status approval.Status) error {
	return answered(approval.AnswerAlreadyResolved, id, "", status,
		"It is too late to withdraw the call: it is "+string(status)+".")
}

// ignored reports whether a decision for which the workflow has no answer will never get one.
func ignored(state approval.State) bool { return state.TooManySignals && !state.Judging }

// undecided reports whether decisions can count for a call with this status.
func undecided(s approval.Status) bool {
	return s == approval.StatusEvaluating || s == approval.StatusPending
}
