package main

import (
	"context"
	"errors"
	"strings"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres"
	"github.com/pawlhq/pawl/store/sqlite"
)

// database says which store a command uses and what it may do there.
type database struct {
	url        string // sqlite://PATH, postgres://… or postgresql://…
	readOnly   bool
	keepSchema bool // in Postgres: leave the schema as it is
}

// errDatabaseURL never holds the URL: it may hold a password.
var errDatabaseURL = errors.New("the database URL must be sqlite://PATH or postgres://USER@HOST:PORT/DATABASE")

// validate looks at the URL alone, so that a bad one is told before anything
// is started.
func (d database) validate() error {
	path, lite := strings.CutPrefix(d.url, "sqlite://")
	switch {
	case d.url == "":
		return errors.New("which store? set PAWL_DATABASE_URL, or give --database-url: sqlite://PATH or postgres://USER@HOST:PORT/DATABASE")
	case lite && path == "":
		return errors.New("the database URL names no file: write sqlite://PATH")
	case lite, d.postgres():
		return nil
	}
	return errDatabaseURL
}

func (d database) postgres() bool {
	return strings.HasPrefix(d.url, "postgres://") || strings.HasPrefix(d.url, "postgresql://")
}

// open opens the store. Errors name host and database or the file, and never
// repeat the URL.
func (d database) open(ctx context.Context) (store.Store, error) {
	if err := d.validate(); err != nil {
		return nil, err
	}
	if path, ok := strings.CutPrefix(d.url, "sqlite://"); ok {
		// Not returned as it is: a nil *Store in an interface is not nil.
		if s, err := sqlite.Open(ctx, sqlite.Options{Path: path, ReadOnly: d.readOnly}); err == nil {
			return s, nil
		} else {
			return nil, err
		}
	}
	s, err := postgres.Open(ctx, postgres.Options{URL: d.url, ReadOnly: d.readOnly, KeepSchema: d.keepSchema})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// mayHeal reports whether a store that did not open may do so soon: its server
// starts, or somebody is about to set it up.
func mayHeal(err error) bool {
	for _, soon := range []error{
		postgres.ErrUnavailable, postgres.ErrBusy, postgres.ErrStandby, postgres.ErrMissing, sqlite.ErrMissing, sqlite.ErrOwned,
	} {
		if errors.Is(err, soon) {
			return true
		}
	}
	return false
}
