package sqlite

import (
	"testing"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/storetest"
)

func TestTampered(t *testing.T) {
	storetest.Tampered(t, func(t *testing.T) (store.Store, func(string)) {
		s := open(t, fresh(t))
		for _, trigger := range []string{
			"entries_are_final", "entries_stay", "sealed_are_final", "sealed_stay", "checkpoints_are_final", "checkpoints_stay",
		} {
			run(t, s, `DROP TRIGGER `+trigger)
		}
		run(t, s, `PRAGMA ignore_check_constraints = 1`)
		return s, func(sql string) { run(t, s, text(sql)) }
	})
}
