package api

import (
	"context"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/store"
)

// approvable goes through a list, a page of the store's after the other, until it has found as many calls
// as q.Limit that somebody may approve, or has looked at store.MaxLook. The store does not know who may:
// that is ballot's to say.
func (s *Server) approvable(
	ctx context.Context, q store.CallQuery, who ballot.Reader,
) (page store.Page[approval.View], err error) {
	if !who.Reviewer {
		return page, nil
	}
	most := q.Limit
	q.Limit = store.MaxPage
	for looked := 0; looked < store.MaxLook; {
		found, err := s.o.Store.Calls(ctx, q)
		if err != nil {
			return page, err
		}
		fit, more := firstApprovable(found.Items, who, most-len(page.Items))
		if more > 0 { // a cursor stands behind the last call that the store gives, so it gives no more
			q.Limit = more
			continue
		}
		page.Items, page.Total, page.Next = append(page.Items, fit...), found.Total, found.Next
		if len(page.Items) == most || page.Next == "" {
			break
		}
		looked += store.MaxPage
		if len(found.Items) < q.Limit {
			looked += 4 * store.MaxPage // it was cut at store.PageBytes, and that much took its time
		}
		q.Cursor, q.Limit = found.Next, store.MaxPage
	}
	return page, nil
}

// firstApprovable returns the first of some calls that somebody may approve, and where the next one is if
// there is one; else 0.
func firstApprovable(all []approval.View, who ballot.Reader, most int) (fit []approval.View, next int) {
	for i, v := range all {
		if you, _ := ballot.For(v, who); !slices.Contains(you.May, approval.MayApprove) {
			continue
		}
		if len(fit) == most {
			return fit, i
		}
		fit = append(fit, v)
	}
	return fit, 0
}
