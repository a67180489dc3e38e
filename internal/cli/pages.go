package cli

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// AdminTokens returns the administrators' tokens that work now.
func AdminTokens(ctx context.Context, s store.TokenReader) ([]rest.Token, error) {
	tokens, err := AllPages(ctx, s.Tokens, auth.Shown)
	return LiveAdmins(tokens), err
}

func LiveAdmins(tokens []rest.Token) (found []rest.Token) {
	for _, t := range tokens {
		if t.Has(rest.RoleAdmin) && t.Live(time.Now()) {
			found = append(found, t)
		}
	}
	return found
}

const AdviceFirstToken = "make the first one in the store itself: pawl token new YOU --role admin --direct"

// AllPages reads a whole list out of a store, each item as the API shows it.
func AllPages[T, R any](ctx context.Context, list func(context.Context, store.Paging) (store.Page[T], error), show func(T) R) (all []R, err error) {
	for q := (store.Paging{Limit: store.MaxPage}); ; {
		page, err := list(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			all = append(all, show(item))
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return all, nil
		}
	}
}
