package backend

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// Erasable implements store.Retention.
func (b Base) Erasable(
	ctx context.Context, e store.Erasure, before time.Time, limit int,
) ([]string, error) {
	// One index has them in order for each state of erasure.
	const query = `SELECT id FROM pawl.calls WHERE erased = $1 AND ended_at < $2 AND ended_at IS NOT NULL
		AND erased < 2 AND NOT (status = 'outcome_unknown' AND settled_at IS NULL AND `
	var found []string
	for state := range int(e) {
		ids, err := list(ctx, b.db, "look what is to be erased", query+b.dialect.Requests+`)
			ORDER BY ended_at LIMIT `+strconv.Itoa(limit-len(found)), []any{state, before}, scanText)
		if found = append(found, ids...); err != nil || len(found) == limit {
			return found, err
		}
	}
	return found, nil
}

// Erase implements store.Retention, where whoever may write may write everything.
func (b Base) Erase(ctx context.Context, p store.EraseParams) (erased []string, err error) {
	if err := p.Check(); err != nil || len(p.IDs) == 0 {
		return nil, err
	}
	err = b.db.Write(ctx, "erase calls", "", func(tx Tx) error {
		var which Filter
		which.in("id", p.IDs)
		which.add("ended_at IS NOT NULL AND erased < %s", int(p.Erase))
		erased, err = all(ctx, tx, `SELECT id FROM pawl.calls`+which.SQL(), which.Args, scanText)
		if err != nil || len(erased) == 0 {
			return err
		}
		for _, id := range erased {
			if err := eraseRow(ctx, tx, id, p); err != nil { // which may need what its entries say
				return err
			}
			const payloads = `UPDATE pawl.entries SET salt = NULL, payload = NULL,
					hash = CASE WHEN octet_length(metadata) = 0 THEN payload_hash(salt, payload, call) END
				WHERE call = $1 AND payload IS NOT NULL AND kind <> 'call.erased'`
			if err := tx.Exec(ctx, payloads, id); err != nil {
				return err
			}
		}
		return tx.Exec(ctx, AddEntry, EntryArgs(p.Entry)...)
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(erased)
	return erased, nil
}

func eraseRow(ctx context.Context, tx Tx, id string, p store.EraseParams) error {
	_, r, err := Call(id, &selected{ctx: ctx, tx: tx, id: id})
	if err != nil {
		return err
	}
	const evidence = `UPDATE pawl.claims SET evidence = ''
		WHERE evidence <> '' AND call = (SELECT seq FROM pawl.calls WHERE id = $1)`
	if err := tx.Exec(ctx, evidence, id); err != nil {
		return err
	}
	if p.Erase == store.ErasePayloads {
		const keep = `UPDATE pawl.calls SET erased = 1,
			packed = CASE WHEN octet_length(packed) = 1 THEN $2 ELSE packed END WHERE id = $1`
		doc, err := PackedRow(r)
		if err != nil {
			return err
		}
		return tx.Exec(ctx, keep, id, doc)
	}
	view, verdict, err := store.Tombstone(r, p.Entry.At)
	if err != nil {
		return err
	}
	return tx.Exec(ctx, `UPDATE pawl.calls SET view = $2, verdict = $3, agent = '', session = '', requester = '',
		twin = NULL, alike = NULL, identical = NULL, packed = NULL, erased = 2 WHERE id = $1`, id, view, verdict)
}

// PackedRow is the column packed of a call's row that says everything itself: what its entries said of it
// is erased.
func PackedRow(r store.Record) ([]byte, error) {
	docs, _, err := documents(r, told{})
	return docs.Packed, err
}

// selected is the row of SelectCall in a transaction.
type selected struct {
	ctx context.Context
	tx  Tx
	id  string
}

func (s *selected) Scan(into ...any) error {
	return s.tx.Query(s.ctx, SelectCall, []any{s.id}, func(rows Rows) error {
		if !rows.Next() {
			return rows.Err()
		}
		return rows.Scan(into...)
	})
}

// Restored implements store.Retention.
func (b Base) Restored(ctx context.Context, entry audit.Entry) (voided int, err error) {
	if err := entry.Check(); err != nil {
		return 0, approval.Errorf(approval.CodeInvalid, "%w", err)
	}
	const void = `UPDATE pawl.claims SET void = true WHERE used_at IS NULL AND NOT void
		AND call IN (SELECT seq FROM pawl.calls WHERE ended_at IS NULL) RETURNING call`
	err = b.db.Write(ctx, "void permits after a restore", "", func(tx Tx) error {
		calls, err := all(ctx, tx, void, nil, scanNumber)
		if voided = len(calls); err != nil {
			return err
		}
		return tx.Exec(ctx, AddEntry, EntryArgs(entry)...)
	})
	return voided, err
}

// PruneTokens implements store.Retention, where whoever may write may write everything.
func (b Base) PruneTokens(ctx context.Context, before time.Time) (int, error) {
	return b.PruneTokensBy(ctx, before, func(ids []string) (string, []any) {
		var which Filter
		which.in("id", ids)
		return `DELETE FROM pawl.tokens` + which.SQL() + ` RETURNING id`, which.Args
	})
}

// PruneTokensBy is PruneTokens by a statement that returns the IDs of the tokens that it deletes.
func (b Base) PruneTokensBy(
	ctx context.Context, before time.Time, forget func(ids []string) (string, []any),
) (pruned int, err error) {
	for q := (store.Paging{Limit: store.MaxPage}); ; {
		page, err := b.Tokens(ctx, q)
		if err != nil {
			return pruned, err
		}
		var over []string
		for _, t := range page.Items {
			if t.RevokedAt != nil && t.RevokedAt.Before(before) || t.ExpiresAt != nil && t.ExpiresAt.Before(before) {
				over = append(over, t.ID)
			}
		}
		if len(over) > 0 {
			statement, args := forget(over)
			gone, err := b.prune(ctx, statement, args, before)
			if pruned += gone; err != nil {
				return pruned, err
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return pruned, nil
		}
	}
}

// prune deletes tokens and puts that on record, in one transaction.
func (b Base) prune(
	ctx context.Context, statement string, args []any, before time.Time,
) (pruned int, err error) {
	err = b.db.Write(ctx, "delete ended tokens", "", func(tx Tx) error {
		gone, err := all(ctx, tx, statement, args, scanText)
		if pruned = len(gone); err != nil || pruned == 0 {
			return err
		}
		slices.Sort(gone)
		e, err := audit.New(audit.SubjectRetention, "tokens/"+gone[0], time.Now(),
			audit.TokensPruned{Tokens: gone, Before: before.UTC(), By: "retention"})
		if err != nil {
			return err
		}
		return tx.Exec(ctx, AddEntry, EntryArgs(e)...)
	})
	if err != nil {
		return 0, err
	}
	return pruned, nil
}
