package pgtest

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// make test asks by this test whether those of the store were skipped.
func TestThereIsAPostgres(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), New(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAClusterStopsAndStarts(t *testing.T) {
	c := NewCluster(t)
	url := Create(t, c.URL, "")
	Exec(t, url, `CREATE TABLE things ()`)
	c.Stop(t)
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a stopped server answered")
	}
	c.Start(t)
	Exec(t, url, `DROP TABLE things`)
}
