package sqlite

import (
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store/storetest"
)

// docs/performance.md says what of it each table and index takes.
func TestSizeOfACall(t *testing.T) {
	t.Parallel()
	s := open(t, fresh(t))
	storetest.Size(t, s, func() (bytes int64) {
		const query = `SELECT page_count * page_size FROM pragma_page_count, pragma_page_size`
		if err := s.writes.QueryRowContext(t.Context(), query).Scan(&bytes); err != nil {
			t.Fatal(err)
		}
		return bytes
	}, 2048)
}

// Rows of calls that nobody waits for say that they are in the log, whoever runs the tool.
func TestRowsInLog(t *testing.T) {
	t.Parallel()
	s := open(t, fresh(t))
	storetest.Live(t, s, 1)
	storetest.LiveByCaller(t, s, 2, approval.Report{Status: approval.StatusExecuted, ResultSize: 7})
	var rows int
	const query = `SELECT count(*) FROM calls WHERE packed = x'02' AND view = '' AND verdict = ''`
	if err := s.writes.QueryRowContext(t.Context(), query).Scan(&rows); err != nil || rows != 2 {
		t.Errorf("%d of 2 rows are, %v", rows, err)
	}
}
