package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

// PublishTools implements store.Store.
func (s *Store) PublishTools(ctx context.Context, queue string, tools []store.Tool) error {
	if queue == "" {
		return approval.Errorf(approval.CodeInvalid, "tools: the queue that offers them has no name")
	}
	if s.readOnly {
		return store.ErrReadOnly
	}
	docs := make(map[string]string, len(tools))
	for i, tool := range tools {
		if tool.Name == "" {
			return approval.Errorf(approval.CodeInvalid, "tools[%d]: it has no name", i)
		}
		if _, twice := docs[tool.Name]; twice {
			return approval.Errorf(approval.CodeInvalid, "tools[%d]: %s stands twice in one list", i, approval.Display(tool.Name, 80))
		}
		if tool.Queue != queue {
			return approval.Errorf(approval.CodeInvalid, "tools[%d]: %s is on another queue", i, approval.Display(tool.Name, 80))
		}
		doc, err := encode(tool)
		if err != nil {
			return err
		}
		docs[tool.Name] = doc
	}
	names := slices.Sorted(maps.Keys(docs))
	rows := make([]string, len(names))
	for i, name := range names {
		rows[i] = docs[name]
	}
	return s.run(ctx, "publish tools", func(ctx context.Context, conn *pgxpool.Conn) error {
		var writes pgx.Batch
		writes.Queue(begin)
		// Publishers go one after the other; readers see the old catalogue.
		writes.Queue(`LOCK TABLE pawl.tools IN SHARE ROW EXCLUSIVE MODE`)
		writes.Queue(`DELETE FROM pawl.tools WHERE queue = $1`, queue)
		writes.Queue(`INSERT INTO pawl.tools (name, queue, tool)
			SELECT name, $1, tool FROM unnest($2::text[], $3::text[]) AS t (name, tool)
			ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, tool = excluded.tool`, queue, names, rows)
		err := commit(ctx, conn, &writes)
		if err != nil {
			_, _ = conn.Exec(ctx, `ROLLBACK`) // or else the connection is not used again
		}
		return err
	})
}

// Tools implements store.Reader.
func (s *Store) Tools(ctx context.Context) (tools []store.Tool, err error) {
	err = s.run(ctx, "list tools", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, `SELECT tool FROM pawl.tools ORDER BY name`)
		if err != nil {
			return err
		}
		tools, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (tool store.Tool, err error) {
			var doc string
			if err := row.Scan(&doc); err != nil {
				return tool, err
			}
			return tool, decode(doc, &tool)
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return tools, nil
}
