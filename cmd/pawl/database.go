package main

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres"
	"github.com/pawlhq/pawl/store/sqlite"
)

const sqliteScheme = "sqlite://"

// database says which store a command uses and what it may do there.
type database struct {
	url        string // sqlite://PATH, postgres://… or postgresql://…
	readOnly   bool
	keepSchema bool // in Postgres: leave the schema as it is
}

// validate looks at the URL and the files it names, so that a bad one is told
// before anything is started. Errors never hold the URL: it may hold a
// password.
func (d database) validate() error {
	if err := d.form(); err != nil || !d.postgres() {
		return err
	}
	return postgres.Options{URL: d.url}.Check()
}

// form looks at what kind of URL it is, and no further.
func (d database) form() error {
	switch {
	case d.url == "":
		return errors.New("which store? set PAWL_DATABASE_URL, or give --database-url: sqlite://PATH or postgres://USER@HOST:PORT/DATABASE")
	case d.url == sqliteScheme:
		return errors.New("the database URL names no file: write sqlite://PATH")
	case d.sqlite(), d.postgres():
		return nil
	}
	return errors.New("the database URL must be sqlite://PATH or postgres://USER@HOST:PORT/DATABASE")
}

func (d database) sqlite() bool { return strings.HasPrefix(d.url, sqliteScheme) }

func (d database) postgres() bool {
	return strings.HasPrefix(d.url, "postgres://") || strings.HasPrefix(d.url, "postgresql://")
}

// String names the store without user, password and parameters.
func (d database) String() string {
	u, err := url.Parse(d.url)
	switch {
	case d.sqlite():
		return "SQLite " + strings.TrimPrefix(d.url, sqliteScheme)
	case err != nil || !d.postgres():
		return "unreadable URL"
	}
	return "Postgres " + u.Host + u.Path
}

// password reports whether the URL holds one.
func (d database) password() bool {
	u, err := url.Parse(d.url)
	if err != nil {
		return false
	}
	_, given := u.User.Password()
	return given || u.Query().Has("password")
}

// open opens the store. Errors name host and database or the file, and never
// repeat the URL.
func (d database) open(ctx context.Context) (store.Store, error) {
	if err := d.validate(); err != nil {
		return nil, err
	}
	// Neither store is returned as it comes: a nil *Store is no nil interface.
	if d.sqlite() {
		s, err := sqlite.Open(ctx, sqlite.Options{Path: strings.TrimPrefix(d.url, sqliteScheme), ReadOnly: d.readOnly})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := postgres.Open(ctx, postgres.Options{URL: d.url, ReadOnly: d.readOnly, KeepSchema: d.keepSchema})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openExisting opens a store that is there with this Pawl's schema, and changes
// neither: for writing, SQLite would make one that is missing, and upgrade an
// older one.
func (d database) openExisting(ctx context.Context) (store.Store, error) {
	look := d
	look.readOnly, d.keepSchema = true, true
	opened, err := look.open(ctx)
	if err != nil || d.readOnly {
		return opened, err
	}
	if err := opened.Close(); err != nil {
		return nil, err
	}
	return d.open(ctx)
}

// mayHeal reports whether a store that did not open may do so soon: its server
// starts, its owner ends, or somebody is about to set it up or upgrade it.
func mayHeal(err error) bool {
	return is(err, postgres.ErrUnavailable, postgres.ErrBusy, postgres.ErrStandby, sqlite.ErrOwned) || needsSetup(err)
}

// needsSetup reports that there is no store yet, or one for an older Pawl.
func needsSetup(err error) bool {
	return is(err, postgres.ErrMissing, sqlite.ErrMissing, postgres.ErrSchema, sqlite.ErrSchema) && !is(err, postgres.ErrNewer, sqlite.ErrNewer)
}

func is(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
