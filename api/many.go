package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/internal/calls"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// maxAtOnce is how many decisions of one request are sent at a time.
const maxAtOnce = 8

// decideMany takes decisions about many calls. Each is judged and answered on its own.
func (s *Server) decideMany(c *gin.Context) error {
	var in rest.DecisionsRequest
	if err := decode(c, &in, false); err != nil {
		return err
	}
	d, err := decision(c, in.Decision)
	if err != nil {
		return err
	}
	if err := checkDecisions(in); err != nil {
		return err
	}
	ctx, reader := c.Request.Context(), s.reader(c)
	out := rest.DecisionsAnswer{Results: make([]rest.DecisionResult, len(in.Items))}
	var all sync.WaitGroup
	turns := make(chan struct{}, maxAtOnce)
	for i, item := range in.Items {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			out.Results[i] = s.sendItem(ctx, reader, d, item, in.Notes)
		})
	}
	all.Wait()
	return reply(c, http.StatusOK, out)
}

func checkDecisions(in rest.DecisionsRequest) error {
	switch {
	case in.Decision != approval.Approve && in.Decision != approval.Reject:
		return invalid("decision: must be approve or reject")
	case len(in.Items) == 0 || len(in.Items) > rest.MaxDecisions:
		return invalid("items: must be 1 to %d", rest.MaxDecisions)
	}
	for i, item := range in.Items {
		same := func(other rest.DecisionItem) bool { return other.ID == item.ID }
		switch {
		case item.ID == "" || item.Digest == "":
			return invalid("items[%d]: needs the call's whole id, and the digest that was shown", i)
		case slices.IndexFunc(in.Items, same) < i:
			return invalid("items[%d]: the call is listed twice", i)
		}
	}
	return nil
}

func (s *Server) sendItem(
	ctx context.Context, reader ballot.Reader, d approval.Decision, item rest.DecisionItem, notes string,
) rest.DecisionResult {
	if approval.CheckID(item.ID) != nil {
		err := answered(rest.AnswerUnknown, item.ID, item.DecisionID, "", "No call has this ID.")
		return refusedItem(item, err)
	}
	a, state, err := s.send(ctx, reader, item.ID, d, rest.DecisionRequest{
		Notes: notes, Digest: item.Digest, DecisionID: item.DecisionID,
	})
	if err == nil {
		err = notCounted(a, state.View)
	}
	if err == nil {
		return rest.DecisionResult{ID: item.ID, DecisionID: a.DecisionID, Outcome: a.Outcome, Message: a.Message}
	}
	return refusedItem(item, problemOf(err))
}

func refusedItem(item rest.DecisionItem, p *problem) rest.DecisionResult {
	return rest.DecisionResult{
		ID: item.ID, DecisionID: p.DecisionID, Outcome: p.Outcome, Code: p.Code, Message: p.Detail,
	}
}

// cancelSession withdraws the calls of a session that have not started, as far as they are the
// caller's own. It answers which these were.
func (s *Server) cancelSession(c *gin.Context) error {
	session, err := pathParam(c, "session")
	if err == nil {
		err = approval.CheckName("session", session)
	}
	if err != nil {
		return err
	}
	by, notes, err := withdrawal(c)
	if err != nil {
		return err
	}
	ctx := context.WithoutCancel(c.Request.Context())
	q := store.CallQuery{
		Session: session, Limit: store.MaxPage,
		Statuses: []approval.Status{approval.StatusPending, approval.StatusApproved},
	}
	if onlyOwn(c) {
		q.Requester = principal(c).Subject
	}
	out := rest.SessionCancelled{IDs: []string{}}
	for more := true; more; more = q.Cursor != "" {
		page, err := s.o.Store.Calls(ctx, q)
		if err != nil {
			return fromStore(err)
		}
		for _, v := range page.Items {
			out.IDs = append(out.IDs, v.ID)
		}
		q.Cursor = page.Next
	}
	withdrawn := 0
	var failed *problem
	for _, id := range out.IDs {
		how := via(c)
		signal := approval.CancelSignal{
			DecisionID: newDecisionID(), By: by, Channel: how.Channel, Method: how.Method, Notes: notes,
		}
		err := s.calls.Signal(ctx, id, approval.SignalCancel, signal)
		if err == nil || over(err) {
			withdrawn++
			continue
		}
		if failed == nil {
			failed = problemOf(err).about(id, "")
		}
		if !errors.Is(err, calls.ErrTooManySignals) { // of this one call; anything else meets the others, too
			break
		}
	}
	if failed != nil {
		failed.Detail = fmt.Sprintf("%d of %d calls of the session were withdrawn; you may repeat it. %s",
			withdrawn, len(out.IDs), failed.Detail)
		return failed
	}
	return reply(c, http.StatusAccepted, out)
}

