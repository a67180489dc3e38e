package sqlite

import (
	"database/sql/driver"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/pawlhq/pawl/store/storetest"
	"modernc.org/sqlite"
)

// until counts down the steps until one fails.
var until atomic.Int64

func init() {
	sqlite.MustRegisterScalarFunction("killed", 0,
		func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
			if until.Add(-1) == 0 {
				return int64(1), nil
			}
			return int64(0), nil
		})
}

// A transaction that ends at any of its writes leaves nothing behind, and can be done again. Of
// entries, of which there are many, the first ones count as steps.
func TestKilledAtEachStep(t *testing.T) {
	s := open(t, fresh(t))
	for table, when := range map[string]string{
		"entries": "CAST(NEW.step AS INTEGER) < 2", "sealed": "true", "nodes": "true", "checkpoints": "true",
	} {
		for _, moment := range []string{"BEFORE", "AFTER"} {
			run(t, s, fmt.Sprintf(`CREATE TRIGGER killed_%s_%s %s INSERT ON %s WHEN %s AND killed() = 1
				BEGIN SELECT RAISE(ROLLBACK, 'killed'); END`, moment, table, moment, table, when))
		}
	}
	storetest.Killed(t, s, func(n int) func() bool {
		until.Store(int64(n))
		return func() bool { return until.Swap(0) <= 0 }
	})
}
