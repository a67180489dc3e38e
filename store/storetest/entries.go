package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

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
