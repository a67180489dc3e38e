package postgres

import (
	"testing"

	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

// On a disk that is really full no step of a call is taken and none is half written; see TestServerErrors
// for what each error says.
func TestFullDiskAtEachStep(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t)
	disk := c.SmallDisk(t, "small")
	s := open(t, pgtest.Create(t, c.URL, "TABLESPACE small"))
	storetest.FullDisk(t, s, ErrFull, disk)
}
