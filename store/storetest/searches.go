package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// Filled is how many entries Searches needs: of half as many calls call-1, call-2 … of tool-0 to
// tool-19 and agent-0 to agent-6, call.requested and then call.ended, a second apart from
// SearchesBegin on. One call in fifty waited for people, one in a thousand still does; every
// hundredth call has a decision.counted by reviewer-0 to reviewer-9 instead of its end. Other entries of
// those that waited name requester-0 to requester-9, and those of the others are packed. call-1 is of the
// tool rare.
const Filled = 50_000

// SearchesBegin is the time of the first of those entries.
var SearchesBegin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Lists is a store.Reader's lists.
type Lists interface {
	Calls(ctx context.Context, q store.CallQuery) (store.Page[approval.View], error)
	Entries(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], error)
}

// Searches runs every kind of list over a store that is Filled, each in a test of its own, and gives
// how many rows one page of it may read. Each is what somebody looks at often.
func Searches(t *testing.T, s Lists, run func(t *testing.T, list func(), rows int)) {
	const page, total = store.DefaultPage + 1, store.ExactTotal + 1
	// What an index finds is counted, read and looked up; what is sifted is looked at twice, with the
	// row of its call.
	const found, sifted = total + 3*page, 7 * store.MaxLook
	const requests = Filled / 50
	// Who is named is looked for, three times, in the two entries of each request.
	const named = 3*2*requests + page
	begin, last := SearchesBegin, SearchesBegin.Add((Filled-1)*time.Second)
	for _, search := range []struct {
		name string
		q    store.EntryQuery
		want int // items of the first page
		rows int
	}{
		{"the newest", store.EntryQuery{}, 50, found},
		{"of before", store.EntryQuery{Until: begin.Add(time.Hour)}, 50, found},
		{"a day", store.EntryQuery{Since: begin.Add(time.Minute), Until: begin.Add(2 * time.Minute)}, 50, found},
		{"of now", store.EntryQuery{Since: last.Add(-time.Minute)}, 50, found},
		{"one call's", store.EntryQuery{Subject: "call-7"}, 2, 20},
		{"a kind that all have", store.EntryQuery{Kind: audit.KindEnded}, 50, 3 * found},
		{"a rare kind", store.EntryQuery{Kind: audit.KindDecided}, 50, found},
		{"a kind that nothing has", store.EntryQuery{Kind: audit.KindPolicyApplied}, 0, 20},
		{"what one person decided", store.EntryQuery{By: "reviewer-3", Kind: audit.KindDecided}, 25, found},
		{"what names one person", store.EntryQuery{By: "reviewer-3"}, 25, named},
		{"what nobody did", store.EntryQuery{By: "nobody"}, 0, named},
		{"what one person asked for", store.EntryQuery{By: "requester-3", Kind: audit.KindRequested}, 50, sifted},
		{"what names one person in an hour", store.EntryQuery{By: "requester-3", Since: last.Add(-time.Hour)}, 6, 4 * 3600},
		{"a tool's that name one person", store.EntryQuery{By: "requester-3", Tool: "tool-10"}, 20, sifted},
		{"a tool's", store.EntryQuery{Tool: "tool-3"}, 50, sifted},
		{"an agent's that failed", store.EntryQuery{Agent: "agent-3", Status: approval.StatusRejected}, 50, sifted},
		{"a risk that nothing has", store.EntryQuery{Risk: approval.RiskHigh}, 0, sifted},
		{"a tool that is far back", store.EntryQuery{Tool: "rare"}, 0, sifted},
	} {
		t.Run("entries/"+search.name, func(t *testing.T) {
			search.q.Newest = true
			run(t, func() {
				p, err := s.Entries(t.Context(), search.q)
				if err != nil || len(p.Items) != search.want {
					t.Errorf("%d entries, want %d; %v", len(p.Items), search.want, err)
				}
				if search.want == 0 && search.q.Kind == "" && search.q.By == "" && p.Next == "" {
					t.Error("no page follows, though not all was looked at")
				}
			}, search.rows)
		})
	}
	t.Run("entries/to the end", func(t *testing.T) {
		var got []string
		walk(t, func(cursor string) string {
			p, err := s.Entries(t.Context(), store.EntryQuery{Tool: "rare", Newest: true, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, steps(p.Items)...)
			return p.Next
		})
		if len(got) != 2 || got[0] != "call-1/end" {
			t.Errorf("the pages have %q", got)
		}
	})
	pending := []approval.Status{approval.StatusPending}
	for _, search := range []struct {
		name string
		q    store.CallQuery
		want int
	}{
		{"pending", store.CallQuery{Statuses: pending}, 25},
		{"all", store.CallQuery{}, 50},
		{"rejected", store.CallQuery{Statuses: []approval.Status{approval.StatusRejected}}, 50},
		{"a tool's", store.CallQuery{Tool: "tool-0"}, 50},
		{"pending of an agent", store.CallQuery{
			Agent: "agent-0", Statuses: pending}, 3},
		{"pending, by deadline", store.CallQuery{Nearest: true, Statuses: pending}, 25},
		{"pending of an agent, by deadline", store.CallQuery{
			Nearest: true, Statuses: pending, Agent: "agent-0"}, 3},
		{"pending of a day, by deadline", store.CallQuery{
			Nearest: true, Statuses: pending, Since: last.Add(-time.Hour)}, 2},
		{"unsettled", store.CallQuery{Unsettled: true}, 0},
		{"ended", store.CallQuery{Ended: true}, 50},
		{"of a day", store.CallQuery{Since: begin.Add(time.Hour), Until: begin.Add(2 * time.Hour)}, 50},
		{"of before", store.CallQuery{Until: begin.Add(time.Hour), Ended: true}, 50},
		{"of a day, pending", store.CallQuery{
			Since: last.Add(-time.Hour), Statuses: pending}, 2},
		{"of a day, of a tool", store.CallQuery{Since: last.Add(-time.Hour), Tool: "tool-0"}, 18},
		{"what one person decided", store.CallQuery{By: "reviewer-3"}, 25},
		{"what one person decided on a day", store.CallQuery{
			By: "reviewer-3", Since: begin.Add(time.Hour), Ended: true}, 23},
	} {
		t.Run("calls/"+search.name, func(t *testing.T) {
			search.q.Requests = true
			most := found
			switch ofDays := search.q.Since != search.q.Until; {
			case search.q.By != "":
				most = 7*requests + page // looked at three times, twice with the two entries of each
			case ofDays && !search.q.Nearest && (search.q.Ended || search.q.Tool != ""):
				most = 2*requests + page // so few that one may read all of them for a day
			}
			run(t, func() {
				p, err := s.Calls(t.Context(), search.q)
				if err != nil || len(p.Items) != search.want {
					t.Errorf("%d calls, want %d; %v", len(p.Items), search.want, err)
				}
			}, most)
		})
	}
}

// callsOfOddAnswers lists calls whose tools answered what not every reader of JSON takes, and what looks
// like the names of people in a view.
func callsOfOddAnswers(t *testing.T, s store.Store) {
	for i, answer := range []string{
		`{"a":"\u0000","b":"\ud800"}`,
		strings.Repeat("[", 9500) + strings.Repeat("]", 9500),
		`{"a":"\ud800","owner":"cy","created_at":"now","decision":{"kind":"approve","by":"cy"}}`,
		`{"decision":{"kind":"approve","by":"ana","notes":"\u0000"}}`,
	} {
		id := strconv.Itoa(i)
		a, c := waiting(t, id), claiming(t, id)
		a.View.Owner = map[int]string{0: "bo", 1: "bo"}[i]
		admit(t, s, a)
		if c.Decision.By = "ana"; i > 1 {
			c.Decision.By = "eve"
		}
		claim(t, s, c)
		use(t, s, using(t, id))
		f := ending(t, id, approval.StatusExecuted)
		f.Outcome.Result, f.Outcome.Decision = json.RawMessage(answer), c.Decision
		finish(t, s, f)
	}
	settled, err := audit.New("2", "settled", after(9), Payload{
		Of: audit.KindSettled, JSON: json.RawMessage(`{"by":"di \"<"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, settled)
	for by, want := range map[string]string{"ana": "1 0", "bo": "1 0", "eve": "3 2", "cy": "", `di "<`: "2", "fay": ""} {
		q := store.CallQuery{By: by}
		same(t, "by "+by, strings.Join(ids(calls(t, s, q).Items), " "), want)
		var walked []string
		walk(t, func(cursor string) string {
			q.Limit, q.Cursor = 1, cursor
			page := calls(t, s, q)
			walked = append(walked, ids(page.Items)...)
			return page.Next
		})
		same(t, "by "+by+", one by one", strings.Join(walked, " "), want)
	}
}

// callsByDeadline admits seven calls of which the first ones end last.
func callsByDeadline(t *testing.T, s store.Store) {
	q := store.CallQuery{Nearest: true, Statuses: []approval.Status{approval.StatusPending}, Limit: 2}
	add := func(n, seconds int, tool string) {
		a := waiting(t, strconv.Itoa(n))
		deadline := after(seconds).Add(time.Duration(n) * time.Microsecond)
		a.View.Deadline, a.View.Tool, a.Entries = &deadline, tool, nil
		a.View.CreatedAt = began.Add(time.Duration(n) * time.Minute)
		admit(t, s, a)
	}
	for n := range 7 {
		add(n, 5000-600*n, []string{"pay", "drop"}[n%2])
	}
	admit(t, s, ended(t, "over", approval.StatusBlocked))
	admit(t, s, allowed(t, "allowed"))
	finish(t, s, ending(t, "4", approval.StatusRejected))
	if _, err := s.Tighten(t.Context(), tightening(t, "1", 0, 2)); err != nil {
		t.Fatal(err)
	}
	first := calls(t, s, q)
	same(t, "the first page", ids(first.Items), strings.Fields("6 5"))
	if first.Total != 6 {
		t.Errorf("%d wait, want 6", first.Total)
	}
	add(7, 100, "pay")  // in front of what was listed
	add(8, 9000, "pay") // behind everything
	finish(t, s, ending(t, "5", approval.StatusExpired))
	claim(t, s, claiming(t, "2"))
	got := ids(first.Items)
	walk(t, func(cursor string) string {
		q.Cursor = cursor
		if cursor == "" {
			return first.Next // of a call that has ended since
		}
		page := calls(t, s, q)
		got = append(got, ids(page.Items)...)
		return page.Next
	})
	same(t, "what goes on where the first page ended", got, strings.Fields("6 5 3 1 0 8"))
	for want, q := range map[string]store.CallQuery{
		"7 6 3 1 0 8": {}, "7 6 0 8": {Tool: "pay"}, "7 6 8": {Since: began.Add(5 * time.Minute)}, "3 1 0": {Until: began.Add(4 * time.Minute)},
	} {
		q.Nearest, q.Statuses = true, []approval.Status{approval.StatusPending}
		same(t, fmt.Sprintf("%+v", q), ids(calls(t, s, q).Items), strings.Fields(want))
	}
	newest := calls(t, s, store.CallQuery{Limit: 1})
	for what, q := range map[string]store.CallQuery{
		"a cursor of newest first":     {Nearest: true, Statuses: q.Statuses, Cursor: newest.Next},
		"a cursor of the nearest":      {Statuses: q.Statuses, Cursor: first.Next},
		"the nearest of all":           {Nearest: true},
		"the nearest of what has gone": {Nearest: true, Statuses: []approval.Status{approval.StatusExpired}},
	} {
		_, err := s.Calls(t.Context(), q)
		invalid(t, what, err)
	}
}
