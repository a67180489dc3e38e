package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// PublishTools implements store.Catalogue.
func (s *Store) PublishTools(ctx context.Context, p store.Publication) (refused []string, err error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if s.readOnly {
		return nil, store.ErrReadOnly
	}
	names, rows := make([]string, len(p.Tools)), make([]string, len(p.Tools))
	for i, tool := range p.Tools {
		names[i] = tool.Name
		if rows[i], err = store.Encode(tool); err != nil {
			return nil, err
		}
	}
	err = s.run(ctx, "publish tools", func(ctx context.Context, conn *pgxpool.Conn) error {
		var writes pgx.Batch
		writes.Queue(begin)
		// Publishers go one after the other; readers see the old catalogue.
		writes.Queue(`LOCK TABLE pawl.tools IN SHARE ROW EXCLUSIVE MODE`)
		if p.Operator {
			writes.Queue(`DELETE FROM pawl.tools WHERE publisher = $1`, p.Publisher)
		}
		writes.Queue(`INSERT INTO pawl.tools (name, publisher, tool)
			SELECT name, $1, tool FROM unnest($2::text[], $3::text[]) AS t (name, tool)
			ON CONFLICT (name) DO UPDATE SET publisher = excluded.publisher, tool = excluded.tool
			WHERE $4 OR tools.publisher = excluded.publisher`, p.Publisher, names, rows, p.Operator)
		if err := commit(ctx, conn, &writes); err != nil {
			_, _ = conn.Exec(ctx, `ROLLBACK`) // or else the connection is not used again
			return err
		}
		if p.Operator {
			return nil
		}
		// What another publisher has stays with that publisher, so this may be read later.
		const takenQuery = `SELECT name FROM pawl.tools WHERE name = ANY ($1) AND publisher <> $2 ORDER BY name`
		taken, err := conn.Query(ctx, takenQuery, names, p.Publisher)
		if err != nil {
			return err
		}
		refused, err = pgx.CollectRows(taken, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, err
	}
	return refused, nil
}

// PublishOwn implements store.Callers. Names that a worker takes at the same moment belong to both:
// the worker's goes before, as everywhere.
func (s *Store) PublishOwn(
	ctx context.Context, agent string, tools []store.OwnTool,
) (taken []string, err error) {
	docs, err := store.CheckOwn(agent, tools)
	if err != nil {
		return nil, err
	}
	if s.readOnly {
		return nil, store.ErrReadOnly
	}
	names := make([]string, len(tools))
	for i, tool := range tools {
		names[i] = tool.Name
	}
	err = s.run(ctx, "publish an agent's own tools", func(ctx context.Context, conn *pgxpool.Conn) error {
		const takenQuery = `SELECT name FROM pawl.tools WHERE name = ANY ($1) ORDER BY name`
		found, err := conn.Query(ctx, takenQuery, names)
		if err == nil {
			taken, err = pgx.CollectRows(found, pgx.RowTo[string])
		}
		if err != nil || len(taken) > 0 {
			return err
		}
		var writes pgx.Batch
		writes.Queue(begin)
		writes.Queue(`SELECT pg_advisory_xact_lock(hashtext('pawl.own_tools'), hashtext($1))`, agent)
		writes.Queue(`DELETE FROM pawl.own_tools WHERE agent = $1`, agent)
		writes.Queue(`INSERT INTO pawl.own_tools (agent, name, tool)
			SELECT $1, name, tool FROM unnest($2::text[], $3::text[]) AS t (name, tool)`, agent, names, docs)
		if err := commit(ctx, conn, &writes); err != nil {
			_, _ = conn.Exec(ctx, `ROLLBACK`) // or else the connection is not used again
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// ForgetTools implements store.Catalogue.
func (s *Store) ForgetTools(ctx context.Context, names ...string) (forgotten []string, err error) {
	if s.readOnly {
		return nil, store.ErrReadOnly
	}
	var known []string // that can be there
	for _, name := range names {
		if backend.Storable(name) {
			known = append(known, name)
		}
	}
	err = s.run(ctx, "forget tools", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `DELETE FROM pawl.tools WHERE name = ANY ($1) RETURNING name`, known)
		if err == nil {
			forgotten, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			return uncertain{err}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(forgotten)
	return forgotten, nil
}
