package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/rest"
)

// serveList pages through total requests by their number.
func serveList(t *testing.T, total int, sizes *[]int) wire {
	return func(w http.ResponseWriter, r *http.Request) error {
		q := r.URL.Query()
		limit, err := strconv.Atoi(q.Get("limit"))
		if err != nil || limit < 1 {
			t.Errorf("limit %q", q.Get("limit"))
		}
		*sizes = append(*sizes, limit)
		from, _ := strconv.Atoi(q.Get("cursor"))
		to, next := from+limit, strconv.Itoa(from+limit)
		if to >= total {
			to, next = total, ""
		}
		items := []string{}
		for i := from; i < to; i++ {
			items = append(items, fmt.Sprintf(`{"id":"pawl-%d","tool":"t","status":"pending","extra":%d}`, i, i))
		}
		return answer(w, 200, fmt.Sprintf(`{"items":[%s],"total":%d,"next_cursor":%q}`, strings.Join(items, ","), total, next))
	}
}

func TestRequestsFollowsCursors(t *testing.T) {
	for _, tt := range []struct {
		total, limit, want int
		next               string
		pages              int
	}{
		{0, 0, 0, "", 1},
		{3, 0, 3, "", 1},
		{250, 0, 250, "", 3},
		{250, 120, 120, "120", 2},
		{250, 100, 100, "100", 1},
		{250, 250, 250, "", 3},
		{5, 50, 5, "", 1},
	} {
		t.Run(fmt.Sprintf("%d of %d", tt.limit, tt.total), func(t *testing.T) {
			var sizes []int
			c := newClient(t, serveList(t, tt.total, &sizes))
			page, err := c.Requests(t.Context(), client.RequestQuery{Limit: tt.limit})
			if err != nil || len(page.Items) != tt.want || page.Total != tt.total || page.Next != tt.next || len(sizes) != tt.pages {
				t.Fatalf("%d items, total %d, next %q, pages %v, err %v", len(page.Items), page.Total, page.Next, sizes, err)
			}
			for i, v := range page.Items {
				if v.ID != fmt.Sprintf("pawl-%d", i) || !strings.Contains(string(v.Raw), fmt.Sprintf(`"extra":%d`, i)) {
					t.Fatalf("item %d is %s, raw %s", i, v.ID, v.Raw)
				}
			}
		})
	}
}

func TestRequestsFilters(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		if got := r.URL.RawQuery; got != "agent=b&by=ana&cursor=x&limit=7&risk=high&"+
			"session=s+1&since=2026-01-05T12%3A00%3A00Z&status=all&tool=t&until=2026-01-06T12%3A00%3A00Z" {
			t.Errorf("query %s", got)
		}
		return answer(w, 200, `{"items":[],"total":0,"next_cursor":""}`)
	})
	q := client.RequestQuery{Status: "all", Tool: "t", Agent: "b", Session: "s 1", Risk: approval.RiskHigh, Cursor: "x", Limit: 7}
	q.By, q.Since = "ana", time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	q.Until = q.Since.AddDate(0, 0, 1)
	if _, err := c.Requests(t.Context(), q); err != nil {
		t.Error(err)
	}
	if _, err := c.Requests(t.Context(), client.RequestQuery{Limit: -1}); approval.CodeOf(err) != approval.CodeInvalid {
		t.Error(err)
	}
}

func TestAListThatDoesNotEnd(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) error {
		return answer(w, 200, `{"items":[],"total":9,"next_cursor":"same"}`)
	})
	if _, err := c.Requests(t.Context(), client.RequestQuery{}); err == nil {
		t.Error("no error")
	}
}

