package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/api/events"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
)

func (s *Server) listAudit(c *gin.Context) error {
	q, err := s.entryQuery(c)
	if err != nil {
		return err
	}
	found, err := s.o.Store.Entries(c.Request.Context(), q)
	if err != nil {
		return fromStore(err)
	}
	return replyList(c, found) // an audit.Entry's JSON is rest.Entry's
}

// stream takes one of the caller's places for requests that stay open. Its context also ends when the
// API stops; done gives the place back.
func (s *Server) stream(c *gin.Context) (ctx context.Context, done func(), err error) {
	release, err := s.quotas.hold(principal(c), s.o.MaxWait)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(c.Request.Context())
	unlink := context.AfterFunc(stopping(ctx), cancel)
	return ctx, func() { unlink(); cancel(); release() }, nil
}

// exportAudit writes all entries that fit, page by page, as lines of JSON.
func (s *Server) exportAudit(c *gin.Context) error {
	q, err := s.entryQuery(c)
	if err != nil {
		return err
	}
	ctx, done, err := s.stream(c)
	if err != nil {
		return err
	}
	defer done()
	sealed, err := s.o.Store.LastCheckpoint(ctx)
	if err != nil {
		return fromStore(err)
	}
	unfiltered := q
	unfiltered.Cursor, unfiltered.Limit = "", 0
	x := store.Exporter{Log: s.o.Store, Sealed: sealed.Size, Whole: unfiltered == store.EntryQuery{}}
	out := http.NewResponseController(c.Writer)
	q.Limit = store.MaxPage
	for first := true; ; first = false {
		found, err := s.o.Store.Entries(ctx, q)
		var page []any
		if err == nil {
			page, err = x.Lines(ctx, found.Items)
		}
		if err == nil {
			err = s.reauthenticate(c)
		}
		if err != nil && first {
			return fromStore(err)
		}
		_ = out.SetWriteDeadline(time.Now().Add(s.o.MaxWait + exportPageTime)) // not every writer has one
		c.Header("Content-Type", rest.NDJSON)
		lines := json.NewEncoder(c.Writer)
		lines.SetEscapeHTML(false)
		if err != nil {
			s.o.Logger.WarnContext(ctx, "an export of the audit log ended early", "error", err)
			return lines.Encode(rest.ExportedEntry{Problem: problemOf(fromStore(err)).Detail})
		}
		for _, line := range page {
			if err := lines.Encode(line); err != nil {
				return nil // the reader is gone
			}
		}
		if q.Cursor = found.Next; q.Cursor == "" {
			return nil
		}
		_ = out.Flush()
	}
}

// exportPageTime is how long a reader may take for a page of an export, beside a wait.
const exportPageTime = 45 * time.Second

// eraseCall erases what the store knows of a call that has ended, but for a tombstone, for good.
func (s *Server) eraseCall(c *gin.Context) error {
	id, err := idParam(c)
	if err != nil {
		return err
	}
	var in rest.EraseRequest
	if err := decode(c, &in, false); err != nil {
		return err
	}
	if strings.TrimSpace(in.Reason) == "" {
		return invalid("reason: say why what the call said is erased")
	}
	if err := approval.CheckNotes(in.Reason); err != nil {
		return err
	}
	ctx, p := c.Request.Context(), principal(c)
	r, err := s.o.Store.Call(ctx, id)
	switch {
	case err != nil:
		return fromStore(err)
	case !r.View.Status.Ended():
		return newProblem(http.StatusConflict, rest.CodeNotEnded,
			"The call has not ended, and what it says is needed until then. Withdraw it first.").about(id, "")
	case r.View.ErasedAt != nil:
		return reply(c, http.StatusOK, s.shown(r.View))
	}
	e, err := audit.New(id, "erased", time.Now(), audit.Erased{
		Calls: []string{id}, Rows: true, By: cmp.Or(p.Subject, "unauthenticated"), Reason: in.Reason,
		Via: approval.Via{Channel: channel(c), Method: string(p.Method)},
	})
	if err != nil {
		return err
	}
	_, err = s.o.Store.Erase(ctx, store.EraseParams{IDs: []string{id}, Erase: store.EraseRow, Entry: e})
	if err == nil {
		s.o.Logger.InfoContext(ctx, "a call was erased", "call", id, "by", p.Subject)
		r, err = s.o.Store.Call(ctx, id)
	}
	if err != nil {
		return fromStore(err)
	}
	return reply(c, http.StatusOK, s.shown(r.View))
}

