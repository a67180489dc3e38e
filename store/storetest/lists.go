package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
)

func calls(t *testing.T, s store.Store, q store.CallQuery) store.Page[approval.View] {
	t.Helper()
	page, err := s.Calls(t.Context(), q)
	if err != nil {
		t.Fatalf("Calls(%+v): %v", q, err)
	}
	return page
}

func ids(views []approval.View) []string {
	var list []string
	for _, v := range views {
		list = append(list, v.ID)
	}
	return list
}

// series admits calls named prefix-from to prefix-(to-1), all at one time.
func series(t *testing.T, s store.Store, prefix string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		a := waiting(t, fmt.Sprintf("%s-%d", prefix, i))
		a.Entries = nil
		admit(t, s, a)
	}
}

func callsPaged(t *testing.T, s store.Store) {
	if page := calls(t, s, store.CallQuery{}); len(page.Items) != 0 || page.Total != 0 || page.Next != "" {
		t.Errorf("an empty store lists %+v", page)
	}
	series(t, s, "old", 0, 7)
	var got []string
	n := 0
	walk(t, func(cursor string) string {
		q := store.CallQuery{Limit: 3, Cursor: cursor}
		page := calls(t, s, q)
		if len(page.Items) > q.Limit {
			t.Errorf("a page of %d has %d calls", q.Limit, len(page.Items))
		}
		if want := 7 + 2*n; page.Total != want {
			t.Errorf("page %d counts %d calls, want %d", n, page.Total, want)
		}
		got = append(got, ids(page.Items)...)
		if page.Next != "" {
			series(t, s, "new", 2*n, 2*n+2)
			n++
		}
		if cursor != "" { // the first page is where calls are added
			same(t, "a page read again", ids(calls(t, s, q).Items), ids(page.Items))
		}
		return page.Next
	})
	if want := strings.Fields("old-6 old-5 old-4 old-3 old-2 old-1 old-0"); !slices.Equal(got, want) {
		t.Errorf("the pages list %q, want %q", got, want)
	}
	page := calls(t, s, store.CallQuery{Limit: 5})
	if want := strings.Fields("new-3 new-2 new-1 new-0 old-6"); !slices.Equal(ids(page.Items), want) {
		t.Errorf("the first page lists %q, want %q", ids(page.Items), want)
	}
	for _, limit := range []int{11, 12, store.MaxPage} {
		if page := calls(t, s, store.CallQuery{Limit: limit}); len(page.Items) != 11 || page.Next != "" {
			t.Errorf("with limit %d a page has %d of 11 calls and next %q", limit, len(page.Items), page.Next)
		}
	}
	series(t, s, "more", 0, store.DefaultPage)
	if page := calls(t, s, store.CallQuery{}); len(page.Items) != store.DefaultPage || page.Next == "" {
		t.Errorf("without a limit a page has %d calls and next %q", len(page.Items), page.Next)
	}
}

// newestFirst fails unless a list of the IDs 0 to 6 comes in pages, the newest first, and refuses
// what is no page of it, such as another list's cursor. It returns the items.
func newestFirst[T any](
	t *testing.T, list func(context.Context, store.Paging) (store.Page[T], error),
	id func(T) string, foreign string,
) (all []T) {
	t.Helper()
	var got []string
	walk(t, func(cursor string) string {
		page, err := list(t.Context(), store.Paging{Cursor: cursor, Limit: 3})
		if err != nil || page.Total != 7 {
			t.Fatalf("a page counts %d, %v", page.Total, err)
		}
		for _, item := range page.Items {
			got, all = append(got, id(item)), append(all, item)
		}
		return page.Next
	})
	if want := []string{"6", "5", "4", "3", "2", "1", "0"}; !slices.Equal(got, want) {
		t.Errorf("the pages list %q, want %q", got, want)
	}
	for _, q := range []store.Paging{{Limit: -1}, {Limit: store.MaxPage + 1}, {Cursor: foreign}, {Cursor: "x"}} {
		_, err := list(t.Context(), q)
		invalid(t, fmt.Sprintf("%+v", q), err)
	}
	return all
}

