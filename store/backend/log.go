package backend

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

const (
	checkpointColumns = `size, origin, root, at, note, coalesce(cosigned, '')`
	selectLast        = `SELECT ` + checkpointColumns + ` FROM pawl.checkpoints ORDER BY size DESC LIMIT 1`
	selectOrigins     = `SELECT origin FROM pawl.origins ORDER BY seq`
)

// Origins implements store.LogReader.
func (b Base) Origins(ctx context.Context) ([]string, error) {
	return list(ctx, b.db, "read the names of the log", selectOrigins, nil, scanText)
}

// Renames implements store.LogReader.
func (b Base) Renames(ctx context.Context) (found []audit.LogRenamed, err error) {
	err = b.db.Snapshot(ctx, "read the names of the log", func(tx Querier) (err error) {
		found, err = renames(ctx, tx)
		return err
	})
	return found, err
}

func renames(ctx context.Context, tx Querier) (found []audit.LogRenamed, err error) {
	const query = `SELECT ` + entryColumns + ` FROM pawl.entries WHERE call = $1 AND kind = $2 ORDER BY seq`
	entries, err := all(ctx, tx, query, []any{audit.SubjectLog, string(audit.KindLogRenamed)}, scanEntry)
	for _, e := range entries {
		payload, err := audit.ReadPayload(e.Kind, e.Payload)
		if r, ok := payload.(audit.LogRenamed); ok && err == nil && e.Damage == "" {
			found = append(found, r)
		}
	}
	return found, err
}

// Checkpoints implements store.LogReader.
func (b Base) Checkpoints(ctx context.Context, after int64, most int) ([]store.Checkpoint, error) {
	const query = `SELECT ` + checkpointColumns + ` FROM pawl.checkpoints WHERE size > $1 ORDER BY size LIMIT $2`
	return list(ctx, b.db, "read checkpoints", query, []any{after, most}, scanCheckpoint)
}

// LastCheckpoint implements store.LogReader.
func (b Base) LastCheckpoint(ctx context.Context) (c store.Checkpoint, err error) {
	found, err := list(ctx, b.db, "read the last checkpoint", selectLast, nil, scanCheckpoint)
	if err == nil && len(found) > 0 {
		c = found[0]
	}
	return c, err
}

// Nodes implements store.LogReader.
func (b Base) Nodes(ctx context.Context, level int, from, to int64) (hashes []audit.Hash, err error) {
	err = b.db.Snapshot(ctx, "read the tree of the log", func(tx Querier) (err error) {
		hashes, err = nodes(ctx, tx, level, from, to)
		return err
	})
	return hashes, err
}

func nodes(ctx context.Context, tx Querier, level int, from, to int64) ([]audit.Hash, error) {
	if level == 0 {
		return sealedLeaves(ctx, tx, from, to)
	}
	const query = `SELECT hash FROM pawl.nodes WHERE level = $1 AND n >= $2 AND n < $3 ORDER BY n`
	return all(ctx, tx, query, []any{level, from, to}, scanHash)
}

// maxRun is how many entries one row of sealed has at most: as many as fill a page of either database.
const maxRun = 40

// sealedLeaves are the leaf hashes of entries from one index to before another.
func sealedLeaves(ctx context.Context, tx Querier, from, to int64) (leaves []audit.Hash, err error) {
	const runs = `SELECT log_index, leaf, more FROM pawl.sealed WHERE log_index > $1 AND log_index < $2
		ORDER BY log_index`
	err = tx.Query(ctx, runs, []any{from - maxRun, to}, func(rows Rows) error {
		leaves = nil
		for rows.Next() {
			var index int64
			var first, more []byte
			if err := rows.Scan(&index, &first, &more); err != nil {
				return err
			}
			for leaf := range slices.Chunk(slices.Concat(first, more), len(audit.Hash{})) {
				if len(leaf) != len(audit.Hash{}) {
					return errCut
				}
				if index >= from && index < to {
					leaves = append(leaves, audit.Hash(leaf))
				}
				index++
			}
		}
		return rows.Err()
	})
	return leaves, err
}

