package backend

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// Querier is a transaction of either database. Queries are as DB has them.
type Querier interface {
	// Query also runs a statement that returns rows, if the transaction may write: read takes all of
	// its rows then.
	Query(ctx context.Context, query string, args []any, read func(Rows) error) error
}

// Tx is a transaction that writes.
type Tx interface {
	Querier
	Exec(ctx context.Context, statement string, args ...any) error
}

// AddEntry writes an audit entry, and fails if there is one of its call and step.
const AddEntry = `INSERT INTO pawl.entries (call, step, kind, at, salt, leaf, payload, metadata)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// EntryArgs are the arguments of AddEntry.
func EntryArgs(e audit.Entry) []any {
	return []any{e.Subject, e.Step, string(e.Kind), e.At, e.Salt, e.Leaf[:], []byte(e.Payload), []byte{}}
}

// change runs a statement that changes at most one row, and writes the entry if one was changed.
func (b Base) change(
	ctx context.Context, doing, statement string, args []any, entry audit.Entry,
) (changed bool, err error) {
	err = b.db.Write(ctx, doing, "", func(tx Tx) error {
		ids, err := all(ctx, tx, statement+` RETURNING id`, args, scanText)
		if changed = len(ids) > 0; err != nil || !changed {
			return err
		}
		return tx.Exec(ctx, AddEntry+` ON CONFLICT (call, step) DO NOTHING`, EntryArgs(entry)...)
	})
	return changed && err == nil, err
}

// update runs a statement that returns the IDs, or the names, of the rows which it changed.
func (b Base) update(ctx context.Context, doing, statement string, args ...any) (ids []string, err error) {
	err = b.db.Write(ctx, doing, "", func(tx Tx) (err error) {
		ids, err = all(ctx, tx, statement, args, scanText)
		return err
	})
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// ApplyPolicy implements store.Policies.
func (b Base) ApplyPolicy(
	ctx context.Context, a store.ApplyParams,
) (v store.PolicyVersion, fresh bool, err error) {
	layers, entry, err := Added(a, a.Set.Layers)
	if err != nil {
		return v, false, err
	}
	err = b.db.Write(ctx, "apply a policy", "", func(tx Tx) error {
		active, err := all(ctx, tx, SelectActive, nil, readVersion)
		if err != nil {
			return err
		}
		v, fresh = store.PolicyVersion{}, false
		if len(active) > 0 {
			v = active[0]
		}
		switch {
		case v.Digest == a.Set.Digest:
			return nil
		case v.Version != a.Expect:
			return Errorf("%w: version %d is active", store.ErrPolicyChanged, v.Version)
		}
		const keep = `INSERT INTO pawl.policies (digest, layers) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING`
		if err := tx.Exec(ctx, keep, a.Set.Digest, layers); err != nil {
			return err
		}
		v, fresh = a.Version(), true
		const add = `INSERT INTO pawl.policy_versions (seq, ` + VersionColumns + `)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`
		err = tx.Exec(ctx, add, v.Version, v.Digest, v.At, v.By, v.Channel, v.Authenticated, v.Note)
		if err != nil {
			return err
		}
		return tx.Exec(ctx, AddEntry, EntryArgs(entry)...) // never skipped: what is not on record is not applied
	})
	if err != nil && !errors.Is(err, store.ErrPolicyChanged) {
		return store.PolicyVersion{}, false, err
	}
	return v, fresh && err == nil, err
}

// PublishTools implements store.Catalogue. Publishers go one after the other; readers see the old
// catalogue until one is done.
func (b Base) PublishTools(ctx context.Context, p store.Publication) (refused []string, err error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	rows := Filter{Args: []any{p.Publisher, p.Operator}}
	for _, tool := range p.Tools {
		doc, err := store.Encode(tool)
		if err != nil {
			return nil, err
		}
		rows.add("(%s, $1, %s)", tool.Name, doc)
	}
	put := `INSERT INTO pawl.tools (name, publisher, tool) VALUES ` + strings.Join(rows.conditions, ", ") + `
		ON CONFLICT (name) DO UPDATE SET publisher = excluded.publisher, tool = excluded.tool
		WHERE $2 OR tools.publisher = excluded.publisher RETURNING name`
	err = b.db.Write(ctx, "publish tools", "pawl.tools", func(tx Tx) error {
		refused = nil
		if p.Operator {
			if err := tx.Exec(ctx, `DELETE FROM pawl.tools WHERE publisher = $1`, p.Publisher); err != nil {
				return err
			}
		}
		if len(p.Tools) == 0 {
			return nil
		}
		written, err := all(ctx, tx, put, rows.Args, scanText)
		for _, tool := range p.Tools {
			if !slices.Contains(written, tool.Name) {
				refused = append(refused, tool.Name)
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(refused)
	return refused, nil
}

// PublishOwn implements store.Callers. Names that a worker takes at the same moment belong to both:
// the worker's goes before, as everywhere.
func (b Base) PublishOwn(
	ctx context.Context, agent, source string, tools []store.OwnTool,
) (taken []string, err error) {
	docs, err := store.CheckOwn(agent, source, tools)
	if err != nil {
		return nil, err
	}
	names, rows := make([]string, len(tools)), Filter{Args: []any{agent, source}}
	for i, tool := range tools {
		names[i] = tool.Name
		rows.add("($1, $2, %s, %s)", tool.Name, docs[i])
	}
	var offered Filter
	offered.in("name", names)
	err = b.db.Write(ctx, "publish an agent's own tools", "pawl.own_tools", func(tx Tx) (err error) {
		const find = `SELECT name FROM pawl.tools`
		taken, err = all(ctx, tx, find+offered.SQL()+` ORDER BY name`, offered.Args, scanText)
		if err != nil || len(taken) > 0 {
			return err
		}
		const list = `DELETE FROM pawl.own_tools WHERE agent = $1 AND source = $2`
		if err := tx.Exec(ctx, list, agent, source); err != nil || len(tools) == 0 {
			return err
		}
		const elsewhere = `DELETE FROM pawl.own_tools` // a name is in one list only: the newest
		offered.add("agent = %s", agent)
		if err := tx.Exec(ctx, elsewhere+offered.SQL(), offered.Args...); err != nil {
			return err
		}
		const add = `INSERT INTO pawl.own_tools (agent, source, name, tool) VALUES `
		return tx.Exec(ctx, add+strings.Join(rows.conditions, ", "), rows.Args...)
	})
	if err != nil {
		return nil, err
	}
	return taken, nil
}

// ForgetTools implements store.Catalogue.
func (b Base) ForgetTools(ctx context.Context, names ...string) (forgotten []string, err error) {
	var named Filter
	named.in("name", names)
	const forget = `DELETE FROM pawl.tools`
	forgotten, err = b.update(ctx, "forget tools", forget+named.SQL()+` RETURNING name`, named.Args...)
	slices.Sort(forgotten)
	return forgotten, err
}

// end runs a statement that ends a token or a key, once and for good, and returns it as it is then.
func end[T any](
	ctx context.Context, b Base, doing, statement string, find func(context.Context, string) (T, error),
	p record, args []any,
) (kept T, fresh bool, err error) {
	var none T
	id := args[0].(string)
	if Storable(id) {
		entry, err := checked(p)
		if err != nil {
			return none, false, err
		}
		if fresh, err = b.change(ctx, doing, statement, args, entry); err != nil {
			return none, false, err
		}
	}
	if kept, err = find(ctx, id); err != nil {
		return none, false, err
	}
	return kept, fresh, nil
}
