package sqlite

import (
	"context"
	"slices"

	"github.com/pawlhq/pawl/store"
)

// PublishTools implements store.Catalogue.
func (s *Store) PublishTools(ctx context.Context, p store.Publication) (refused []string, err error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	docs := make([]string, len(p.Tools))
	for i, tool := range p.Tools {
		if docs[i], err = store.Encode(tool); err != nil {
			return nil, err
		}
	}
	err = s.write(ctx, "publish tools", func(t transaction) error {
		if p.Operator {
			if _, err := t.tx.ExecContext(ctx, `DELETE FROM tools WHERE publisher = ?`, p.Publisher); err != nil {
				return err
			}
		}
		for i, tool := range p.Tools {
			result, err := t.tx.ExecContext(ctx, `INSERT INTO tools (name, publisher, tool) VALUES (?, ?, ?)
				ON CONFLICT (name) DO UPDATE SET publisher = excluded.publisher, tool = excluded.tool
				WHERE ? OR tools.publisher = excluded.publisher`, tool.Name, p.Publisher, docs[i], p.Operator)
			if err != nil {
				return err
			}
			written, err := result.RowsAffected()
			if err != nil {
				return err
			}
			if written == 0 {
				refused = append(refused, tool.Name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return refused, nil
}

// PublishOwn implements store.Callers.
func (s *Store) PublishOwn(
	ctx context.Context, agent string, tools []store.OwnTool,
) (taken []string, err error) {
	docs, err := store.CheckOwn(agent, tools)
	if err != nil {
		return nil, err
	}
	err = s.write(ctx, "publish an agent's own tools", func(t transaction) error {
		for _, tool := range tools {
			var offered bool
			const offers = `SELECT EXISTS (SELECT 1 FROM tools WHERE name = ?)`
			if err := t.tx.QueryRowContext(ctx, offers, tool.Name).Scan(&offered); err != nil {
				return err
			}
			if offered {
				taken = append(taken, tool.Name)
			}
		}
		if len(taken) > 0 {
			return nil
		}
		if _, err := t.tx.ExecContext(ctx, `DELETE FROM own_tools WHERE agent = ?`, agent); err != nil {
			return err
		}
		for i, tool := range tools {
			const add = `INSERT INTO own_tools (agent, name, tool) VALUES (?, ?, ?)`
			if _, err := t.tx.ExecContext(ctx, add, agent, tool.Name, docs[i]); err != nil {
				return err
			}
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
	err = s.write(ctx, "forget tools", func(t transaction) error {
		for _, name := range names {
			result, err := t.tx.ExecContext(ctx, `DELETE FROM tools WHERE name = ?`, name)
			if err != nil {
				return err
			}
			deleted, err := result.RowsAffected()
			if err != nil {
				return err
			}
			if deleted > 0 {
				forgotten = append(forgotten, name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(forgotten)
	return forgotten, nil
}
