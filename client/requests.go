package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/rest"
)

const pageSize = 100

// MoreThan is how far totals are counted: Page.Total is exact up to it, and one more means "more
// than that".
const MoreThan = 1000

// Page is part of a list.
type Page[T any] struct {
	Items []T
	Raw   []json.RawMessage // the items as they were received
	Total int               // of all that match; see MoreThan
	Next  string            // cursor of what comes after; empty: nothing
}

// RequestQuery selects requests. Zero fields do not restrict.
type RequestQuery struct {
	Status               string // a status, "ended" or "all"; empty: pending
	Tool, Agent, Session string
	Risk                 approval.Risk
	By                   string // whose approval or rejection counted, or who settled the call
	// Since and Until are cut to whole seconds: only calls asked for at Since or later, before Until.
	Since, Until time.Time
	// Nearest has the nearest deadline first, and else the newest call. Status must be pending with it.
	// An API from before it answers rest.CodeInvalidRequest.
	Nearest bool
	Cursor  string // Page.Next of an earlier answer
	Limit   int    // how many at most, over as many HTTP pages as it takes; 0: all
}

// Requests lists calls that wait, or waited, for people.
func (c *Client) Requests(ctx context.Context, q RequestQuery) (Page[View], error) {
	query := url.Values{}
	set(query, "status", q.Status)
	set(query, "tool", q.Tool)
	set(query, "agent", q.Agent)
	set(query, "session", q.Session)
	set(query, "risk", string(q.Risk))
	set(query, "by", q.By)
	setTimes(query, q.Since, q.Until)
	if q.Nearest {
		query.Set("order", "deadline")
	}
	page, err := list[View](ctx, c, "/api/requests", query, q.Cursor, q.Limit)
	for i := range page.Items {
		page.Items[i].Raw = page.Raw[i]
	}
	return page, err
}

// EntryQuery selects audit entries. Zero fields do not restrict.
type EntryQuery struct {
	RequestID   string // whole ID of a call
	Kind        string
	Tool, Agent string // of the call that the entry is about
	Status      string // of that call now
	Risk        string // of that call
	By          string // whom the entry names; alone, Newest, not every one: see docs/audit.md
	// Since and Until are cut to whole seconds: only what is of Since or later, and of before Until.
	Since, Until time.Time
	Newest       bool // the newest first, by their time; else in the order written
	Cursor       string
	Limit        int // as in RequestQuery
}

// Entries lists the audit log.
func (c *Client) Entries(ctx context.Context, q EntryQuery) (Page[rest.Entry], error) {
	query := q.values()
	if q.Newest {
		query.Set("order", "newest")
	}
	return list[rest.Entry](ctx, c, "/api/audit", query, q.Cursor, q.Limit)
}

// values are the filters as parameters.
func (q EntryQuery) values() url.Values {
	query := url.Values{}
	set(query, "request_id", q.RequestID)
	set(query, "kind", q.Kind)
	set(query, "tool", q.Tool)
	set(query, "agent", q.Agent)
	set(query, "status", q.Status)
	set(query, "risk", q.Risk)
	set(query, "by", q.By)
	setTimes(query, q.Since, q.Until)
	return query
}

// setTimes sets the parameters of times that are not zero.
func setTimes(query url.Values, since, until time.Time) {
	for name, at := range map[string]time.Time{"since": since, "until": until} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
}

// Tools lists the catalogue by name.
func (c *Client) Tools(ctx context.Context) (Page[rest.Tool], error) {
	return fetch[rest.Tool](ctx, c, "/api/tools", nil)
}

// Request returns one call with its timeline, by its ID or a prefix that fits no other. Errors:
// *Error (approval.CodeNotFound, or a prefix that fits several), *UnreachableError.
func (c *Client) Request(ctx context.Context, id string) (View, error) {
	if err := checkID("the request's ID", id); err != nil {
		return View{}, err
	}
	return c.view(ctx, id, false, request{path: path("api", "requests", id)})
}

// Decision is one reviewer's word on a request.
type Decision struct {
	Kind   approval.DecisionKind
	Digest string // of the request as the reviewer saw it (View.Digest); needed to approve
	Notes  string
	ID     string // repeats of one ID count once; default: a random one
}

// Decide sends a decision on a request, by its whole ID, and returns what it did. A decision is
// durable once the API has taken it, so when its judgement does not come within some seconds (or
// before ctx ends, or no worker runs) the answer's outcome is rest.AnswerNotJudged, without an
// error. A decision that did not count is an *Error whose Outcome says why. Other errors: *Error,
// *UnreachableError, and *UncertainError, after which the same decision under
// its Key can be sent again safely.
func (c *Client) Decide(ctx context.Context, id string, d Decision) (rest.DecisionAnswer, error) {
	d.ID = cmp.Or(d.ID, rand.Text())
	if err := d.check(id); err != nil {
		return rest.DecisionAnswer{}, err
	}
	body := rest.DecisionRequest{DecisionID: d.ID, Notes: d.Notes, Digest: d.Digest}
	var res response
	err := c.resend(ctx, d.ID, func() (err error) {
		res, err = c.send(ctx, request{method: http.MethodPost,
			path: path("api", "requests", id, string(d.Kind)), body: body})
		return err
	})
	if err != nil {
		return rest.DecisionAnswer{}, err
	}
	if res.status == http.StatusAccepted {
		return c.judgement(ctx, id, d.ID, res.body)
	}
	return decodeAnswer(res.body, id, d.ID)
}

