package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

const selectActive = `SELECT seq, ` + backend.VersionColumns + ` FROM policy_versions ORDER BY seq DESC LIMIT 1`

// ApplyPolicy implements store.Policies.
func (s *Store) ApplyPolicy(ctx context.Context, a store.ApplyParams) (v store.PolicyVersion, fresh bool, err error) {
	if err := a.Check(); err != nil {
		return v, false, err
	}
	entry, err := a.Entry()
	if err != nil {
		return v, false, err
	}
	layers, err := store.Encode(a.Set.Layers)
	if err != nil {
		return v, false, err
	}
	err = s.write(ctx, "apply a policy", func(t transaction) error {
		v, err = backend.Version(t.tx.QueryRowContext(ctx, selectActive))
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case v.Digest == a.Set.Digest:
			return nil
		case v.Version != a.Expect:
			return changed(v)
		}
		if _, err := t.tx.ExecContext(ctx, `INSERT INTO policies (digest, layers) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING`,
			a.Set.Digest, layers); err != nil {
			return err
		}
		v, fresh = a.Version(), true
		if _, err := t.tx.ExecContext(ctx, `INSERT INTO policy_versions (seq, `+backend.VersionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			v.Version, v.Digest, v.At.UnixMicro(), v.By, v.Channel, v.Authenticated, v.Note); err != nil {
			return err
		}
		// Never skipped: what is not on record is not applied.
		_, err := t.tx.ExecContext(ctx, `INSERT INTO entries (call, step, kind, at, metadata, leaf, payload) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			entry.Subject, entry.Step, entry.Kind, entry.At.UnixMicro(), entry.Metadata, entry.Leaf[:], []byte(entry.Payload))
		return err
	})
	if err != nil && !errors.Is(err, store.ErrPolicyChanged) {
		return store.PolicyVersion{}, false, err
	}
	return v, fresh, err
}

// changed says which version is there instead of the expected one.
func changed(v store.PolicyVersion) error {
	return backend.Errorf("%w: version %d is active", store.ErrPolicyChanged, v.Version)
}

// ActivePolicy implements store.Policies.
func (s *Store) ActivePolicy(ctx context.Context) (v store.PolicyVersion, err error) {
	err = s.read(ctx, "look which policy is active", func(tx *sql.Tx) error {
		v, err = backend.Version(tx.QueryRowContext(ctx, selectActive))
		return err
	})
	return v, err
}

// Policy implements store.Policies.
func (s *Store) Policy(ctx context.Context, digest string) (set store.PolicySet, err error) {
	refused := func(err error) error { return backend.About("policy", digest, err) }
	if digest == "" {
		return set, refused(store.ErrNotFound)
	}
	err = s.read(ctx, "read a policy", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT digest, layers FROM policies WHERE digest >= ? ORDER BY digest LIMIT 2`, digest)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var found, layers string
			if err := rows.Scan(&found, &layers); err != nil {
				return err
			}
			switch {
			case !strings.HasPrefix(found, digest):
			case set.Digest != "":
				return refused(store.ErrAmbiguous)
			default:
				set.Digest = found
				if set.Layers, err = backend.Layers(layers); err != nil {
					return err
				}
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if set.Digest == "" {
			return refused(store.ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return store.PolicySet{}, err
	}
	return set, nil
}

// PolicyVersions implements store.Policies.
func (s *Store) PolicyVersions(ctx context.Context, q store.Paging) (store.Page[store.PolicyVersion], error) {
	return page(ctx, s, backend.Versions(q), filter{})
}
