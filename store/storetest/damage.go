package storetest

import (
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// EntriesChanged checks that entries which somebody changed in the database are read, each with
// what does not fit. change sets a column of the entry with a step, as somebody may who owns the
// tables: what protects rows from changes does not hold for them.
func EntriesChanged(t *testing.T, s store.Store, change func(step, column string, value any)) {
	const leaf = "it differs from its leaf hash"
	cases := []struct {
		step, column string
		value        any
		damage       string
	}{
		{"untouched", "", nil, ""},
		{"removed", "payload", nil, leaf}, // retention leaves its hash
		{"payload", "payload", []byte(`{"note":"another"}`), leaf},
		{"no JSON", "payload", []byte("\xff{"), leaf},
		{"salt", "salt", make([]byte, 16), leaf},
		{"kind", "kind", string(audit.KindEnded), leaf},
		{"metadata", "metadata", []byte(`{}`), "its format 0 is not known to this version"},
		{"leaf", "leaf", make([]byte, 32), leaf},
	}
	for _, c := range cases {
		appendAll(t, s, entry(t, "a", c.step, audit.KindRefused))
		if c.column != "" {
			change(c.step, c.column, c.value)
		}
	}
	page, err := s.Entries(t.Context(), store.EntryQuery{Subject: "a"})
	if err != nil || len(page.Items) != len(cases) {
		t.Fatalf("%d entries, %v; want %d", len(page.Items), err, len(cases))
	}
	for i, c := range cases {
		if e := page.Items[i]; e.Step != c.step || e.Damage != c.damage {
			t.Errorf("%s: damage %q, want %q", c.step, e.Damage, c.damage)
		}
	}
}
