package sqlite

import (
	"context"
	"database/sql"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

// PublishTools implements store.Store.
func (s *Store) PublishTools(ctx context.Context, queue string, tools []store.Tool) error {
	if queue == "" {
		return approval.Errorf(approval.CodeInvalid, "tools: the queue that offers them has no name")
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
	return s.write(ctx, "publish tools", func(t transaction) error {
		if _, err := t.tx.ExecContext(ctx, `DELETE FROM tools WHERE queue = ?`, queue); err != nil {
			return err
		}
		for name, doc := range docs {
			_, err := t.tx.ExecContext(ctx, `INSERT INTO tools (name, queue, tool) VALUES (?, ?, ?)
				ON CONFLICT (name) DO UPDATE SET queue = excluded.queue, tool = excluded.tool`, name, queue, doc)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Tools implements store.Reader.
func (s *Store) Tools(ctx context.Context) (tools []store.Tool, err error) {
	err = s.read(ctx, "list tools", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT tool FROM tools ORDER BY name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var doc string
			if err := rows.Scan(&doc); err != nil {
				return err
			}
			var tool store.Tool
			if err := decode(doc, &tool); err != nil {
				return err
			}
			tools = append(tools, tool)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return tools, nil
}
