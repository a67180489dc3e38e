package postgres

import (
	"context"
	"fmt"

	"github.com/pawlhq/pawl/store"
)

// ApplyPolicy implements store.Policies.
func (s *Store) ApplyPolicy(
	ctx context.Context, a store.ApplyParams,
) (v store.PolicyVersion, fresh bool, err error) {
	v, fresh, err = s.Base.ApplyPolicy(ctx, a)
	if hasState(err, "42501") {
		err = fmt.Errorf("%w: %w", store.ErrReadOnly, err) // for this database user
	}
	return v, fresh, err
}