// Settle says what became of a call whose outcome is unknown, by its whole ID. It may be sent again.
// Errors: *Error (rest.CodeNotUnknown, CodeSettled), *UnreachableError, *UncertainError.
func (c *Client) Settle(ctx context.Context, id string, said rest.SettleRequest) (v View, err error) {
	if err := checkID("the request's ID", id); err != nil {
		return v, err
	}
	r := request{method: http.MethodPost, path: path("api", "requests", id, "settle"), body: said}
	err = c.resend(ctx, "", func() error {
		v, err = c.view(ctx, id, true, r)
		return err
	})
	return v, err
}

func (d Decision) check(callID string) error {
	switch {
	case d.Kind != approval.Approve && d.Kind != approval.Reject:
		return approval.Errorf(approval.CodeInvalid, "a decision is %q or %q", approval.Approve, approval.Reject)
	case d.Kind == approval.Approve && d.Digest == "":
		return approval.Errorf(approval.CodeInvalid, "an approval needs the digest of the request that was shown")
	}
	return cmp.Or(
		checkID("the request's ID", callID), checkID("decision_id", d.ID), approval.CheckNotes(d.Notes),
	)
}

// judgement polls for what an accepted decision did, unless the answer says that nobody is there to
// judge it.
func (c *Client) judgement(
	ctx context.Context, id, decisionID string, accepted []byte,
) (rest.DecisionAnswer, error) {
	notJudged := rest.DecisionAnswer{DecisionID: decisionID, Outcome: rest.AnswerNotJudged}
	notJudged.ID = id
	var said struct{ Waiting *rest.Waiting }
	if json.Unmarshal(accepted, &said) == nil && said.Waiting != nil {
		notJudged.Waiting = said.Waiting
		unserved := func(o rest.Obstacle) bool { return o.Code == rest.ObstacleNoWorker }
		if slices.ContainsFunc(said.Waiting.Problems, unserved) {
			return notJudged, nil
		}
	}
	began, pause := time.Now(), retry.Backoff{Most: time.Second}
	for time.Since(began) < judgedWithin && pause.Wait(ctx) {
		res, err := c.send(ctx, request{path: path("api", "requests", id, "decisions", decisionID)})
		switch {
		case err == nil && res.status != http.StatusAccepted:
			return decodeAnswer(res.body, id, decisionID)
		case err != nil && !transient(err):
			return notJudged, err
		}
	}
	return notJudged, nil
}

func decodeAnswer(doc []byte, id, decisionID string) (rest.DecisionAnswer, error) {
	var a rest.DecisionAnswer
	if err := decodeInto(doc, &a); err != nil {
		return rest.DecisionAnswer{}, err
	}
	if (a.ID != "" && a.ID != id) || (a.DecisionID != "" && a.DecisionID != decisionID) {
		return rest.DecisionAnswer{}, answerError("it is about another decision than the one sent")
	}
	a.ID, a.DecisionID = id, decisionID
	if a.Outcome == "" {
		return rest.DecisionAnswer{}, answerError("it names no outcome")
	}
	if !a.Outcome.Counted() { // also an outcome this version does not know
		return rest.DecisionAnswer{}, &Error{
			HTTPStatus: http.StatusOK, Code: string(a.Outcome), Outcome: a.Outcome,
			Title: "the decision did not count", Detail: a.Message,
		}
	}
	return a, nil
}

// list follows cursors until limit items (0: all) are there.
func list[T any](
	ctx context.Context, c *Client, route string, query url.Values, cursor string, limit int,
) (Page[T], error) {
	if limit < 0 {
		return Page[T]{}, approval.Errorf(approval.CodeInvalid, "limit %d is negative", limit)
	}
	all := Page[T]{Next: cursor}
	for first := true; ; first = false {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(all.Items))
		}
		query.Set("limit", strconv.Itoa(size))
		set(query, "cursor", all.Next)
		page, err := fetch[T](ctx, c, route, query)
		if err != nil {
			return all, err
		}
		all.Items, all.Raw = append(all.Items, page.Items...), append(all.Raw, page.Raw...)
		if first {
			all.Total = page.Total
		}
		again := page.Next == all.Next
		if all.Next = page.Next; all.Next == "" || (limit > 0 && len(all.Items) >= limit) {
			return all, nil
		}
		if again {
			return all, errors.New("the API's list does not end: it named one page twice")
		}
	}
}

// fetch reads one HTTP page.
func fetch[T any](ctx context.Context, c *Client, route string, query url.Values) (Page[T], error) {
	doc, err := ask[rest.Page[json.RawMessage]](ctx, c, request{path: route, query: query})
	if err != nil {
		return Page[T]{}, err
	}
	page := Page[T]{Raw: doc.Items, Total: doc.Total, Next: doc.Next}
	for _, raw := range doc.Items {
		var item T
		if err := decodeInto(raw, &item); err != nil {
			return Page[T]{}, err
		}
		page.Items = append(page.Items, item)
	}
	return page, nil
}

func set(query url.Values, key, value string) {
	if value != "" {
		query.Set(key, value)
	}
}
