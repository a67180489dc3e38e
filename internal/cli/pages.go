package cli

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/store"
)

// AdminTokens returns the administrators' tokens that work now.
func AdminTokens(ctx context.Context, s store.TokenReader) ([]store.Token, error) {
	tokens, err := AllPages(ctx, s.Tokens)
	return LiveAdmins(tokens), err
}

func LiveAdmins(tokens []store.Token) (found []store.Token) {
	for _, t := range tokens {
		if auth.IsAdmin(t) && auth.Live(t, time.Now()) {
			found = append(found, t)
		}
	}
	return found
}

const AdviceFirstToken = "make the first one in the store itself: pawl token new YOU --role admin --direct"

// AllPages reads a whole list out of a store.
func AllPages[T any](ctx context.Context, list func(context.Context, store.Paging) (store.Page[T], error)) (all []T, err error) {
	for q := (store.Paging{Limit: store.MaxPage}); ; {
		page, err := list(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return all, nil
		}
	}
}
