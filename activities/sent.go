package activities

import (
	"context"
	"fmt"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// sent returns the rejections of a call that an API put on record before it sent them, the oldest
// first, and how many decisions are on record so.
func (a *Activities) sent(ctx context.Context, id string) (rejections []approval.Decision, n int, err error) {
	q := store.EntryQuery{Subject: id, Kind: audit.KindSent, Limit: store.MaxPage}
	for {
		page, err := a.Store.Entries(ctx, q)
		if err != nil {
			return nil, 0, fmt.Errorf("reading what was sent to call %s: %w", id, err)
		}
		for _, e := range page.Items {
			p, err := audit.ReadPayload(e.Kind, e.Payload)
			s, ok := p.(audit.Sent)
			if err != nil || !ok || e.Damage != "" {
				return nil, 0, fmt.Errorf("entry %s of call %s: %w", e.Step, id, store.ErrDamaged)
			}
			if n++; s.Decides != approval.Approve {
				rejections = append(rejections, approval.Decision{
					ID: s.DecisionID, Kind: approval.Reject, Reviewer: s.Reviewer,
					Channel: s.Channel, Method: s.Method, At: s.At,
				})
			}
		}
		if q.Cursor = page.Next; page.Next == "" {
			return rejections, n, nil
		}
	}
}

// uncounted are those of the rejections that are not among the votes.
func uncounted(rejections, votes []approval.Decision) []approval.Decision {
	return slices.DeleteFunc(slices.Clone(rejections), func(d approval.Decision) bool {
		return slices.ContainsFunc(votes, func(v approval.Decision) bool {
			return v.ID == d.ID && v.Kind == d.Kind
		})
	})
}