// Rows implements store.LogReader.
func (b Base) Rows(ctx context.Context, from int64, most int) (rows []store.LogRow, err error) {
	const query = `SELECT seq, ` + entryColumns + ` FROM pawl.entries WHERE seq >= $1 ORDER BY seq LIMIT $2`
	err = b.db.Select(ctx, "read the audit log", query, []any{from, most}, func(found Rows) error {
		// Entries are checked while others are read: whoever verifies a log waits for both.
		var read []*readEntry
		var checking sync.WaitGroup
		defer checking.Wait()
		check := func(some []*readEntry) {
			checking.Go(func() {
				for _, e := range some {
					e.check()
				}
			})
		}
		checked := 0
		for held := 0; held < store.PageBytes && found.Next(); {
			e := &readEntry{}
			if err := found.Scan(e.into(&e.place)...); err != nil {
				return err
			}
			held += len(e.stored) + len(e.entry.Metadata)
			if read = append(read, e); len(read)-checked == checkRows {
				check(read[checked:])
				checked = len(read)
			}
		}
		check(read[checked:])
		checking.Wait()
		rows = make([]store.LogRow, len(read)) // not those of an attempt before
		for i, e := range read {
			rows[i] = store.LogRow{Place: e.place, Entry: e.entry}
		}
		return found.Err()
	})
	return rows, err
}

// checkRows is how many entries are checked at a time.
const checkRows = 250

// IndexOf implements store.LogReader.
func (b Base) IndexOf(ctx context.Context, subject, step string) (int64, error) {
	const query = `SELECT s.log_index + e.seq - s.entry FROM pawl.entries AS e JOIN pawl.sealed AS s
			ON s.entry = (SELECT max(entry) FROM pawl.sealed WHERE entry <= e.seq)
		WHERE e.call = $1 AND e.step = $2 AND e.seq <= s.entry + octet_length(s.more) / 32`
	n, err := one(ctx, b.db, "sealed entry", query, subject, scanNumber, step)
	return int64(n), err
}

