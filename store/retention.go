package store

import (
	"context"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
)

// Erasure says how much of a call is erased.
type Erasure int

// What is erased. An entry that tells of an erasure is never emptied.
const (
	ErasePayloads Erasure = 1 // the payloads of its entries, and their salts; hashes stay
	EraseRow      Erasure = 2 // its row, too, but for a tombstone: its ID, digest, status and permit
)

// Retention erases calls that have ended. Their IDs stay, so that no key ever runs twice, and so does
// everything that the log's hashes are made of.
type Retention interface {
	// Erasable returns calls of which less is erased, oldest first: those that ended before a time, but
	// for requests whose outcome is unknown and that nobody settled.
	Erasable(ctx context.Context, e Erasure, before time.Time, limit int) (ids []string, err error)
	// Erase erases those of the calls that have ended and of which less is erased, and writes the entry
	// in the same transaction; it returns their IDs. If there are none nothing is written.
	Erase(ctx context.Context, p EraseParams) (erased []string, err error)
	// PruneTokens deletes tokens that were revoked, or ended, before a time, and says how many.
	PruneTokens(ctx context.Context, before time.Time) (int, error)
	// Restored voids every permit of an open call that was not used, and writes the entry in the same
	// transaction: after a restore nobody knows whether it was used since the backup. It says how many.
	Restored(ctx context.Context, entry audit.Entry) (voided int, err error)
}

// EraseParams says what is erased.
type EraseParams struct {
	IDs   []string
	Erase Erasure
	Entry audit.Entry // of audit.KindErased
}

// Check refuses what erases nothing, and an entry that does not tell of it.
func (p EraseParams) Check() error {
	switch {
	case p.Erase != ErasePayloads && p.Erase != EraseRow:
		return approval.Errorf(approval.CodeInvalid, "erase: what is to be erased is not known")
	case p.Entry.Kind != audit.KindErased:
		return approval.Errorf(approval.CodeInvalid, "erase: its entry is of another kind")
	}
	if err := p.Entry.Check(); err != nil {
		return approval.Errorf(approval.CodeInvalid, "%w", err)
	}
	payload, err := audit.ReadPayload(p.Entry.Kind, p.Entry.Payload)
	said, ok := payload.(audit.Erased)
	unnamed := func(id string) bool { return !slices.Contains(said.Calls, id) }
	if err != nil || !ok || said.Rows != (p.Erase == EraseRow) || slices.ContainsFunc(p.IDs, unnamed) {
		return approval.Errorf(approval.CodeInvalid, "erase: its entry does not name each call, and what of it is erased")
	}
	return nil
}

// Tombstone is what stays of a call's row: the JSON of its view and of its verdict.
func Tombstone(r Record, at time.Time) (view, verdict string, err error) {
	at = Micros(at)
	v := r.View
	view, err = Encode(approval.View{
		ID: v.ID, Tool: v.Tool, Status: v.Status, Risk: v.Risk, Digest: v.Digest, Execution: v.Execution,
		CreatedAt: v.CreatedAt, StartedAt: v.StartedAt, EndedAt: v.EndedAt, ErasedAt: &at,
	})
	if err == nil {
		verdict, err = Encode(approval.Verdict{Kind: r.Verdict.Kind, Policy: r.Verdict.Policy})
	}
	return view, verdict, err
}
