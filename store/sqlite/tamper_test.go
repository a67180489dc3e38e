package sqlite

import (
	"errors"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/storetest"
)

func TestTampered(t *testing.T) { storetest.Tampered(t, tampering) }

func TestTamperedTree(t *testing.T) { storetest.TamperedTree(t, tampering) }

// tampering is an empty store whose database refuses no change, and what changes it.
func tampering(t *testing.T) (store.Store, func(string)) {
	s := open(t, fresh(t))
	for _, trigger := range []string{
		"entries_are_final", "entries_stay", "sealed_are_final", "sealed_stay", "sealed_follow", "nodes_are_final", "nodes_stay",
		"checkpoints_are_final", "checkpoints_stay",
	} {
		run(t, s, `DROP TRIGGER `+trigger)
	}
	run(t, s, `PRAGMA ignore_check_constraints = 1`)
	return s, func(sql string) { run(t, s, text(sql)) }
}

// What a row relies on is gone, or is another's: that is an error which says where to look.
func TestEntriesOfARowTampered(t *testing.T) {
	for _, change := range []string{
		`DELETE FROM entries WHERE step = 'end'`,
		`DELETE FROM entries WHERE step = 'admit'`,
		`UPDATE entries SET payload = NULL`,
		`UPDATE entries SET payload = CAST('{"call":{"id":"another","tool":"x"}}' AS BLOB) WHERE step = 'admit'`,
		`UPDATE entries SET payload = x'7b7d' WHERE step = 'admit'`,
		`UPDATE calls SET id = 'another'`,
	} {
		t.Run(change, func(t *testing.T) {
			s := open(t, fresh(t))
			storetest.Live(t, s, 1)
			page, err := s.Calls(t.Context(), store.CallQuery{})
			if err != nil || len(page.Items) != 1 {
				t.Fatal(page.Items, err)
			}
			run(t, s, `DROP TRIGGER entries_are_final`)
			run(t, s, `DROP TRIGGER entries_stay`)
			run(t, s, change)
			id := page.Items[0].ID
			if strings.HasPrefix(change, "UPDATE calls") {
				id = "another"
			}
			_, err = s.Call(t.Context(), id)
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), id) {
				t.Errorf("read as if nothing was wrong: %v", err)
			}
		})
	}
}