// Unsealed implements store.LogReader.
func (b Base) Unsealed(ctx context.Context) (count int, since time.Time, err error) {
	query := fmt.Sprintf(`SELECT count(*), min(at) FROM (SELECT at FROM pawl.entries
		WHERE seq > coalesce((SELECT entry + octet_length(more) / 32
			FROM pawl.sealed ORDER BY entry DESC LIMIT 1), 0)
		ORDER BY seq LIMIT %d) AS tail`,
		store.ExactTotal+1)
	err = b.db.Select(ctx, "look how much of the log is not sealed", query, nil, func(rows Rows) error {
		for rows.Next() {
			if err := rows.Scan(&count, (*instant)(&since)); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return count, since, err
}

// Seal implements store.Log.
func (b Base) Seal(
	ctx context.Context, most int, extend func(store.Sealing) (store.Sealed, error),
) (c store.Checkpoint, err error) {
	err = b.db.Write(ctx, "seal the audit log", "", func(tx Tx) error {
		if err := b.lockSeal(ctx, tx); err != nil {
			return err
		}
		c, err = seal(ctx, tx, b.dialect.Settled, most, extend)
		return err
	})
	return c, err
}

// lockSeal lets nobody else seal until the transaction ends.
func (b Base) lockSeal(ctx context.Context, tx Tx) error {
	held, err := all(ctx, tx, b.dialect.SealLock, nil, scanNumber)
	if err == nil && held[0] == 0 {
		err = Errorf("%w", store.ErrSealing)
	}
	return err
}

// latest reads the log's name and its last checkpoint.
func latest(ctx context.Context, tx Tx) (origin string, c store.Checkpoint, err error) {
	origins, err := all(ctx, tx, selectOrigins, nil, scanText)
	if err == nil && len(origins) == 0 {
		err = fmt.Errorf("%w: the audit log has no name", store.ErrDamaged)
	}
	if err != nil {
		return "", c, err
	}
	last, err := all(ctx, tx, selectLast, nil, scanCheckpoint)
	if len(last) > 0 {
		c = last[0]
	}
	return origins[len(origins)-1], c, err
}

func seal(
	ctx context.Context, tx Tx, settled string, most int, extend func(store.Sealing) (store.Sealed, error),
) (c store.Checkpoint, err error) {
	// Before the entries are read: see pawl.settled.
	bound, err := all(ctx, tx, settled, nil, scanNumber)
	if err != nil {
		return c, err
	}
	origin, c, err := latest(ctx, tx)
	if err != nil {
		return c, err
	}
	var sealed, place int64 // how many there are, and the last one's place
	const end = `SELECT log_index + 1 + octet_length(more) / 32, entry + octet_length(more) / 32
		FROM pawl.sealed ORDER BY log_index DESC LIMIT 1`
	err = tx.Query(ctx, end, nil, func(rows Rows) error {
		for rows.Next() {
			if err := rows.Scan(&sealed, &place); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return c, err
	}
	if sealed != c.Size {
		return c, fmt.Errorf("%w: %d entries of the audit log are sealed, and its last checkpoint is of %d: "+
			"run 'pawl audit verify'", store.ErrDamaged, sealed, c.Size)
	}
	s := store.Sealing{Origin: origin, Last: c}
	if s.Renames, err = renames(ctx, tx); err != nil {
		return c, err
	}
	s.Nodes = func(level int, from, to int64) ([]audit.Hash, error) { return nodes(ctx, tx, level, from, to) }
	var places []int64
	const next = `SELECT seq, leaf FROM pawl.entries WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3`
	args := []any{place, bound[0], most}
	s.Leaves, err = all(ctx, tx, next, args, func(row Row, _ ...any) (audit.Hash, error) {
		leaf, err := scanHash(row, &place)
		places = append(places, place)
		return leaf, err
	})
	if err != nil || len(s.Leaves) == 0 {
		return c, err
	}
	add, err := extend(s)
	if err != nil {
		return c, err
	}
	if err := number(ctx, tx, sealed, places, s.Leaves); err != nil {
		return c, err
	}
	return add.Checkpoint, keep(ctx, tx, add)
}

// number gives the entries at some places the indexes from one on. Those whose places follow each other
// are in one row.
func number(ctx context.Context, tx Tx, index int64, places []int64, leaves []audit.Hash) error {
	const insert = `INSERT INTO pawl.sealed (log_index, entry, leaf, more) VALUES ($1, $2, $3, $4)`
	for len(places) > 0 {
		n, more := 1, []byte{}
		for n < min(maxRun, len(places)) && places[n] == places[0]+int64(n) {
			more = append(more, leaves[n][:]...)
			n++
		}
		if err := tx.Exec(ctx, insert, index, places[0], leaves[0][:], more); err != nil {
			return err
		}
		index, places, leaves = index+int64(n), places[n:], leaves[n:]
	}
	return nil
}

// keep writes what a sealer made of the tree.
func keep(ctx context.Context, tx Tx, add store.Sealed) error {
	for _, n := range add.Nodes {
		const insert = `INSERT INTO pawl.nodes (level, n, hash) VALUES ($1, $2, $3)`
		if err := tx.Exec(ctx, insert, n.Level, n.N, n.Hash[:]); err != nil {
			return err
		}
	}
	c := add.Checkpoint
	const sign = `INSERT INTO pawl.checkpoints (size, origin, root, at, note) VALUES ($1, $2, $3, $4, $5)`
	return tx.Exec(ctx, sign, c.Size, c.Origin, c.Root[:], c.At, c.Note)
}

// Cosign implements store.Log.
func (b Base) Cosign(ctx context.Context, size int64, cosigned string) error {
	const cosign = `UPDATE pawl.checkpoints SET cosigned = $2
		WHERE size = $1 AND substr($2, 1, length(note)) = note RETURNING origin`
	known, err := b.update(ctx, "keep the signatures of witnesses", cosign, size, cosigned)
	if err == nil && len(known) == 0 {
		err = Errorf("checkpoint of %d entries: %w", size, store.ErrNotFound)
	}
	return err
}

// RenameLog implements store.Log.
func (b Base) RenameLog(ctx context.Context, entry audit.Entry) error {
	if err := entry.Check(); err != nil {
		return approval.Errorf(approval.CodeInvalid, "%w", err)
	}
	payload, err := audit.ReadPayload(entry.Kind, entry.Payload)
	if err != nil {
		return err
	}
	renamed, ok := payload.(audit.LogRenamed)
	if !ok || entry.Subject != audit.SubjectLog {
		return approval.Errorf(approval.CodeInvalid, "the entry is not one of a log that gets another name")
	}
	return b.db.Write(ctx, "rename the audit log", "", func(tx Tx) error {
		if err := b.lockSeal(ctx, tx); err != nil {
			return err
		}
		origin, last, err := latest(ctx, tx)
		if err != nil {
			return err
		}
		if renamed.Previous != origin || renamed.Size != last.Size {
			return Errorf("%w: it is %q with %d entries by now", store.ErrSealing, origin, last.Size)
		}
		if err := tx.Exec(ctx, `INSERT INTO pawl.origins (origin) VALUES ($1)`, renamed.Origin); err != nil {
			return err
		}
		return tx.Exec(ctx, AddEntry, EntryArgs(entry)...)
	})
}

func scanCheckpoint(row Row, _ ...any) (c store.Checkpoint, err error) {
	var root []byte
	err = row.Scan(&c.Size, &c.Origin, &root, (*instant)(&c.At), &c.Note, &c.Cosigned)
	copy(c.Root[:], root)
	return c, err
}

func scanHash(row Row, first ...any) (h audit.Hash, err error) {
	var hash []byte
	if err = row.Scan(append(first, &hash)...); err == nil && copy(h[:], hash) != len(h) {
		err = errCut
	}
	return h, err
}

var errCut = fmt.Errorf("%w: a hash of the audit log is cut off", store.ErrDamaged)
