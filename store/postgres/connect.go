package postgres

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/store/backend"
)

const (
	// defaultConns leaves room for ten processes under Postgres' own default of 100 connections.
	defaultConns = 10

	// connectTimeout bounds dialing, TLS and login, unless the URL has its own.
	connectTimeout = 10 * time.Second

	// connLifetime lets connections move to where the host name points now.
	connLifetime = 30 * time.Minute
)

// errURL has no detail: every part of an URL that can't be read may be a part of its password.
var errURL = errors.New("the Postgres store's URL can't be used: it must read " +
	"postgres://user:password@host:port/database?parameter=value, " +
	"with special characters of the password in percent code, " +
	"known values for parameters such as sslmode, and certificate files that exist")

// config is how to connect, and where to in words for people.
func (o *Options) config() (*pgxpool.Config, string, error) {
	if err := o.validate(); err != nil {
		return nil, "", err
	}
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, "", errURL
	}
	// A slash in a password ends the host after digits: what follows it, up to the real host, would be
	// shown as the database.
	if strings.Contains(u.EscapedPath(), "@") {
		return nil, "", errURL
	}
	c, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, "", errURL // not wrapped: the error carries the URL
	}
	given := u.Query()
	switch {
	case o.MaxConns > 0:
		c.MaxConns = o.MaxConns
	case !given.Has("pool_max_conns"):
		c.MaxConns = defaultConns
	}
	if !given.Has("connect_timeout") {
		c.ConnConfig.ConnectTimeout = connectTimeout
	}
	if !given.Has("pool_max_conn_lifetime") {
		c.MaxConnLifetime, c.MaxConnLifetimeJitter = connLifetime, connLifetime/10
	}
	c.PingTimeout = connectTimeout
	params := c.ConnConfig.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "pawl"
	}
	// Names are written out, so that nothing in another schema is taken for ours.
	params["search_path"] = "pg_catalog"
	params["default_transaction_isolation"] = "read committed"
	// Lists and counts stop early, in the order of an index. A bitmap of all that match, which the
	// planner likes as long as a table has no statistics, would read 100,000 rows to show 50.
	params["enable_bitmapscan"] = "off"
	params["statement_timeout"] = millis(o.Timeout)
	params["idle_in_transaction_session_timeout"] = millis(o.Timeout)
	params["lock_timeout"] = millis(o.LockTimeout)
	if o.ReadOnly {
		params["default_transaction_read_only"] = "on"
	}
	where := describe(c.ConnConfig)
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if encoding := conn.PgConn().ParameterStatus("server_encoding"); encoding != "UTF8" {
			return backend.Errorf("store %s: its encoding is %s: Pawl needs a database made with ENCODING 'UTF8'",
				where, encoding)
		}
		// What is acknowledged must be on disk, also where the server or the user is set up otherwise.
		// Stronger settings stay.
		_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'local', false)
			WHERE current_setting('synchronous_commit') = 'off'`)
		return err
	}
	return c, where, nil
}

// describe names a database without user and password.
func describe(c *pgx.ConnConfig) string {
	host := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	if strings.HasPrefix(c.Host, "/") {
		host = c.Host // the folder of a socket
	}
	name := cmp.Or(c.Database, c.User) // the server's rule
	return "postgres " + host + " database " + strconv.Quote(name)
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