func TestEntriesAndTools(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path == "/api/tools" {
			return answer(w, 200, `{"items":[{"name":"t","queue":"pawl","kind":"go","idempotent":true,"timeout":"30s"}],"total":1}`)
		}
		if r.URL.RawQuery != "kind=call.ended&limit=100&request_id="+id {
			t.Errorf("query %s", r.URL.RawQuery)
		}
		return answer(w, 200, `{"items":[{"call_id":"`+id+`","step":"end","kind":"call.ended","at":"2026-01-02T03:04:05.000001Z","payload":{"a":1},"leaf_hash":"ff"}],"total":1}`)
	})
	entries, err := c.Entries(t.Context(), client.EntryQuery{RequestID: id, Kind: "call.ended"})
	if err != nil || len(entries.Items) != 1 || entries.Items[0].LeafHash != "ff" || string(entries.Items[0].Payload) != `{"a":1}` {
		t.Errorf("%+v, %v", entries, err)
	}
	tools, err := c.Tools(t.Context())
	if err != nil || len(tools.Items) != 1 || tools.Items[0].Timeout.Std() != 30*time.Second || !tools.Items[0].Idempotent {
		t.Errorf("%+v, %v", tools, err)
	}
}

func TestProofs(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path == "/api/audit/checkpoint" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, err := w.Write([]byte("pawl/x\n1\n"))
			return err
		}
		if r.URL.Path != "/api/audit/proof/"+id || r.URL.RawQuery != "cursor=x" {
			t.Errorf("asked for %s", r.URL)
		}
		return answer(w, 200, `{"id":"`+id+`","proofs":[{"index":7,"step":"end","kind":"call.ended","proof":"c2sp"}],"unsealed":2,"next_cursor":"y"}`)
	})
	if text, err := c.Checkpoint(t.Context()); err != nil || text != "pawl/x\n1\n" {
		t.Errorf("%q, %v", text, err)
	}
	p, err := c.Proofs(t.Context(), id, "x")
	if err != nil || len(p.Proofs) != 1 || p.Proofs[0].Index != 7 || p.Proofs[0].Proof != "c2sp" || p.Unsealed != 2 || p.Next != "y" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := c.Proofs(t.Context(), "", ""); approval.CodeOf(err) != approval.CodeInvalid {
		t.Error(err)
	}
}

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		name    string
		status  int
		body    string // %s is the decision's ID
		outcome approval.AnswerOutcome
		refused bool
	}{
		{"resolved", 200, `{"outcome":"resolved","id":"` + id + `","decision_id":"%s","status":"approved"}`, approval.AnswerResolved, false},
		{"recorded", 200, `{"outcome":"recorded","decision_id":"%s"}`, approval.AnswerRecorded, false},
		{"already resolved", 409, `{"code":"already_resolved","outcome":"already_resolved","x":"%s"}`, approval.AnswerAlreadyResolved, true},
		{"stale", 409, `{"code":"stale","outcome":"stale","x":"%s"}`, approval.AnswerStale, true},
		{"expired", 410, `{"code":"approval_expired","outcome":"expired","x":"%s"}`, approval.AnswerExpired, true},
		{"forbidden", 403, `{"code":"forbidden","outcome":"forbidden","x":"%s"}`, approval.AnswerForbidden, true},
		{"refused with 200", 200, `{"outcome":"stale","decision_id":"%s","message":"look again"}`, approval.AnswerStale, true},
		{"outcome of a later version", 200, `{"outcome":"postponed","decision_id":"%s"}`, "postponed", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
				var body map[string]string
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					t.Error(err)
				}
				if r.URL.Path != "/api/requests/"+id+"/approve" || body["digest"] != "d1" || body["notes"] != "fine" {
					t.Errorf("%s %v", r.URL.Path, body)
				}
				return answer(w, tt.status, fmt.Sprintf(tt.body, body["decision_id"]))
			})
			a, err := c.Decide(t.Context(), id, client.Decision{Kind: approval.Approve, Digest: "d1", Notes: "fine"})
			var e *client.Error
			switch {
			case !tt.refused && (err != nil || a.Outcome != tt.outcome || a.ID != id || a.DecisionID == ""):
				t.Errorf("%+v, %v", a, err)
			case tt.refused && (!errors.As(err, &e) || e.Outcome != tt.outcome):
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

func TestDecideRefusesBeforeSending(t *testing.T) {
	c := newClient(t, func(http.ResponseWriter, *http.Request) error {
		t.Error("it was sent")
		return errBroke
	})
	for name, d := range map[string]client.Decision{
		"no kind":        {Digest: "d1"},
		"unknown kind":   {Kind: "maybe", Digest: "d1"},
		"unseen":         {Kind: approval.Approve},
		"notes too long": {Kind: approval.Reject, Notes: strings.Repeat("x", approval.MaxNotes+1)},
		"broken ID":      {Kind: approval.Reject, ID: "a\nb"},
	} {
		if _, err := c.Decide(t.Context(), id, d); approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswersAboutOtherDecisions(t *testing.T) {
	for _, body := range []string{
		`{"outcome":"resolved","id":"pawl-other"}`, `{"outcome":"resolved","decision_id":"other"}`, `{}`, `[]`,
	} {
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) error { return answer(w, 200, body) })
		if a, err := c.Decide(t.Context(), id, client.Decision{Kind: approval.Reject}); err == nil {
			t.Errorf("%s was taken as %+v", body, a)
		}
	}
}

func TestDecideIsSentAgainUnderOneID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids, tries := map[string]bool{}, 0
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
			var body struct {
				DecisionID string `json:"decision_id"`
			}
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			ids[body.DecisionID] = true
			if tries++; tries < 3 {
				return errBroke
			}
			return answer(w, 200, `{"outcome":"resolved"}`)
		})
		a, err := c.Decide(t.Context(), id, client.Decision{Kind: approval.Reject})
		if err != nil || a.Outcome != approval.AnswerResolved || tries != 3 || len(ids) != 1 || !ids[a.DecisionID] {
			t.Errorf("%+v, %v after %d tries with IDs %v", a, err, tries, ids)
		}
	})
}