func callsFiltered(t *testing.T, s store.Store) {
	add := func(a store.AdmitParams, tool, agent, session string, risk approval.Risk) {
		a.View.Requester = "agent:" + agent
		a.View.Tool, a.View.Agent, a.View.Session, a.View.Risk = tool, agent, session, risk
		admit(t, s, a)
	}
	add(waiting(t, "1"), "pay", "anna", "s1", approval.RiskHigh)
	add(waiting(t, "2"), "pay", "ben", "s2", approval.RiskLow)
	add(allowed(t, "3"), "read", "anna", "s1", "")
	add(allowed(t, "4"), "pay", "", "", approval.RiskHigh)
	add(ended(t, "5", approval.StatusBlocked), "drop", "ben", "s2", approval.RiskCritical)
	add(waiting(t, "6"), "p_y", "anna", "s%", approval.RiskHigh)
	finish(t, s, ending(t, "2", approval.StatusRejected))

	status := func(list ...approval.Status) []approval.Status { return list }
	for _, c := range []struct {
		q    store.CallQuery
		want string
	}{
		{store.CallQuery{}, "6 5 4 3 2 1"},
		{store.CallQuery{Requests: true}, "6 2 1"},
		{store.CallQuery{Statuses: status(approval.StatusPending)}, "6 1"},
		{store.CallQuery{
			Statuses: status(approval.StatusPending, approval.StatusRejected, approval.StatusPending),
		}, "6 2 1"},
		{store.CallQuery{Statuses: status(approval.StatusExecuted)}, ""},
		{store.CallQuery{Statuses: approval.Statuses}, "6 5 4 3 2 1"},
		{store.CallQuery{Requests: true, Statuses: status(approval.StatusRejected, approval.StatusBlocked)}, "2"},
		{store.CallQuery{Tool: "pay"}, "4 2 1"},
		{store.CallQuery{Tool: "p_y"}, "6"},
		{store.CallQuery{Tool: "PAY"}, ""},
		{store.CallQuery{Agent: "anna"}, "6 3 1"},
		{store.CallQuery{Requester: "agent:ben"}, "5 2"},
		{store.CallQuery{Requester: "agent:ben", Statuses: status(approval.StatusBlocked)}, "5"},
		{store.CallQuery{Requester: "ben"}, ""},
		{store.CallQuery{Session: "s2"}, "5 2"},
		{store.CallQuery{Session: "s%"}, "6"},
		{store.CallQuery{Risk: approval.RiskHigh}, "6 4 1"},
		{store.CallQuery{
			Requests: true, Statuses: status(approval.StatusPending),
			Tool: "pay", Agent: "anna", Session: "s1", Risk: approval.RiskHigh,
		}, "1"},
		{store.CallQuery{Tool: "pay", Agent: "anna", Session: "s2"}, ""},
		{store.CallQuery{Tool: "' OR 1=1 --"}, ""},
	} {
		want := strings.Fields(c.want)
		page := calls(t, s, c.q)
		if got := ids(page.Items); !slices.Equal(got, want) || page.Total != len(want) || page.Next != "" {
			t.Errorf("%+v lists %q, total %d, next %q; want %q", c.q, got, page.Total, page.Next, want)
		}
		var walked []string
		walk(t, func(cursor string) string {
			c.q.Limit, c.q.Cursor = 1, cursor
			page := calls(t, s, c.q)
			walked = append(walked, ids(page.Items)...)
			return page.Next
		})
		if !slices.Equal(walked, want) {
			t.Errorf("%+v lists %q one by one, want %q", c.q, walked, want)
		}
	}
}

