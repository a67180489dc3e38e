package postgres

import (
	"testing"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

func TestTampered(t *testing.T) {
	t.Parallel()
	storetest.Tampered(t, func(t *testing.T) (store.Store, func(string)) {
		url := pgtest.New(t)
		s, conn := open(t, url), connect(t, url)
		for _, table := range []string{"entries", "sealed", "checkpoints"} {
			run(t, conn, `ALTER TABLE pawl.`+table+` DISABLE TRIGGER USER`)
		}
		run(t, conn, `ALTER TABLE pawl.sealed DROP CONSTRAINT sealed_log_index_check`)
		return s, func(sql string) { run(t, conn, sql) }
	})
}
