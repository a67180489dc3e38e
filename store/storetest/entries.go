package storetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

func entry(t *testing.T, id, step string, kind audit.Kind) audit.Entry {
	t.Helper()
	e, err := audit.New(id, step, after(1), Payload{Of: kind, Note: "<ümlaut> & 🦀"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func entries(t *testing.T, s store.Store, q store.EntryQuery) store.Page[audit.Entry] {
	t.Helper()
	page, err := s.Entries(t.Context(), q)
	if err != nil {
		t.Fatalf("Entries(%+v): %v", q, err)
	}
	for _, e := range page.Items {
		if err := e.Check(); err != nil {
			t.Error(err)
		}
	}
	return page
}

func steps(list []audit.Entry) []string {
	var names []string
	for _, e := range list {
		names = append(names, e.Subject+"/"+e.Step)
	}
	return names
}

func appendAll(t *testing.T, s store.Store, list ...audit.Entry) {
	t.Helper()
	if err := s.Append(t.Context(), list...); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

func appendOnce(t *testing.T, s store.Store) {
	appendAll(t, s)
	first := entry(t, "a", "1", audit.KindRefused)
	appendAll(t, s, first, entry(t, "b", "1", audit.KindRefused))

	other, err := audit.New("a", "1", after(9), Payload{Of: audit.KindEnded, Note: "another"})
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, other, entry(t, "a", "2", audit.KindRefused), other)
	together(many, func(int) {
		if err := s.Append(t.Context(), entry(t, "a", "3", audit.KindRefused), other); err != nil {
			t.Errorf("Append: %v", err)
		}
	})
	// A step that was appended does not keep the call's own change from happening.
	admit(t, s, waiting(t, "c"))
	appendAll(t, s, entry(t, "c", "claimed", audit.KindClaimed))
	if r := claim(t, s, claiming(t, "c")); r.Permit == nil {
		t.Error("the call was not claimed")
	}

	page := entries(t, s, store.EntryQuery{})
	want := strings.Fields("a/1 b/1 a/2 a/3 c/requested c/claimed")
	if !slices.Equal(steps(page.Items), want) || page.Total != len(want) {
		t.Fatalf("the log has %q, total %d; want %q", steps(page.Items), page.Total, want)
	}
	got := page.Items[0]
	if got.Kind != first.Kind || !got.At.Equal(first.At) || got.At.Location() != time.UTC ||
		got.Leaf != first.Leaf ||
		!bytes.Equal(got.Metadata, first.Metadata) || !bytes.Equal(got.Payload, first.Payload) {
		t.Errorf("the entry is\n%+v\nwant\n%+v", got, first)
	}
}

func entriesPaged(t *testing.T, s store.Store) {
	var want []string
	write := func(n int) {
		for range n {
			e := entry(t, fmt.Sprintf("call-%d", len(want)%3), fmt.Sprint(len(want)), audit.KindDecided)
			appendAll(t, s, e)
			want = append(want, e.Subject+"/"+e.Step)
		}
	}
	write(7)
	var got []string
	walk(t, func(cursor string) string {
		page := entries(t, s, store.EntryQuery{Limit: 3, Cursor: cursor})
		if len(page.Items) > 3 || page.Total != len(want) {
			t.Errorf("a page has %d entries and counts %d of %d", len(page.Items), page.Total, len(want))
		}
		got = append(got, steps(page.Items)...)
		if page.Next != "" && len(want) < 10 {
			write(1) // the log grows while it is read
		}
		return page.Next
	})
	if !slices.Equal(got, want) {
		t.Errorf("the pages list %q, want %q", got, want)
	}
}

func entriesFiltered(t *testing.T, s store.Store) {
	var batch []audit.Entry
	for i := range store.ExactTotal {
		batch = append(batch, entry(t, "busy", fmt.Sprint(i), audit.KindRefused))
	}
	late, err := audit.New("quiet", "3", after(5), Payload{Of: audit.KindEnded, Note: "late"})
	if err != nil {
		t.Fatal(err)
	}
	batch = append(batch,
		entry(t, "quiet", "1", audit.KindRefused), entry(t, "quiet", "2", audit.KindEnded), late)
	appendAll(t, s, batch...)
	for _, c := range []struct {
		q     store.EntryQuery
		total int
		first string
	}{
		{store.EntryQuery{Newest: true}, store.ExactTotal + 1, "quiet/3"},
		{store.EntryQuery{Newest: true, Subject: "busy"}, store.ExactTotal,
			fmt.Sprintf("busy/%d", store.ExactTotal-1)},
		{store.EntryQuery{Newest: true, Kind: audit.KindRefused}, store.ExactTotal + 1, "quiet/1"},
		{store.EntryQuery{}, store.ExactTotal + 1, "busy/0"},
		{store.EntryQuery{Subject: "busy"}, store.ExactTotal, "busy/0"},
		{store.EntryQuery{Kind: audit.KindRefused}, store.ExactTotal + 1, "busy/0"},
		{store.EntryQuery{Subject: "quiet"}, 3, "quiet/1"},
		{store.EntryQuery{Kind: audit.KindEnded}, 2, "quiet/2"},
		{store.EntryQuery{Since: after(1)}, store.ExactTotal + 1, "busy/0"},
		{store.EntryQuery{Since: after(1).Add(time.Microsecond)}, 1, "quiet/3"},
		{store.EntryQuery{Since: after(5).In(time.FixedZone("east", 3600)), Kind: audit.KindEnded}, 1, "quiet/3"},
		{store.EntryQuery{Since: after(6)}, 0, ""},
		{store.EntryQuery{Subject: "quiet", Kind: audit.KindRefused}, 1, "quiet/1"},
		{store.EntryQuery{Subject: "qui%"}, 0, ""},
		{store.EntryQuery{Kind: "unheard.of"}, 0, ""},
	} {
		c.q.Limit = 1
		page := entries(t, s, c.q)
		got := strings.Join(steps(page.Items), " ")
		if got != c.first || page.Total != c.total || (page.Next != "") != (c.total > 1) {
			t.Errorf("%+v lists %q, total %d, next %q; want %q and %d",
				c.q, got, page.Total, page.Next, c.first, c.total)
		}
	}
}

// entriesOfCalls filters by what stands in the calls' rows and in payloads.
func entriesOfCalls(t *testing.T, s store.Store) {
	for id, tool := range map[string]string{"mail-1": "mail", "mail-2": "mail", "pay-1": "pay"} {
		a := waiting(t, id)
		a.View.Tool, a.View.Agent = tool, "agent of "+id
		if a.View.Risk = approval.RiskLow; tool == "pay" {
			a.View.Risk = approval.RiskHigh
		}
		admit(t, s, a)
	}
	finish(t, s, ending(t, "mail-2", approval.StatusExpired))
	decided := func(subject, step, by, notes string) audit.Entry {
		e, err := audit.New(subject, step, after(3), audit.Decided{Decision: approval.Decision{
			ID: step, Kind: approval.Approve, Reviewer: by, Notes: notes, At: after(3)}})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	version := rest.PolicyVersion{By: `an"a`}
	applied, err := audit.New("mail-2", "1", after(4), audit.PolicyApplied{Policy: version})
	if err != nil {
		t.Fatal(err)
	}
	for kind, payload := range map[audit.Kind]audit.Payload{
		audit.KindErased:   audit.Erased{Calls: []string{"x"}, By: "eve"},
		audit.KindRestored: audit.Restored{By: "eve"}, audit.KindLogRenamed: audit.LogRenamed{RenamedBy: "eve"},
		audit.KindForbidden: audit.Forbidden{By: "eve"}, audit.KindKeyRetired: audit.KeyRetired{RetiredBy: "eve"},
		audit.KindSent: audit.Sent{Reviewer: "eve"}, audit.KindSignInFailed: audit.SignInFailed{Subject: "eve"},
		audit.KindReported: audit.Reported{Actor: approval.Actor{By: "eve"}}, audit.KindBlocked: audit.Blocked{By: "eve"},
		audit.KindStarted:      audit.Started{Actor: approval.Actor{By: "eve"}},
		audit.KindTokenCreated: audit.TokenCreated{Token: rest.Token{Subject: "eve", CreatedBy: "root"}},
		audit.KindRequested:    audit.Requested{Call: approval.View{Owner: "eve", Requester: "bot of eve"}},
		audit.KindEnded: audit.Ended{Outcome: approval.Outcome{
			Decision: &approval.FinalDecision{Kind: approval.FinalCancel, By: "eve"},
		}},
	} {
		e, err := audit.New("about "+string(kind), "1", after(4), payload)
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, s, e)
		if got := entries(t, s, store.EntryQuery{By: "eve", Kind: kind}).Items; len(got) != 1 {
			t.Errorf("%d entries of kind %s by eve", len(got), kind)
		}
		about := entries(t, s, store.EntryQuery{By: "eve", Subject: "about " + string(kind), Newest: true}).Items
		if len(about) != 1 {
			t.Errorf("%d entries about %s by eve", len(about), kind)
		}
	}
	// What somebody asks for may look like a name.
	like, err := audit.New("like", "1", after(4), audit.Requested{
		Call: approval.View{Requester: "bot", Args: json.RawMessage(`{"owner":"eve"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, like)
	if got := entries(t, s, store.EntryQuery{By: "eve", Subject: "like"}).Items; len(got) != 0 {
		t.Errorf("an argument is taken for a name: %v", steps(got))
	}
	// Of calls that nobody was asked about, kinds that all have are left out of one search.
	Live(t, s, 1)
	bot := entries(t, s, store.EntryQuery{Kind: audit.KindRequested, By: "support-bot"}).Items
	if len(bot) != 1 {
		t.Fatalf("of an allowed call: %v", steps(bot))
	}
	for _, c := range []struct {
		q    store.EntryQuery
		want int
	}{
		{store.EntryQuery{}, 0},
		{store.EntryQuery{Until: bot[0].At.Add(time.Hour)}, 0},
		{store.EntryQuery{Since: bot[0].At}, 1},
		{store.EntryQuery{Since: bot[0].At, Until: bot[0].At}, 0},
		{store.EntryQuery{Since: bot[0].At.Add(time.Microsecond)}, 0},
		{store.EntryQuery{Kind: audit.KindRequested}, 1},
		{store.EntryQuery{Kind: audit.KindEnded}, 0},
		{store.EntryQuery{Subject: bot[0].Subject}, 1},
		{store.EntryQuery{Tool: "refunds.pay"}, 1},
		{store.EntryQuery{Tool: "refunds"}, 0},
		{store.EntryQuery{Agent: "support-bot"}, 1},
		{store.EntryQuery{Status: approval.StatusExecuted}, 1},
		{store.EntryQuery{Status: approval.StatusFailed}, 0},
	} {
		c.q.By, c.q.Newest = "support-bot", true
		if got := entries(t, s, c.q).Items; len(got) != c.want || c.q.Whole() == (c.q.Since.IsZero() && c.q.Kind == "" && c.q.Subject == "" && c.q.Tool == "" && c.q.Agent == "" && c.q.Status == "") {
			t.Errorf("%+v lists %v, want %d", c.q, steps(got), c.want)
		}
		if c.want == 1 || c.q == (store.EntryQuery{By: "support-bot", Newest: true}) { // in the order written
			c.q.Newest = false
			if got := entries(t, s, c.q).Items; len(got) != 1 || !c.q.Whole() {
				t.Errorf("%+v, in the order written: %v", c.q, steps(got))
			}
		}
	}
	appendAll(t, s, decided("mail-1", "d1", "ana", ""), decided("mail-1", "d2", "ben", `"reviewer":"ana"`),
		decided("pay-1", "d1", "ana", ""), applied)
	for _, c := range []struct {
		q    store.EntryQuery
		want string
	}{
		{store.EntryQuery{Tool: "mail", Kind: audit.KindDecided}, "mail-1/d1 mail-1/d2"},
		{store.EntryQuery{Tool: "mail", Kind: audit.KindDecided, Newest: true}, "mail-1/d2 mail-1/d1"},
		{store.EntryQuery{Tool: "mai"}, ""},
		{store.EntryQuery{Tool: "\x00"}, ""},
		{store.EntryQuery{Agent: "agent of pay-1", Newest: true}, "pay-1/d1 pay-1/requested"},
		{store.EntryQuery{Agent: "agent of pay-1", Tool: "mail"}, ""},
		{store.EntryQuery{By: "ana"}, "mail-1/d1 pay-1/d1"}, // not who is only quoted
		{store.EntryQuery{By: "ana", Tool: "pay"}, "pay-1/d1"},
		{store.EntryQuery{By: "ana", Kind: audit.KindPolicyApplied}, ""},
		{store.EntryQuery{By: `an"a`}, "mail-2/1"},
		{store.EntryQuery{By: "an"}, ""},
		{store.EntryQuery{Risk: approval.RiskHigh, Kind: audit.KindDecided}, "pay-1/d1"},
		{store.EntryQuery{Risk: approval.RiskHigh, Tool: "mail"}, ""},
		{store.EntryQuery{Status: approval.StatusExpired, By: `an"a`}, "mail-2/1"},
		{store.EntryQuery{Status: approval.StatusPending, Kind: audit.KindDecided, Tool: "mail"}, "mail-1/d1 mail-1/d2"},
		{store.EntryQuery{Until: after(4), By: "ana"}, "mail-1/d1 pay-1/d1"},
		{store.EntryQuery{Until: after(4), By: `an"a`}, ""},
		{store.EntryQuery{Since: after(3), Until: after(3).Add(1000), Tool: "pay"}, "pay-1/d1"},
		{store.EntryQuery{By: "\x00"}, ""},
	} {
		page := entries(t, s, c.q)
		if got := strings.Join(steps(page.Items), " "); got != c.want || page.Total != len(page.Items) {
			t.Errorf("%+v lists %q, total %d; want %q", c.q, got, page.Total, c.want)
		}
	}
	var got []string
	walk(t, func(cursor string) string {
		page := entries(t, s, store.EntryQuery{Newest: true, Kind: audit.KindDecided, Limit: 1, Cursor: cursor})
		got = append(got, steps(page.Items)...)
		return page.Next
	})
	if want := strings.Fields("pay-1/d1 mail-1/d2 mail-1/d1"); !slices.Equal(got, want) {
		t.Errorf("pages, newest first, list %q, want %q", got, want)
	}
}

func entriesLarge(t *testing.T, s store.Store) {
	const size, count = 1 << 20, 2*store.PageBytes>>20 + 1
	var want []string
	for i := range count {
		large := Payload{Of: audit.KindEnded, Note: strings.Repeat("r", size)}
		e, err := audit.New("a", fmt.Sprint(i), after(1), large)
		if err != nil {
			t.Fatal(err)
		}
		appendAll(t, s, e)
		want = append(want, e.Subject+"/"+e.Step)
	}
	var got []string
	walk(t, func(cursor string) string {
		page := entries(t, s, store.EntryQuery{Limit: store.MaxPage, Cursor: cursor})
		if n := len(page.Items); n == 0 || n > store.PageBytes/size+1 {
			t.Fatalf("a page holds %d entries of %d bytes", n, size)
		}
		got = append(got, steps(page.Items)...)
		return page.Next
	})
	if !slices.Equal(got, want) {
		t.Errorf("the pages list %q, want %q", got, want)
	}
}

func entriesChecked(t *testing.T, s store.Store) {
	for name, spoil := range map[string]func(*audit.Entry){
		"another payload":  func(e *audit.Entry) { e.Payload = []byte(`{}`) },
		"another step":     func(e *audit.Entry) { e.Step = "2" },
		"another time":     func(e *audit.Entry) { e.At = e.At.Add(time.Microsecond) },
		"another leaf":     func(e *audit.Entry) { e.Leaf[0]++ },
		"another metadata": func(e *audit.Entry) { e.Metadata = append(e.Metadata, ' ') },
		"nothing":          func(e *audit.Entry) { *e = audit.Entry{} },
	} {
		e := entry(t, "a", "1", audit.KindRefused)
		spoil(&e)
		invalid(t, "Append with "+name, s.Append(t.Context(), entry(t, "a", "0", audit.KindRefused), e))
	}
	wrote(t, s, "a")

	forged := entry(t, "a", "x", audit.KindEnded)
	forged.Leaf[0]++
	before := admit(t, s, waiting(t, "a"))
	c := claiming(t, "a")
	c.Entries = append(c.Entries, forged)
	_, err := s.Claim(t.Context(), c)
	invalid(t, "Claim", err)
	f := ending(t, "a", approval.StatusExpired)
	f.Entries = append(f.Entries, forged)
	_, _, err = s.Finish(t.Context(), f)
	invalid(t, "Finish", err)
	isStored(t, s, before)
	wrote(t, s, "a", "requested")
}