// callsByDaysAndPeople admits four calls in another order than they were asked for in.
func callsByDaysAndPeople(t *testing.T, s store.Store) {
	for i, day := range []int{2, 1, 4, 3} {
		a := waiting(t, strconv.Itoa(day))
		a.View.CreatedAt = began.AddDate(0, 0, day)
		a.View.Tool = []string{"pay", "drop"}[i%2]
		a.View.Requester = map[int]string{3: "bo"}[day]
		a.View.Owner = map[int]string{2: "bo"}[day]
		a.View.Args = json.RawMessage(`{"owner":"cy","decision":{"by":"cy"}}`)
		a.Entries = nil
		admit(t, s, a)
	}
	withdrawn := ending(t, "1", approval.StatusRejected)
	withdrawn.Outcome.Decision = &approval.FinalDecision{Kind: approval.FinalCancel, By: "bo", At: after(1)}
	finish(t, s, withdrawn)
	decided := func(id, step string, kind audit.Kind, field, name string) {
		payload, err := strictjson.Canonical(map[string]any{"decision": map[string]string{field: name}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := audit.New(id, step, after(1), Payload{Of: kind, JSON: payload})
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, s, e)
	}
	decided("1", "vote", audit.KindDecided, "reviewer", "ana")
	decided("2", "vote", audit.KindDecided, "reviewer", "ana")
	decided("2", "vote-2", audit.KindDecided, "reviewer", "be\"n")
	decided("3", "refused", audit.KindRefused, "reviewer", "ana") // it did not count
	decided("3", "vote", audit.KindDecided, "notes", `"reviewer":"ana"`)
	decided("4", "settled", audit.KindSettled, "by", "ana")

	day := func(n int) time.Time { return began.AddDate(0, 0, n) }
	for _, c := range []struct {
		q    store.CallQuery
		want string
	}{
		{store.CallQuery{}, "3 4 1 2"},
		{store.CallQuery{Since: day(1)}, "4 3 2 1"},
		{store.CallQuery{Since: day(2)}, "4 3 2"},
		{store.CallQuery{Until: day(3)}, "2 1"},
		{store.CallQuery{Since: day(2), Until: day(4)}, "3 2"},
		{store.CallQuery{Since: day(3), Until: day(3)}, ""},
		{store.CallQuery{Since: day(1), Tool: "drop"}, "3 1"},
		{store.CallQuery{Until: day(9), Statuses: []approval.Status{approval.StatusPending}}, "4 3 2"},
		{store.CallQuery{Ended: true}, "1"},
		{store.CallQuery{Ended: true, Since: day(2)}, ""},
		{store.CallQuery{By: "ana"}, "4 1 2"},
		{store.CallQuery{By: "be\"n"}, "2"},
		{store.CallQuery{By: "an"}, ""},
		{store.CallQuery{By: "bo"}, "3 1 2"}, // who asked, withdrew, answers for it
		{store.CallQuery{By: "bo", Since: day(2)}, "3 2"},
		{store.CallQuery{By: "cy"}, ""},
		{store.CallQuery{By: "\x00"}, ""},
		{store.CallQuery{By: "ana", Since: day(2), Requests: true}, "4 2"},
		{store.CallQuery{By: "ana", Ended: true, Tool: "drop"}, "1"},
	} {
		want := strings.Fields(c.want)
		if page := calls(t, s, c.q); !slices.Equal(ids(page.Items), want) || page.Total != len(want) {
			t.Errorf("%+v lists %q, total %d; want %q", c.q, ids(page.Items), page.Total, want)
		}
		var walked []string
		walk(t, func(cursor string) string {
			c.q.Limit, c.q.Cursor = 1, cursor
			page := calls(t, s, c.q)
			walked = append(walked, ids(page.Items)...)
			return page.Next
		})
		if !slices.Equal(walked, want) {
			t.Errorf("%+v lists %q one by one, want %q", c.q, walked, want)
		}
	}
}

func callsTotal(t *testing.T, s store.Store) {
	total := func(q store.CallQuery, want int) {
		t.Helper()
		if page := calls(t, s, q); page.Total != want {
			t.Errorf("%+v counts %d, want %d", q, page.Total, want)
		}
	}
	series(t, s, "a", 0, store.ExactTotal)
	first := calls(t, s, store.CallQuery{Limit: 1})
	total(store.CallQuery{Limit: 1}, store.ExactTotal)
	total(store.CallQuery{Limit: 1, Cursor: first.Next}, store.ExactTotal)
	series(t, s, "b", 0, 2)
	total(store.CallQuery{Limit: 1}, store.ExactTotal+1)
	pending := []approval.Status{approval.StatusPending}
	total(store.CallQuery{Requests: true, Statuses: pending}, store.ExactTotal+1)
	total(store.CallQuery{Tool: "none"}, 0)
}

func listsInvalid(t *testing.T, s store.Store) {
	series(t, s, "a", 0, 2)
	two := []audit.Entry{entry(t, "a", "1", audit.KindRefused), entry(t, "a", "2", audit.KindRefused)}
	if err := s.Append(t.Context(), two...); err != nil {
		t.Fatal(err)
	}
	log, err := s.Entries(t.Context(), store.EntryQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	page := calls(t, s, store.CallQuery{Limit: 1})
	if log.Next == "" || page.Next == "" {
		t.Fatalf("the cursors are %q and %q", log.Next, page.Next)
	}
	both := func(what string, limit int, ofCalls, ofEntries string) {
		_, err := s.Calls(t.Context(), store.CallQuery{Limit: limit, Cursor: ofCalls})
		invalid(t, "Calls with "+what, err)
		_, err = s.Entries(t.Context(), store.EntryQuery{Limit: limit, Cursor: ofEntries})
		invalid(t, "Entries with "+what, err)
	}
	both("limit -1", -1, "", "")
	both("a limit that is too large", store.MaxPage+1, "", "")
	both("each other's cursors", 1, log.Next, page.Next)
	both("cursors with something more", 1, page.Next+"0x", log.Next+" ")
	for _, cursor := range []string{
		"x", "0", "-1", "1", "' OR 1=1 --", "🦀", "\x00", strings.Repeat("9", 400),
	} {
		both("cursor "+cursor, 1, cursor, cursor)
	}
	_, err = s.Calls(t.Context(), store.CallQuery{Statuses: []approval.Status{approval.StatusPending, "maybe"}})
	invalid(t, "Calls with an unknown status", err)
	_, err = s.Calls(t.Context(), store.CallQuery{Risk: "some"})
	invalid(t, "Calls with an unknown risk", err)
	_, err = s.Entries(t.Context(), store.EntryQuery{Status: "maybe"})
	invalid(t, "Entries with an unknown status", err)
	_, err = s.Entries(t.Context(), store.EntryQuery{Risk: "some"})
	invalid(t, "Entries with an unknown risk", err)
}

func resolvePrefixes(t *testing.T, s store.Store) {
	for _, id := range []string{
		"pawl-1", "pawl-12", "pawl-2a", "pawl-2b", "pawl_x", "pawl%y", "größe-1", "größe-2", "z\U0010FFFF!",
	} {
		a := waiting(t, id)
		a.Entries = nil
		admit(t, s, a)
	}
	for _, c := range []struct {
		prefix, want string
		err          error
	}{
		{prefix: "pawl-1", want: "pawl-1"}, // whole, though another begins with it
		{prefix: "pawl-12", want: "pawl-12"},
		{prefix: "pawl-2b", want: "pawl-2b"},
		{prefix: "pawl_", want: "pawl_x"},
		{prefix: "pawl%", want: "pawl%y"},
		{prefix: "größe-2", want: "größe-2"},
		{prefix: "z", want: "z\U0010FFFF!"},
		{prefix: "z\U0010FFFF", want: "z\U0010FFFF!"},
		{prefix: "p", err: store.ErrAmbiguous},
		{prefix: "pawl-", err: store.ErrAmbiguous},
		{prefix: "pawl-2", err: store.ErrAmbiguous},
		{prefix: "grö", err: store.ErrAmbiguous},
		{prefix: "", err: store.ErrNotFound},
		{prefix: "pawl-3", err: store.ErrNotFound},
		{prefix: "pawl-2a ", err: store.ErrNotFound},
		{prefix: "PAWL-12", err: store.ErrNotFound},
		{prefix: "%", err: store.ErrNotFound},
		{prefix: "_awl_x", err: store.ErrNotFound},
		{prefix: "zz", err: store.ErrNotFound},
		{prefix: "*", err: store.ErrNotFound},
	} {
		got, err := s.Resolve(t.Context(), c.prefix)
		if got != c.want {
			t.Errorf("Resolve(%q) is %q, want %q", c.prefix, got, c.want)
		}
		if c.err != nil || err != nil {
			fails(t, fmt.Sprintf("Resolve(%q)", c.prefix), err, c.err)
		}
	}
}

// walk reads pages from the first to the last. page reads the one at a cursor and returns the next.
func walk(t *testing.T, page func(cursor string) (next string)) {
	t.Helper()
	cursor := ""
	for range 100 {
		if cursor = page(cursor); cursor == "" {
			return
		}
	}
	t.Fatal("the pages never end")
}
