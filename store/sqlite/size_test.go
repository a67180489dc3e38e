package sqlite

import (
	"testing"

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
	}, 2200)
}