// entryQuery reads which entries are asked for.
func (s *Server) entryQuery(c *gin.Context) (store.EntryQuery, error) {
	ctx := c.Request.Context()
	q := store.EntryQuery{
		Tool: c.Query("tool"), Agent: c.Query("agent"), By: c.Query("by"), Cursor: c.Query("cursor"),
	}
	switch c.Query("order") {
	case "", "oldest":
	case "newest":
		q.Newest = true
	default:
		return q, invalid("order: must be oldest or newest")
	}
	var err error
	if kind := c.Query("kind"); kind != "" {
		if q.Kind, err = audit.ParseKind(kind); err != nil {
			return q, err
		}
	}
	if q.Limit, err = limitParam(c); err != nil {
		return q, err
	}
	if err = timesParam(c, &q.Since, &q.Until); err != nil {
		return q, err
	}
	if status := c.Query("status"); status != "" {
		if q.Status, err = approval.ParseStatus(status); err != nil {
			return q, err
		}
	}
	if risk := c.Query("risk"); risk != "" {
		if q.Risk, err = approval.ParseRisk(risk); err != nil {
			return q, err
		}
	}
	if prefix := c.Query("request_id"); prefix != "" {
		if q.Subject, err = s.o.Store.Resolve(ctx, prefix); err != nil {
			return q, fromStore(err)
		}
	}
	return q, nil
}

// streamEvents tells which requests change, for as long as the client listens.
func (s *Server) streamEvents(c *gin.Context) error {
	if c.Request.Method == http.MethodHead {
		c.Header("Content-Type", events.ContentType)
		return nil
	}
	ctx, done, err := s.stream(c)
	if err != nil {
		return err
	}
	defer done()
	who := events.Listener{Good: func() error { return s.reauthenticate(c) }}
	if onlyOwn(c) {
		who.Requester = principal(c).Subject
	}
	err = s.events.Serve(ctx, c.Writer, who)
	if errors.Is(err, events.ErrFull) {
		return tooMany(rest.CodeTooManyWaits, waitsPause,
			fmt.Sprintf("%d listen to this API's events, the most that may.", events.MaxListeners))
	}
	return fromStore(err)
}

func (s *Server) listTools(c *gin.Context) error {
	ctx := c.Request.Context()
	tools, err := s.o.Store.Tools(ctx)
	if err != nil {
		return fromStore(err)
	}
	served := s.served(ctx, tools)
	page := rest.Page[rest.Tool]{Total: len(tools)}
	for _, t := range tools {
		page.Items = append(page.Items, rest.Tool{CatalogueTool: t, Served: served[t.Queue]})
	}
	return replyList(c, page)
}

