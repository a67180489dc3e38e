package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrAhead: a checkpoint was published that the database does not lead to. It was restored from a
// backup, or somebody cut its log off or changed it.
var ErrAhead = errors.New("a published checkpoint is ahead of the database, or of another log")

// Options say what a Sealer seals.
type Options struct {
	Store  store.Log
	Keys   Keys         // see OpenKeys; one at least
	Places []Place      // where checkpoints are published
	Logger *slog.Logger // default: discard
	// Every is how often the log is sealed; a backlog is sealed at once. Default: DefaultEvery.
	Every time.Duration
}

// DefaultEvery bounds how many checkpoints a busy log has: 17,000 a day.
const DefaultEvery = 5 * time.Second

// batch is how many entries are sealed in one transaction. On SQLite nobody writes meanwhile.
const batch = 4096

// Place is where checkpoints are published, out of the database's reach.
type Place interface {
	fmt.Stringer
	// Published returns the signed checkpoint that was published there last; "": none, or it can't tell.
	Published(ctx context.Context) (signed string, err error)
	// Publish publishes a checkpoint. It may be repeated. ErrAhead: a later one was published.
	Publish(ctx context.Context, c store.Checkpoint) error
}

// Sealer seals the log. Several processes may have one each.
type Sealer struct {
	o    Options
	done []string // the note that was published last at each place
	seen []string // the published note at each place that was found to be of this log
	sure bool     // what every place says is known to be no later than the database
	// last is what this sealer kept or read last. The log must go on from it: somebody may restore the
	// database from a backup while this process runs.
	last   store.Checkpoint
	failed string // what was logged last
}

// NewSealer makes a Sealer.
func NewSealer(o Options) (*Sealer, error) {
	if len(o.Keys) == 0 || o.Store == nil {
		return nil, errors.New("tree: Options.Store or Keys is missing")
	}
	o.Every = cmp.Or(o.Every, DefaultEvery)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return &Sealer{o: o, done: make([]string, len(o.Places)), seen: make([]string, len(o.Places))}, nil
}

// Run seals and publishes until ctx ends. What fails is logged, and tried again.
func (s *Sealer) Run(ctx context.Context) {
	for {
		more, err := s.Seal(ctx)
		if ctx.Err() != nil {
			return
		}
		s.log(ctx, err)
		if !more && !retry.Sleep(ctx, s.o.Every) {
			return
		}
	}
}

// log logs a fault that lasts once.
func (s *Sealer) log(ctx context.Context, err error) {
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != s.failed && err != nil {
		s.o.Logger.ErrorContext(ctx, "the audit log could not be sealed or published; trying again", "error", err)
	}
	s.failed = said
}

// Seal seals what is there, up to a bound, and publishes the last checkpoint. It reports whether more
// may be there at once. Where another process seals at the moment, it only publishes.
func (s *Sealer) Seal(ctx context.Context) (more bool, err error) {
	if err := s.compare(ctx); err != nil {
		return false, err
	}
	// Witnesses say only when they are asked to sign what they signed before. Until enough of them have
	// answered, the next checkpoint may be a second one of its size.
	if !s.sure {
		if err := s.publish(ctx); errors.Is(err, ErrAhead) || errors.Is(err, errQuorum) {
			return false, err
		}
		s.sure = s.last.Size > 0 // or nobody was asked: there is nothing to sign yet
	}
	signed := false
	kept, err := s.o.Store.Seal(ctx, batch, func(in store.Sealing) (out store.Sealed, err error) {
		more = len(in.Leaves) == batch
		out, err = s.extend(in)
		signed = err == nil
		return out, err
	})
	if err != nil && !errors.Is(err, store.ErrSealing) {
		return false, err
	}
	if err == nil && signed {
		s.last = kept
	}
	err = s.publish(ctx)
	s.sure = (s.sure || s.last.Size > 0 && !errors.Is(err, errQuorum)) && !errors.Is(err, ErrAhead)
	return more, err
}

// extend adds entries to the tree and signs it. It trusts nothing that it did not sign.
func (s *Sealer) extend(in store.Sealing) (out store.Sealed, err error) {
	if err := s.trust(in.Last, names{in.Origin, in.Renames}, in.Nodes); err != nil {
		return out, err
	}
	r, err := Load(in.Last.Size, Nodes(in.Nodes))
	if err != nil {
		return out, err
	}
	if in.Last.Size > 0 && in.Last.Root != audit.Hash(r.Root()) {
		return out, damaged(in.Last)
	}
	for _, leaf := range in.Leaves {
		r.Add(tlog.Hash(leaf), func(level int, n int64, hash tlog.Hash) {
			if level%store.NodeLevels == 0 {
				out.Nodes = append(out.Nodes, store.Node{Level: level, N: n, Hash: audit.Hash(hash)})
			}
		})
	}
	t := tlog.Tree{N: r.Size(), Hash: r.Root()}
	signed, err := s.o.Keys.sign(in.Origin, t)
	out.Checkpoint = store.Checkpoint{
		Size: t.N, Origin: in.Origin, Root: audit.Hash(t.Hash), At: store.Micros(time.Now()), Note: signed,
	}
	return out, err
}

