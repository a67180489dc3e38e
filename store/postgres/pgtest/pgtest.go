// Package pgtest gives tests a Postgres: the one PAWL_TEST_DATABASE_URL names, or a throw-away
// cluster from the programs installed on this machine, one for each test process. Where there is
// none, tests are skipped, and fail if the environment has CI=true.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// variable names a server where the tests may make and drop databases.
const variable = "PAWL_TEST_DATABASE_URL"

const advice = "no Postgres for the tests: install one (on Debian and Ubuntu: apt-get install postgresql), " +
	"or name a server where they may create databases in " + variable

// shared is the cluster of this process, started by the first test that asks.
var shared struct {
	once sync.Once
	c    *Cluster
	url  string
	err  error
}

// Main runs a package's tests and stops the process's cluster after them. Use it in TestMain:
// os.Exit(pgtest.Main(m)).
func Main(m *testing.M) int {
	defer func() {
		if shared.c != nil {
			shared.c.Remove()
		}
	}()
	return m.Run()
}

// URL is that of the server for tests, with the right to create databases. Without a server the
// test is skipped, or fails under CI=true.
func URL(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() {
		if shared.url = os.Getenv(variable); shared.url != "" {
			return
		}
		if shared.c, shared.err = start("", false); shared.err == nil {
			shared.url = shared.c.URL
		}
	})
	if shared.err != nil {
		missing(t, shared.err)
	}
	return shared.url
}

func missing(t testing.TB, err error) {
	t.Helper()
	if err != ErrNone || os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// New makes an empty database, which is dropped when the test ends, and returns its URL.
func New(t testing.TB) string {
	t.Helper()
	return Create(t, URL(t), "")
}

// Create makes a database on a server, with more of CREATE DATABASE's options if wanted, drops it
// when the test ends, and returns its URL.
func Create(t testing.TB, server, options string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s is not a URL", variable)
	}
	name := "pawl_test_" + rand.Text()
	Exec(t, server, fmt.Sprintf(`CREATE DATABASE %q %s`, name, options))
	t.Cleanup(func() { Exec(t, server, fmt.Sprintf(`DROP DATABASE IF EXISTS %q WITH (FORCE)`, name)) })
	u.Path = "/" + name
	return u.String()
}

// Exec runs statements in a database.
func Exec(t testing.TB, url string, statements ...string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // Create's clean-up, too
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}