// served looks which of the tools' queues are polled, as far as Temporal says so within the budget.
func (s *Server) served(ctx context.Context, tools []store.Tool) map[string]*bool {
	ctx, cancel := context.WithTimeout(ctx, s.o.QueryBudget)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	found, asked := map[string]*bool{}, map[string]bool{}
	for _, t := range tools {
		if asked[t.Queue] {
			continue
		}
		asked[t.Queue] = true
		all.Go(func() {
			polled, err := s.pollers.get(ctx, queue{t.Queue, enumspb.TASK_QUEUE_TYPE_ACTIVITY})
			if err != nil {
				s.o.Logger.DebugContext(ctx,
					"Temporal did not say who polls a task queue", "queue", t.Queue, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			found[t.Queue] = &polled
		})
	}
	all.Wait()
	return found
}

func (s *Server) index(c *gin.Context) error {
	var b strings.Builder
	b.WriteString("Pawl holds risky tool calls until a person approves them.\n\n")
	for _, r := range s.routes() {
		if r.handle != nil || s.o.Codec != nil {
			fmt.Fprintf(&b, "%-6s %-45s %s\n", r.method, r.path, r.what)
		}
	}
	c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(b.String()))
	return nil
}

// maxOwn bounds one list of an agent's tools.
const maxOwn = 500

// putOwnTools replaces a list of tools that an agent runs itself.
func (s *Server) putOwnTools(c *gin.Context) error {
	agent, err := pathParam(c, "agent")
	if err != nil {
		return err
	}
	var in rest.OwnTools
	if err := decode(c, &in, false); err != nil {
		return err
	}
	err = cmp.Or(approval.CheckName("agent", agent), approval.CheckName("source", in.Source))
	if err != nil {
		return err
	}
	if p := principal(c); p.Authenticated() && len(p.Agents) > 0 && !slices.Contains(p.Agents, agent) {
		return mismatch("The path names an agent that your token is not for.")
	}
	if len(in.Tools) > maxOwn {
		return invalid("tools: at most %d are taken", maxOwn)
	}
	callers, err := s.callers()
	if err != nil {
		return err
	}
	tools := make([]store.OwnTool, len(in.Tools))
	for i, t := range in.Tools {
		if err := approval.CheckTool(t.Name); err != nil {
			return invalid("tools[%d]: %w", i, err)
		}
		tools[i] = store.OwnTool(t)
	}
	taken, err := callers.OfferOwn(c.Request.Context(), agent, in.Source, tools)
	switch {
	case approval.CodeOf(err) == approval.CodeInvalid:
		return err
	case err != nil:
		return fromStore(err)
	case len(taken) > 0:
		return newProblem(http.StatusConflict, rest.CodeToolTaken, fmt.Sprintf(
			"Workers run tools of these names, so the list was not taken: %s.",
			approval.Display(strings.Join(taken, ", "), 500)))
	}
	return reply(c, http.StatusOK, in)
}

// approvable goes through a list, a page of the store's after the other, until it has found as many calls
// as q.Limit that somebody may approve, or has looked at store.MaxLook. The store does not know who may:
// that is ballot's to say.
func (s *Server) approvable(
	ctx context.Context, q store.CallQuery, who ballot.Reader,
) (page store.Page[approval.View], err error) {
	if !who.Reviewer {
		return page, nil
	}
	most := q.Limit
	q.Limit = store.MaxPage
	for looked := 0; looked < store.MaxLook; {
		found, err := s.o.Store.Calls(ctx, q)
		if err != nil {
			return page, err
		}
		fit, more := firstApprovable(found.Items, who, most-len(page.Items))
		if more > 0 { // a cursor stands behind the last call that the store gives, so it gives no more
			q.Limit = more
			continue
		}
		page.Items, page.Total, page.Next = append(page.Items, fit...), found.Total, found.Next
		if len(page.Items) == most || page.Next == "" {
			break
		}
		looked += store.MaxPage
		if len(found.Items) < q.Limit {
			looked += 4 * store.MaxPage // it was cut at store.PageBytes, and that much took its time
		}
		q.Cursor, q.Limit = found.Next, store.MaxPage
	}
	return page, nil
}

// firstApprovable returns the first of some calls that somebody may approve, and where the next one is if
// there is one; else 0.
func firstApprovable(all []approval.View, who ballot.Reader, most int) (fit []approval.View, next int) {
	for i, v := range all {
		if you, _ := ballot.For(v, who); !slices.Contains(you.May, approval.MayApprove) {
			continue
		}
		if len(fit) == most {
			return fit, i
		}
		fit = append(fit, v)
	}
	return fit, 0
}
