package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
)

const (
	// applyPolicy is a whole transaction in one statement: the set, its version and its entry ($9 to
	// $15), or nothing of it if another version than $3 is active or the set is active already. Of two
	// at once one violates a key: the version's, or, as entries are never skipped here, its entry's.
	applyPolicy = `WITH active AS (
			SELECT seq, digest FROM pawl.policy_versions ORDER BY seq DESC LIMIT 1
		), fits AS (
			SELECT WHERE coalesce((SELECT seq FROM active), 0) = $3::bigint
				AND $1 IS DISTINCT FROM (SELECT digest FROM active)
		), kept AS (
			INSERT INTO pawl.policies (digest, layers) SELECT $1, $2 FROM fits ON CONFLICT (digest) DO NOTHING
		), version AS (
			INSERT INTO pawl.policy_versions (seq, ` + backend.VersionColumns + `)
			SELECT $3 + 1, $1, $4, $5, $6, $7, $8 FROM fits
		), log AS (
			INSERT INTO pawl.entries (call, step, kind, at, metadata, leaf, payload)
			SELECT e.call, e.step, e.kind, e.at, e.metadata, e.leaf, e.payload FROM fits,
				unnest($9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::bytea[], $14::bytea[], $15::bytea[])
				AS e (call, step, kind, at, metadata, leaf, payload)
		)
		SELECT EXISTS (SELECT FROM fits)`
)

// ApplyPolicy implements store.Policies.
func (s *Store) ApplyPolicy(
	ctx context.Context, a store.ApplyParams,
) (v store.PolicyVersion, fresh bool, err error) {
	layers, entry, err := backend.Added(a, a.Set.Layers)
	if err != nil {
		return v, false, err
	}
	if s.readOnly {
		return v, false, store.ErrReadOnly
	}
	v = a.Version()
	args := []any{v.Digest, layers, a.Expect, v.At, v.By, v.Channel, v.Authenticated, v.Note}
	args = append(args, entryArgs([]audit.Entry{entry})...)
	err = s.run(ctx, "apply a policy", func(ctx context.Context, conn *pgxpool.Conn) error {
		err := conn.QueryRow(ctx, applyPolicy, args...).Scan(&fresh)
		switch {
		case hasState(err, "42501"):
			return fmt.Errorf("%w: %w", store.ErrReadOnly, err) // for this database user
		case err != nil && !hasState(err, "23505"):
			return uncertain{err}
		case fresh && err == nil:
			return nil
		}
		fresh = false
		active, activeErr := backend.Version(conn.QueryRow(ctx, backend.SelectActive))
		switch {
		case activeErr != nil && !errors.Is(activeErr, store.ErrNotFound):
			return activeErr
		case active.Digest == a.Set.Digest:
			v = active
			return nil
		case active.Version == a.Expect && err != nil:
			return err // the record is there already, and not by us
		}
		v = active
		return backend.PolicyChanged(active)
	})
	if err != nil && !errors.Is(err, store.ErrPolicyChanged) {
		return store.PolicyVersion{}, false, err
	}
	return v, fresh, err
}