// maxWaits bounds the calls that one request waits for.
const maxWaits = 200

// waitCalls answers when one of several calls has ended or changed.
func (s *Server) waitCalls(c *gin.Context) error {
	var in rest.WaitRequest
	if err := decode(c, &in, false); err != nil {
		return err
	}
	if len(in.Calls) == 0 || len(in.Calls) > maxWaits {
		return invalid("calls: name 1 to %d calls", maxWaits)
	}
	for i, w := range in.Calls {
		if w.ID == "" || approval.CheckID(w.ID) != nil || !readable(w.Revision) {
			return invalid("calls[%d]: no call can have this ID and revision", i)
		}
	}
	wait := min(in.Wait.Std(), s.o.MaxWait)
	done, err := s.quotas.hold(principal(c), wait)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := waiting(c.Request.Context(), wait)
	defer cancel()
	lease := newRenewal()
	for pause := watchPause; ; {
		out := rest.WaitAnswer{Calls: []rest.WaitedCall{}}
		renew := lease.due()
		for _, w := range in.Calls {
			changed, err := s.changed(c, w, renew)
			if err != nil {
				return err
			}
			if changed != nil {
				out.Calls = append(out.Calls, *changed)
			}
		}
		if len(out.Calls) == 0 && wait > 0 && !lease.last && lease.sleep(c.Request.Context(), ctx, pause.Next()) {
			continue
		}
		if wait > 0 {
			if err := s.reauthenticate(c); err != nil {
				return err
			}
		}
		for _, w := range out.Calls {
			if w.Outcome == nil {
				continue
			}
			if err := s.delivers(c, w.Outcome); err != nil {
				return err
			}
		}
		return reply(c, http.StatusOK, out)
	}
}

// changed is a call that has ended or has another revision, or nil. Its lease is renewed if renew.
func (s *Server) changed(c *gin.Context, w rest.WaitCall, renew bool) (*rest.WaitedCall, error) {
	ctx := c.Request.Context()
	if err := s.visible(c, w.ID); errors.Is(err, store.ErrNotFound) {
		return &rest.WaitedCall{ID: w.ID, Code: approval.CodeNotFound}, nil
	} else if err != nil {
		return nil, err
	}
	r, err := s.callerRecord(ctx, w.ID)
	switch {
	case errors.Is(err, calls.ErrUnknown):
		return &rest.WaitedCall{ID: w.ID, Code: approval.CodeNotFound}, nil
	case err != nil:
		return nil, err
	case r.View.Status.Ended():
		o, d, err := s.follow(ctx, w.ID, 0)
		if err != nil && !errors.Is(err, calls.ErrUnknown) {
			return nil, err
		}
		if o == nil && d != nil && calls.IsOpen(d.Status) {
			return nil, nil // it is about to close
		}
		if o == nil {
			kept := r.View.Outcome()
			o = &kept
		}
		return &rest.WaitedCall{ID: w.ID, Outcome: o}, nil
	}
	if renew {
		s.renew(ctx, r)
	}
	v := s.shown(r.View)
	if v.Revision == w.Revision {
		return nil, nil
	}
	return &rest.WaitedCall{ID: w.ID, Call: &v}, nil
}
