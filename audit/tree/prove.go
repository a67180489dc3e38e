package tree

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/mod/sumdb/tlog"
)

// Log is the part of a store that proofs are made of.
type Log interface {
	Resolve(ctx context.Context, prefix string) (string, error)
	Entries(ctx context.Context, q store.EntryQuery) (store.Page[audit.Entry], error)
	LastCheckpoint(ctx context.Context) (store.Checkpoint, error)
	Nodes(ctx context.Context, level int, from, to int64) ([]audit.Hash, error)
}

// ProveAll proves the entries about a call whose ID begins with prefix, at most limit of them behind a
// cursor. A call that the store has no row of, and what is no call, goes by its whole ID. Errors:
// store.ErrNotFound, store.ErrAmbiguous; store.ErrDamaged: what the store holds is not what was sealed.
func ProveAll(ctx context.Context, log Log, prefix, cursor string, limit int) (p rest.Proofs, err error) {
	p.Proofs = []rest.Proof{}
	if p.ID, err = subject(ctx, log, prefix); err != nil {
		return p, err
	}
	last, err := log.LastCheckpoint(ctx)
	if err != nil {
		return p, err
	}
	page, err := log.Entries(ctx, store.EntryQuery{Subject: p.ID, Cursor: cursor, Limit: limit})
	switch {
	case err != nil:
		return p, err
	case len(page.Items) == 0 && cursor == "":
		return p, fmt.Errorf("%w: the audit log has no entry of the call: run 'pawl audit verify'", store.ErrDamaged)
	}
	nodes := Nodes(func(level int, from, to int64) ([]audit.Hash, error) { return log.Nodes(ctx, level, from, to) })
	for _, e := range page.Items {
		if e.Index == nil || *e.Index >= last.Size {
			p.Unsealed++
			continue
		}
		if e.Damage != "" {
			return p, fmt.Errorf("%w: entry %s/%s can't be proved: %s", store.ErrDamaged,
				approval.Display(e.Subject, 80), approval.Display(e.Step, 80), e.Damage)
		}
		doc, err := audit.ExportLine(e)
		if err != nil {
			return p, err
		}
		proof, err := Prove(nodes, last, *e.Index, e.Leaf, doc)
		if err != nil {
			return p, err
		}
		p.Proofs = append(p.Proofs, rest.Proof{
			Index: *e.Index, Step: e.Step, Kind: string(e.Kind), Proof: string(proof),
		})
	}
	p.Next = page.Next
	return p, nil
}

// subject is the whole ID that prefix is or begins. What has entries and no row may begin another's ID.
func subject(ctx context.Context, log Log, prefix string) (string, error) {
	if prefix != "" {
		page, err := log.Entries(ctx, store.EntryQuery{Subject: prefix, Limit: 1})
		if err != nil || len(page.Items) > 0 {
			return prefix, err
		}
	}
	id, err := log.Resolve(ctx, prefix)
	if err != nil {
		return "", fmt.Errorf("entries about %s: %w", approval.Display(prefix, 80), err)
	}
	return id, nil
}

// Prove makes a proof that an entry is in the tree of a checkpoint, as https://c2sp.org/tlog-proof has
// it, and checks it. extra stands in it for whoever reads it.
func Prove(from tlog.HashReader, c store.Checkpoint, index int64, leaf audit.Hash, extra []byte) ([]byte, error) {
	signed, err := Signed(c)
	if err != nil {
		return nil, err
	}
	hashes, err := tlog.ProveRecord(c.Size, index, from)
	if err != nil {
		return nil, err
	}
	if err := tlog.CheckRecord(hashes, c.Size, tlog.Hash(c.Root), index, tlog.Hash(leaf)); err != nil {
		return nil, fmt.Errorf("%w: the stored hashes of the audit log's tree do not lead from entry number %d to the "+
			"checkpoint of %d entries: run 'pawl audit verify'", store.ErrDamaged, index, c.Size)
	}
	proof := fmt.Appendf(nil, "c2sp.org/tlog-proof@v1\nextra %s\nindex %d\n",
		base64.StdEncoding.EncodeToString(extra), index)
	for _, hash := range hashes {
		proof = fmt.Appendf(proof, "%s\n", hash)
	}
	return append(append(proof, '\n'), signed...), nil
}
