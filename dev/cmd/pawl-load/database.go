package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/sqlite"
)

// openStore opens the store at a URL, to read.
func openStore(ctx context.Context, database string) (store.Store, error) {
	if path, ok := strings.CutPrefix(database, "sqlite://"); ok {
		return sqlite.Open(ctx, sqlite.Options{Path: path, ReadOnly: true})
	}
	return postgres.Open(ctx, postgres.Options{URL: database, ReadOnly: true})
}

// findPostgres finds the server for the parts that need one, or leaves b.server empty and says so
// in the report.
func (b *bench) findPostgres(ctx context.Context) error {
	if b.server = b.o.database; b.server == "" {
		b.say("starting a throw-away Postgres")
		c, err := pgtest.Durable(b.o.data)
		if errors.Is(err, pgtest.ErrNone) {
			b.report.note("Postgres was left out: none is installed here, and --database-url names none.")
			return nil
		}
		if err != nil {
			return err
		}
		b.server, b.stopPostgres = c.URL, c.Remove
	}
	return onServer(ctx, b.server, func(c *pgx.Conn) error {
		return c.QueryRow(ctx, "SHOW server_version").Scan(&b.report.Machine.Postgres)
	})
}

// newDatabase makes an empty database, which is dropped when the setup closes.
func (b *bench) newDatabase(ctx context.Context, s *setup) (string, error) {
	name := "pawl_load_" + strings.ToLower(rand.Text())
	if err := onServer(ctx, b.server, func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "CREATE DATABASE "+name)
		return err
	}); err != nil {
		return "", err
	}
	s.onClose(func() error {
		ctx := context.WithoutCancel(ctx) // after Ctrl-C, too
		return onServer(ctx, b.server, func(c *pgx.Conn) error {
			_, err := c.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
			return err
		})
	})
	u, err := url.Parse(b.server)
	if err != nil {
		return "", errDatabaseURL
	}
	u.Path = "/" + name
	return u.String(), nil
}

var errDatabaseURL = errors.New("the database URL must be postgres://USER@HOST:PORT/DATABASE")

// onServer runs something in the database that the URL names. Errors never hold the URL: it may
// hold a password.
func onServer(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	c, err := pgx.Connect(ctx, database)
	if err != nil {
		var parse *pgconn.ParseConfigError
		if errors.As(err, &parse) {
			return errDatabaseURL
		}
		return fmt.Errorf("no answer from Postgres: %w", err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	if err := do(c); err != nil {
		return fmt.Errorf("in Postgres, where pawl-load makes databases of its own: %w", err)
	}
	return nil
}
