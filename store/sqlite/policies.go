package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
)

const (
	versionColumns = `seq, digest, at, by, channel, authenticated, note`
	selectActive   = `SELECT ` + versionColumns + ` FROM policy_versions ORDER BY seq DESC LIMIT 1`
)

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
		v, err = scanVersion(t.tx.QueryRowContext(ctx, selectActive))
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
		if _, err := t.tx.ExecContext(ctx, `INSERT INTO policy_versions (`+versionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
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
	return tell("%w: version %d is active", store.ErrPolicyChanged, v.Version)
}

// ActivePolicy implements store.Policies.
func (s *Store) ActivePolicy(ctx context.Context) (v store.PolicyVersion, err error) {
	err = s.read(ctx, "look which policy is active", func(tx *sql.Tx) error {
		v, err = scanVersion(tx.QueryRowContext(ctx, selectActive))
		return err
	})
	return v, err
}

// scanVersion reads versionColumns, or answers store.ErrNotFound.
func scanVersion(row interface{ Scan(...any) error }) (v store.PolicyVersion, err error) {
	var at int64
	err = row.Scan(&v.Version, &v.Digest, &at, &v.By, &v.Channel, &v.Authenticated, &v.Note)
	if errors.Is(err, sql.ErrNoRows) {
		return v, tell("active policy: %w", store.ErrNotFound)
	}
	v.At = fromMicros(at)
	return v, err
}

// Policy implements store.Policies.
func (s *Store) Policy(ctx context.Context, digest string) (set store.PolicySet, err error) {
	refused := func(err error) error { return tell("policy %s: %w", approval.Display(digest, 80), err) }
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
				if err := decode(layers, &set.Layers); err != nil {
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
	return page(ctx, s, "list the versions of the policy", query[store.PolicyVersion]{
		table: "policy_versions", columns: versionColumns, newest: true, cursor: q.Cursor, limit: q.Limit,
		scan: func(rows *sql.Rows) (int64, store.PolicyVersion, int, error) {
			v, err := scanVersion(rows)
			return v.Version, v, len(v.Note), err
		},
	})
}