// names are the name that a log has, and what its entries say of those before.
type names struct {
	now     string
	renames []audit.LogRenamed
}

// trust takes a checkpoint of the database for the last one: if one of the keys signed it, it is of
// the log's name or of the one before, and the log goes on from what this sealer took for it before.
func (s *Sealer) trust(c store.Checkpoint, log names, nodes Nodes) error {
	if c.Size > 0 {
		origin, t, err := s.o.Keys.open(c.Note)
		if err != nil {
			return fmt.Errorf("checkpoint of %d entries: %w", c.Size, err)
		}
		if origin != c.Origin || t != treeOf(c) {
			return damaged(c)
		}
		if size, ok := Renamed(log.renames, origin, log.now); origin != log.now && (!ok || size != c.Size) {
			return fmt.Errorf("%w: the audit log is called %q, its last checkpoint is of %q, and no entry says that "+
				"it was renamed then: run 'pawl audit verify'", store.ErrDamaged, log.now, origin)
		}
	}
	if s.last.Size > 0 && s.last.Root != c.Root {
		if err := goesOn(s.last.Origin, treeOf(s.last), c.Size, log, nodes); err != nil {
			return fmt.Errorf("the checkpoint that this process knows: %w", err)
		}
	}
	s.last = c
	return nil
}

func treeOf(c store.Checkpoint) tlog.Tree { return tlog.Tree{N: c.Size, Hash: tlog.Hash(c.Root)} }

func damaged(c store.Checkpoint) error {
	return fmt.Errorf("%w: the audit log is not what its last checkpoint, of %d entries, says: "+
		"run 'pawl audit verify'", store.ErrDamaged, c.Size)
}

// goesOn reports whether the log in the database, of some size, goes on from a checkpoint that was
// seen of it; or ErrAhead.
func goesOn(origin string, seen tlog.Tree, size int64, log names, nodes Nodes) error {
	if origin != log.now {
		if _, ok := Renamed(log.renames, origin, log.now); !ok {
			return fmt.Errorf("%w: it is of the log %q, and no entry says that this was renamed to %q. If a backup from "+
				"before that name was restored, remove the checkpoint", ErrAhead, origin, log.now)
		}
		return nil // somebody renamed the log, to go on from an older state
	}
	if seen.N > size {
		return fmt.Errorf("%w: it is of %d entries, and the database has sealed %d. If it was restored from a "+
			"backup, 'pawl audit rename' lets the log go on under another name", ErrAhead, seen.N, size)
	}
	r, err := Load(seen.N, nodes)
	if err == nil && seen.N > 0 && r.Root() != seen.Hash {
		err = fmt.Errorf("%w: the database has other entries among the first %d: run 'pawl audit verify'",
			ErrAhead, seen.N)
	}
	return err
}

// compare refuses to go on beside what was published: ErrAhead.
func (s *Sealer) compare(ctx context.Context) error {
	if len(s.o.Places) == 0 {
		return nil
	}
	log, err := s.names(ctx)
	if err != nil {
		return err
	}
	for i, p := range s.o.Places {
		signed, err := p.Published(ctx)
		last, lastErr := s.o.Store.LastCheckpoint(ctx) // after that: others publish, too
		known := signed == s.seen[i] && last.Note == s.last.Note
		if err = errors.Join(err, lastErr); err == nil && signed != "" && !known {
			var origin string
			var t tlog.Tree
			if origin, t, err = s.o.Keys.open(signed); err == nil {
				err = goesOn(origin, t, last.Size, log, s.nodes(ctx))
			}
		}
		if err != nil {
			return fmt.Errorf("the checkpoint in %s: %w", p, err)
		}
		s.seen[i] = signed
	}
	return nil
}

func (s *Sealer) names(ctx context.Context) (n names, err error) {
	origins, err := s.o.Store.Origins(ctx)
	if err != nil || len(origins) == 0 {
		return n, errors.Join(err, store.ErrDamaged)
	}
	n.now = origins[len(origins)-1]
	n.renames, err = s.o.Store.Renames(ctx)
	return n, err
}

func (s *Sealer) nodes(ctx context.Context) Nodes {
	return func(level int, from, to int64) ([]audit.Hash, error) { return s.o.Store.Nodes(ctx, level, from, to) }
}

// publish publishes the last checkpoint as it is stored, where that is not done.
func (s *Sealer) publish(ctx context.Context) error {
	var failed []error
	for i, p := range s.o.Places {
		last, err := s.o.Store.LastCheckpoint(ctx) // with the signatures of witnesses that came before
		if err == nil && last.Note != s.last.Note {
			var log names
			if log, err = s.names(ctx); err == nil {
				err = s.trust(last, log, s.nodes(ctx))
			}
		}
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		if last.Size == 0 {
			continue
		}
		signed, err := Signed(last)
		if err == nil && s.done[i] == signed {
			continue
		}
		if err == nil {
			err = p.Publish(ctx, last)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("publish a checkpoint to %s: %w", p, err))
			continue
		}
		s.done[i] = signed
	}
	return errors.Join(failed...)
}
