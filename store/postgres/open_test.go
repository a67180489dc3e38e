package postgres

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

// planted is a password that must not turn up anywhere.
const planted = "s3cret-Wörd/%"

// with changes the URL of a database.
func with(t *testing.T, text string, change func(u *url.URL, q url.Values)) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	change(u, q)
	u.RawQuery = q.Encode()
	return u.String()
}

// role makes a user with the planted password, who may log in, and returns his URL of a database.
func role(t *testing.T, database, options string) (name, his string) {
	t.Helper()
	name = strings.ReplaceAll(strings.ToLower(t.Name()), "/", "_")
	pgtest.Exec(t, database, `CREATE ROLE "`+name+`" LOGIN PASSWORD '`+planted+`' `+options)
	t.Cleanup(func() { pgtest.Exec(t, pgtest.URL(t), `DROP ROLE "`+name+`"`) })
	return name, with(t, database, func(u *url.URL, _ url.Values) { u.User = url.UserPassword(name, planted) })
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	server := pgtest.URL(t)
	owner, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	user := owner.User.Username()

	laid := pgtest.New(t)
	admit(t, open(t, laid), "a")
	newer := pgtest.New(t)
	open(t, newer)
	pgtest.Exec(t, newer, `INSERT INTO pawl.goose_db_version (version_id, is_applied) VALUES (999, true)`)
	foreign := pgtest.New(t)
	pgtest.Exec(t, foreign, `CREATE SCHEMA pawl`, `CREATE TABLE pawl.calls (name text)`)
	frozen := pgtest.New(t)
	open(t, frozen)
	pgtest.Exec(t, frozen, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
	empty := pgtest.New(t)
	ascii := pgtest.Create(t, server, `ENCODING 'SQL_ASCII' TEMPLATE template0`)
	_, stranger := role(t, laid, "")
	elsewhere := with(t, laid, func(u *url.URL, q url.Values) { u.User = url.UserPassword(user, planted); q.Set("host", t.TempDir()) })

	for _, c := range []struct {
		name string
		o    Options
		want error // nil: any
		says string
	}{
		{"no URL", Options{}, nil, "needs a URL"},
		{"not a URL", Options{URL: "postgres://user:" + planted + "@%zz:host/db"}, errURL, ""},
		{"a space in the host", Options{URL: "postgres://user:" + planted + "@ho st/db"}, errURL, ""},
		{"a slash after digits", Options{URL: "postgres://user:123/" + planted[:6] + "@host:1/db"}, errURL, ""},
		{"another scheme", Options{URL: "mysql://user:" + planted + "@host/db"}, errURL, ""},
		{"keywords", Options{URL: "host=localhost password=" + planted}, errURL, ""},
		{"an unknown mode", Options{URL: "postgres://user:x@localhost/db?sslmode=maybe&password=" + url.QueryEscape(planted)}, errURL, ""},
		{"negative", Options{URL: laid, MaxConns: -1}, nil, "connections"},
		{"negative time", Options{URL: laid, Timeout: -1}, nil, "timeouts"},
		{"nobody listens", Options{URL: elsewhere}, ErrUnavailable, "check that it runs"},
		{"nobody listens on a port", Options{URL: "postgres://user:" + url.QueryEscape(planted) + "@127.0.0.1:1/db"}, ErrUnavailable, "127.0.0.1:1"},
		{"no such host", Options{URL: "postgres://user:" + url.QueryEscape(planted) + "@nowhere.invalid/db"}, ErrUnavailable, "nowhere.invalid"},
		{"a wrong password", Options{URL: with(t, laid, func(u *url.URL, _ url.Values) { u.User = url.UserPassword(user, planted) })}, ErrAccess, "password"},
		{"no password", Options{URL: with(t, laid, func(u *url.URL, _ url.Values) { u.User = url.User(user) })}, ErrAccess, "no password was given: set PGPASSWORD"},
		{"no such user", Options{URL: with(t, laid, func(u *url.URL, _ url.Values) { u.User = url.UserPassword("nobody_here", planted) })}, ErrAccess, "user"},
		{"no such database", Options{URL: with(t, laid, func(u *url.URL, _ url.Values) { u.Path = "/none_such" })}, ErrAccess, "does not exist"},
		{"no rights", Options{URL: stranger}, ErrAccess, "grant"},
		{"no rights to read", Options{URL: stranger, ReadOnly: true}, ErrAccess, "grant"},
		{"another encoding", Options{URL: ascii}, nil, "UTF8"},
		{"nothing to read", Options{URL: empty, ReadOnly: true}, ErrMissing, "for writing"},
		{"nothing to keep", Options{URL: empty, KeepSchema: true}, ErrMissing, "for writing"},
		{"another program's", Options{URL: foreign}, ErrForeign, ""},
		{"a newer schema", Options{URL: newer}, store.ErrSchema, "999"},
		{"a newer schema, to read", Options{URL: newer, ReadOnly: true}, store.ErrSchema, "999"},
		{"a database set to read only", Options{URL: frozen}, ErrStandby, "default_transaction_read_only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(t.Context(), c.o)
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error is %v, want %v with %q", err, c.want, c.says)
			}
			hides(t, err, c.o.URL)
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %v", err)
			}
		})
	}
	if err := openWith(t, Options{URL: frozen, ReadOnly: true}).Ping(t.Context()); err != nil {
		t.Errorf("reading a database that is set to read only: %v", err)
	}
}

