package backend

import (
	"context"
	"slices"

	"github.com/pawlhq/pawl/store"
)

// NoticesUntil is store.Notices's Notices in a log of which nothing up to settled will change.
func (b Base) NoticesUntil(
	ctx context.Context, after, settled int64,
) (found []store.Notice, place int64, err error) {
	if after >= settled {
		return nil, after, nil
	}
	query := `SELECT e.seq, c.id, e.step, e.kind, e.at, c.tool, c.agent, c.risk, c.status
		FROM pawl.entries AS e JOIN pawl.calls AS c ON c.id = e.call
		WHERE e.seq > $1 AND e.seq <= $2 AND (` + b.dialect.Requests + ` AND e.kind IN
				('call.requested', 'call.tightened', 'decision.counted', 'call.ended')
			OR e.kind = 'call.ended' AND c.status = 'outcome_unknown')
		ORDER BY e.seq`
	place = min(settled, after+changesRead)
	found, err = list(ctx, b.db, "look what people are to be told", query, []any{after, place},
		func(row Row, _ ...any) (n store.Notice, err error) {
			err = row.Scan(&n.Place, &n.ID, &n.Step, &n.Kind, (*instant)(&n.At), &n.Tool, &n.Agent, &n.Risk, &n.Status)
			return n, err
		})
	if err != nil {
		return nil, 0, err
	}
	return found, place, nil
}

// TakeChannel implements store.Notices.
func (b Base) TakeChannel(
	ctx context.Context, name, owner string,
) (place int64, taken bool, err error) {
	const add = `INSERT INTO pawl.channels (name, place, owner) VALUES
		($1, (SELECT coalesce(max(seq), 0) FROM pawl.entries), '') ON CONFLICT (name) DO NOTHING`
	const take = `UPDATE pawl.channels SET owner = $2, lease_until = pawl.clock(30)
		WHERE name = $1 AND (owner = $2 OR coalesce(lease_until < pawl.clock(0), true)) RETURNING place`
	var places []int
	err = b.db.Write(ctx, "take a channel of notifications", "", func(tx Tx) error {
		known, err := all(ctx, tx, `SELECT 1 FROM pawl.channels WHERE name = $1`, []any{name}, scanNumber)
		if err == nil && len(known) == 0 {
			err = tx.Exec(ctx, add, name)
		}
		if err == nil {
			places, err = all(ctx, tx, take, []any{name, owner}, scanNumber)
		}
		return err
	})
	if err != nil || len(places) == 0 {
		return 0, false, err
	}
	return int64(places[0]), true, nil
}

// MoveChannel implements store.Notices.
func (b Base) MoveChannel(ctx context.Context, name, owner string, place int64) (held bool, err error) {
	const move = `UPDATE pawl.channels SET place = $3, lease_until = pawl.clock(30)
		WHERE name = $1 AND owner = $2 AND place <= $3 RETURNING name`
	names, err := b.update(ctx, "note what a channel was told", move, name, owner, place)
	return slices.Contains(names, name), err
}
