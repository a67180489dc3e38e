package activities

import (
	"context"
	"fmt"

	"github.com/pawlhq/pawl/approval"
)

// RecordVotes puts decisions on record that counted and left the call waiting, those of a reviewer who
// decided differently later, too. A claim, or the call's end, writes the same entries of the votes that
// stand then; an entry that is there already is not written again.
func (a *Activities) RecordVotes(ctx context.Context, in RecordInput) error {
	record, err := a.Store.Call(ctx, in.ID)
	switch {
	case err != nil:
		return fmt.Errorf("reading call %s: %w", in.ID, err)
	case !isOf(record, in.Call):
		return refuse(approval.CodeDigest, "the call is not the one that was admitted", nil)
	}
	in.hide(record)
	votes, _, err := a.believed(ctx, in.ID, record.View.Digest, in.Votes)
	if err != nil {
		return err
	}
	entries, err := decisionEntries(in.ID, in.Run, in.Call.Nonce, redactVotes(in.redactor(), votes))
	if err != nil {
		return err
	}
	return a.Store.Append(ctx, entries...)
}