// hides fails if an error, or anything in it, has the password or the URL.
func hides(t *testing.T, err error, text string) {
	t.Helper()
	secrets := []string{planted, url.QueryEscape(planted), url.PathEscape(planted), "s3cret", text}
	if u, err := url.Parse(text); err == nil && u.User != nil {
		if password, ok := u.User.Password(); ok && len(password) > 3 {
			secrets = append(secrets, password)
		}
	}
	var all func(error)
	all = func(err error) {
		for _, secret := range secrets {
			if secret != "" && strings.Contains(err.Error(), secret) {
				t.Errorf("the error has %q: %v", secret, err)
			}
		}
		switch w := err.(type) {
		case interface{ Unwrap() error }:
			if inner := w.Unwrap(); inner != nil {
				all(inner)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range w.Unwrap() {
				all(inner)
			}
		}
	}
	all(err)
}

func TestOpenByManyAtOnce(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := Open(t.Context(), Options{URL: database, MaxConns: 2})
			if err != nil {
				t.Error(err)
				return
			}
			if _, _, err := s.Admit(t.Context(), admission("a", nil)); err != nil {
				t.Error(err)
			}
			_ = s.Close()
		})
	}
	wg.Wait()
	conn := connect(t, database)
	var applied, calls int
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pawl.goose_db_version WHERE version_id > 0), (SELECT count(*) FROM pawl.calls)`).Scan(&applied, &calls); err != nil {
		t.Fatal(err)
	}
	if files, err := fs.Glob(migrations, "migrations/*.sql"); err != nil || applied != len(files) || calls != 1 {
		t.Errorf("%d migrations were applied and %d calls written, %v", applied, calls, err)
	}
}

// Setting up may be interrupted between any two of its steps.
func TestOpenGoesOnWithAnInterruptedSetUp(t *testing.T) {
	t.Parallel()
	table := `CREATE TABLE pawl.goose_db_version (id integer PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, version_id bigint NOT NULL,
		is_applied boolean NOT NULL, tstamp timestamp NOT NULL DEFAULT now())`
	for name, statements := range map[string][]string{
		"schema":        {`CREATE SCHEMA pawl`},
		"version table": {`CREATE SCHEMA pawl`, table, `INSERT INTO pawl.goose_db_version (version_id, is_applied) VALUES (0, true)`},
	} {
		t.Run(name, func(t *testing.T) {
			database := pgtest.New(t)
			pgtest.Exec(t, database, statements...)
			if _, err := Open(t.Context(), Options{URL: database, ReadOnly: true}); !errors.Is(err, ErrMissing) {
				t.Errorf("to read: %v, want %v", err, ErrMissing)
			}
			admit(t, open(t, database), "a")
		})
	}
}

func TestSetUpWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	other := connect(t, database)
	run(t, other, `SELECT pg_advisory_lock($1)`, setUpLock)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := Migrate(ctx, database); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Migrate while another sets up: %v, want %v", err, context.DeadlineExceeded)
	}
	run(t, other, `SELECT pg_advisory_unlock_all()`)
	if err := errors.Join(Migrate(t.Context(), database), Migrate(t.Context(), database)); err != nil {
		t.Error(err)
	}
	openWith(t, Options{URL: database, KeepSchema: true})
}

// An owner sets up; workers and readers have just the rights they need.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	if err := Migrate(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	name, his := role(t, database, "")
	run(t, connect(t, database), `GRANT USAGE ON SCHEMA pawl TO "`+name+`"`)
	run(t, connect(t, database), `GRANT SELECT ON ALL TABLES IN SCHEMA pawl TO "`+name+`"`)
	t.Cleanup(func() { pgtest.Exec(t, database, `DROP OWNED BY "`+name+`"`) })

	reader := openWith(t, Options{URL: his, ReadOnly: true})
	if _, err := reader.Entries(t.Context(), store.EntryQuery{}); err != nil {
		t.Errorf("a reader: %v", err)
	}
	worker := openWith(t, Options{URL: his})
	_, _, err := worker.Admit(t.Context(), admission("a", nil))
	if !errors.Is(err, ErrAccess) {
		t.Errorf("Admit without the right to write: %v, want %v", err, ErrAccess)
	}
	hides(t, err, his)

	run(t, connect(t, database), `GRANT INSERT, UPDATE ON pawl.calls, pawl.claims TO "`+name+`"`)
	run(t, connect(t, database), `GRANT INSERT (call, step, kind, at, salt, leaf, payload, metadata, hash) ON pawl.entries TO "`+name+`"`)
	run(t, connect(t, database), `GRANT INSERT, UPDATE, DELETE ON pawl.tools TO "`+name+`"`)
	if _, _, err := worker.ApplyPolicy(t.Context(), applying); !errors.Is(err, store.ErrReadOnly) || !errors.Is(err, ErrAccess) {
		t.Errorf("ApplyPolicy without the right to: %v, want %v and %v", err, store.ErrReadOnly, ErrAccess)
	}
	run(t, connect(t, database), `GRANT INSERT ON pawl.policies, pawl.policy_versions TO "`+name+`"`)
	_, _, applyErr := worker.ApplyPolicy(t.Context(), applying)
	admit(t, worker, "a")
	_, _, finishErr := worker.Finish(t.Context(), ending("a"))
	_, publishErr := worker.PublishTools(t.Context(), store.Publication{Publisher: "q", Operator: true,
		Tools: []store.Tool{{Name: "a", Queue: "q", Kind: "go", Publisher: "q"}}})
	if err := storetest.Seal(t.Context(), worker); !errors.Is(err, ErrAccess) {
		t.Errorf("sealing without the right to: %v, want %v", err, ErrAccess)
	}
	run(t, connect(t, database), `GRANT INSERT ON pawl.sealed, pawl.nodes, pawl.checkpoints TO "`+name+`"`)
	run(t, connect(t, database), `GRANT UPDATE (cosigned) ON pawl.checkpoints TO "`+name+`"`)
	sealErr := storetest.Seal(t.Context(), worker)
	last, lastErr := worker.LastCheckpoint(t.Context())
	err = errors.Join(publishErr, sealErr, lastErr, worker.Cosign(t.Context(), last.Size, last.Note),
		worker.Append(t.Context(), ending("b").Entries...), finishErr, applyErr)
	if err != nil {
		t.Error(err)
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	_, his := role(t, database, "CONNECTION LIMIT 1")
	connect(t, his)
	_, err := Open(t.Context(), Options{URL: his})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "connection") {
		t.Errorf("one connection too many: %v, want %v", err, ErrUnavailable)
	}
	hides(t, err, his)
}

// TestUserOfTheEnvironment is how processes with different users share one configuration file.
func TestUserOfTheEnvironment(t *testing.T) {
	database := pgtest.New(t)
	if err := Migrate(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	name, his := role(t, database, "")
	run(t, connect(t, database), `GRANT USAGE ON SCHEMA pawl TO "`+name+`"`)
	run(t, connect(t, database), `GRANT SELECT ON ALL TABLES IN SCHEMA pawl TO "`+name+`"`)
	t.Cleanup(func() { pgtest.Exec(t, database, `DROP OWNED BY "`+name+`"`) })
	u, err := url.Parse(his)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	t.Setenv("PGUSER", u.User.Username())
	t.Setenv("PGPASSWORD", password)
	u.User = nil
	s := openWith(t, Options{URL: u.String(), ReadOnly: true})
	if _, err := s.Entries(t.Context(), store.EntryQuery{}); err != nil {
		t.Error(err)
	}
	var user string
	if err := connect(t, u.String()).QueryRow(t.Context(), "SELECT current_user").Scan(&user); err != nil || user != name {
		t.Errorf("the user is %q, %v, want %q", user, err, name)
	}
}
