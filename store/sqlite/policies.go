package sqlite

import (
	"context"
	"errors"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

// ApplyPolicy implements store.Policies.
func (s *Store) ApplyPolicy(
	ctx context.Context, a store.ApplyParams,
) (v store.PolicyVersion, fresh bool, err error) {
	layers, entry, err := backend.Added(a, a.Set.Layers)
	if err != nil {
		return v, false, err
	}
	err = s.write(ctx, "apply a policy", func(t transaction) error {
		v, err = backend.Version(t.tx.QueryRowContext(ctx, text(backend.SelectActive)))
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case v.Digest == a.Set.Digest:
			return nil
		case v.Version != a.Expect:
			return backend.PolicyChanged(v)
		}
		const keep = `INSERT INTO policies (digest, layers) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING`
		if _, err := t.tx.ExecContext(ctx, keep, a.Set.Digest, layers); err != nil {
			return err
		}
		v, fresh = a.Version(), true
		const add = `INSERT INTO policy_versions (seq, ` + backend.VersionColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?)`
		if _, err := t.tx.ExecContext(ctx, add,
			v.Version, v.Digest, v.At.UnixMicro(), v.By, v.Channel, v.Authenticated, v.Note); err != nil {
			return err
		}
		// Never skipped: what is not on record is not applied.
		_, err := t.tx.ExecContext(ctx, addEntry, entryArgs(entry)...)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrPolicyChanged) {
		return store.PolicyVersion{}, false, err
	}
	return v, fresh, err
}
