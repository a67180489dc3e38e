package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	o      Options
	done   []string // the note that was published last at each place
	seen   []string // the published note at each place that was found to be of this log
	sure   bool     // what every place says is known to be no later than the database
	failed string   // what was logged last
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
	// Witnesses say only when they are asked to sign what they signed before.
	if !s.sure {
		if err := s.publish(ctx); errors.Is(err, ErrAhead) {
			return false, err
		}
		s.sure = true
	}
	_, err = s.o.Store.Seal(ctx, batch, func(in store.Sealing) (store.Sealed, error) {
		more = len(in.Leaves) == batch
		return s.extend(in)
	})
	if err != nil && !errors.Is(err, store.ErrSealing) {
		return false, err
	}
	err = s.publish(ctx)
	s.sure = !errors.Is(err, ErrAhead)
	return more, err
}

// extend adds entries to the tree and signs it. It trusts nothing that it did not sign.
func (s *Sealer) extend(in store.Sealing) (out store.Sealed, err error) {
	var r Range
	if last := in.Last; last.Size > 0 {
		origin, t, err := s.o.Keys.open(last.Note, last.Origin)
		if err != nil {
			return out, fmt.Errorf("checkpoint of %d entries: %w", last.Size, err)
		}
		if r, err = Load(last.Size, Nodes(in.Nodes)); err != nil {
			return out, err
		}
		if origin != last.Origin || t.N != last.Size || t.Hash != r.Root() || last.Root != audit.Hash(t.Hash) {
			return out, fmt.Errorf("%w: the audit log is not what its last checkpoint, of %d entries, says: "+
				"run 'pawl audit verify'", store.ErrDamaged, last.Size)
		}
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

// compare refuses to go on beside what was published: ErrAhead.
func (s *Sealer) compare(ctx context.Context) error {
	if len(s.o.Places) == 0 {
		return nil
	}
	origins, err := s.o.Store.Origins(ctx)
	if err != nil {
		return err
	}
	last, err := s.o.Store.LastCheckpoint(ctx)
	if err != nil {
		return err
	}
	for i, p := range s.o.Places {
		signed, err := p.Published(ctx)
		if err == nil && signed != "" {
			err = s.leads(ctx, origins, last, signed, signed == s.seen[i])
		}
		if err != nil {
			return fmt.Errorf("the checkpoint in %s: %w", p, err)
		}
		s.seen[i] = signed
	}
	return nil
}

// leads reports whether a published checkpoint is of a beginning of this log.
func (s *Sealer) leads(
	ctx context.Context, origins []string, last store.Checkpoint, signed string, known bool,
) error {
	origin, t, err := s.o.Keys.open(signed, origins...)
	switch {
	case err != nil:
		return err
	case !slices.Contains(origins, origin):
		return fmt.Errorf("%w: it is of the log %q", ErrAhead, origin)
	case origin != origins[len(origins)-1]:
		return nil // somebody renamed the log, to go on from an older state
	case t.N > last.Size:
		return fmt.Errorf("%w: it is of %d entries, and the database has sealed %d. If it was restored from a "+
			"backup, 'pawl audit rename' lets the log go on under another name", ErrAhead, t.N, last.Size)
	case known:
		return nil
	}
	r, err := Load(t.N, Nodes(func(level int, from, to int64) ([]audit.Hash, error) {
		return s.o.Store.Nodes(ctx, level, from, to)
	}))
	if err == nil && t.N > 0 && r.Root() != t.Hash {
		err = fmt.Errorf("%w: the database has other entries among the first %d: run 'pawl audit verify'",
			ErrAhead, t.N)
	}
	return err
}

// publish publishes the last checkpoint as it is stored, where that is not done.
func (s *Sealer) publish(ctx context.Context) error {
	if len(s.o.Places) == 0 {
		return nil
	}
	var failed []error
	for i, p := range s.o.Places {
		last, err := s.o.Store.LastCheckpoint(ctx) // with the signatures of witnesses that came before
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		if last.Size == 0 || s.done[i] == last.Note {
			continue
		}
		if err := p.Publish(ctx, last); err != nil {
			failed = append(failed, fmt.Errorf("publish a checkpoint to %s: %w", p, err))
			continue
		}
		s.done[i] = last.Note
	}
	return errors.Join(failed...)
}