func TestDecideNotJudgedYet(t *testing.T) {
	for _, tt := range []struct {
		name    string
		polls   []int // statuses of the polls; the last repeats
		outcome approval.AnswerOutcome
		refused approval.AnswerOutcome
	}{
		{"judged later", []int{202, 503, 202, 200}, approval.AnswerResolved, ""},
		{"judged against", []int{202, 410}, rest.AnswerNotJudged, approval.AnswerExpired},
		{"never", []int{202}, rest.AnswerNotJudged, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				polls := 0
				c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
					if r.Method == http.MethodPost {
						return answer(w, 202, `{"outcome":"not_judged_yet","decision_id":"dec-1"}`)
					}
					if r.URL.Path != "/api/requests/"+id+"/decisions/dec-1" {
						t.Errorf("path %s", r.URL.Path)
					}
					status := tt.polls[min(polls, len(tt.polls)-1)]
					polls++
					body := map[int]string{200: `{"outcome":"resolved"}`, 202: `{"outcome":"not_judged_yet"}`,
						410: `{"code":"approval_expired","outcome":"expired"}`, 503: `{}`}[status]
					return answer(w, status, body)
				})
				began := time.Now()
				a, err := c.Decide(t.Context(), id, client.Decision{Kind: approval.Reject, ID: "dec-1"})
				var e *client.Error
				if a.Outcome != tt.outcome || (tt.refused == "") != (err == nil) || (err != nil && (!errors.As(err, &e) || e.Outcome != tt.refused)) {
					t.Errorf("%+v, %v", a, err)
				}
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// Where the API says that no worker runs, a decision's answer is not polled for.
func TestDecideWithoutWorker(t *testing.T) {
	asked := 0
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) error {
		asked++
		return answer(w, 202, `{"outcome":"not_judged_yet","waiting":{"for":"one approval","problems":[{"code":"no_worker","message":"start one"}]}}`)
	})
	a, err := c.Decide(t.Context(), id, client.Decision{Kind: approval.Reject})
	if err != nil || a.Outcome != rest.AnswerNotJudged || asked != 1 {
		t.Errorf("%+v, %v after %d requests", a, err, asked)
	}
	if a.Waiting == nil || len(a.Waiting.Problems) != 1 || a.Waiting.Problems[0].Message != "start one" {
		t.Errorf("%+v", a.Waiting)
	}
}
