package store

import (
	"context"
	"errors"
	"time"

	"github.com/pawlhq/pawl/audit"
)

// ErrSealing: another process seals the log at this moment.
var ErrSealing = errors.New("another process seals the audit log now")

// Log keeps the tree over the audit log: entries get an index, and the state of the log at some sizes
// is signed in a checkpoint. What is sealed never changes.
type Log interface {
	LogReader
	// Seal lets extend add the next entries to the tree, at most so many, and keeps what it returns, in
	// one transaction; one at a time does so, or it is ErrSealing. It takes the entries in front of which
	// no other can come any more. With none, extend is not called, and the last checkpoint comes back.
	// extend may be called several times.
	Seal(ctx context.Context, most int, extend func(Sealing) (Sealed, error)) (Checkpoint, error)
	// Cosign keeps the signatures of witnesses behind those of a checkpoint: cosigned begins with its
	// note, or it is ErrNotFound.
	Cosign(ctx context.Context, size int64, cosigned string) error
	// RenameLog writes an entry of an audit.LogRenamed, and gives the log the origin that it names, from
	// the next checkpoint on. The entry must name the origin and the size that the log has now, or it is
	// ErrSealing.
	RenameLog(ctx context.Context, entry audit.Entry) error
}

// LogReader reads the log as it was sealed.
type LogReader interface {
	// Origins are the names that the log has had, the one in use last.
	Origins(ctx context.Context) ([]string, error)
	// Renames are what the entries about those names say, the first one first. Those that do not fit
	// their hashes are left out.
	Renames(ctx context.Context) ([]audit.LogRenamed, error)
	// Checkpoints returns those of a size above the one given, at most so many, the smallest first.
	Checkpoints(ctx context.Context, after int64, most int) ([]Checkpoint, error)
	// LastCheckpoint is the zero Checkpoint where there is none.
	LastCheckpoint(ctx context.Context) (Checkpoint, error)
	// Nodes returns hashes of full subtrees of 1<<level entries, from the from'th to before the to'th.
	// Level is a multiple of NodeLevels; those of level 0 are leaf hashes. Those that are missing are
	// left out.
	Nodes(ctx context.Context, level int, from, to int64) ([]audit.Hash, error)
	// Rows returns entries from a place in the log on with what is sealed of them, at most so many, in the
	// order of their places. As in Entries, about PageBytes of them end it, too.
	Rows(ctx context.Context, from int64, most int) ([]LogRow, error)
	// IndexOf is the index that an entry was sealed with; or it is ErrNotFound.
	IndexOf(ctx context.Context, subject, step string) (int64, error)
	// Unsealed counts the entries that have no index yet, up to ExactTotal and one more, and says of when
	// the first of them is.
	Unsealed(ctx context.Context) (count int, since time.Time, err error)
}

// NodeLevels lie between the levels of the tree whose hashes are kept.
const NodeLevels = 8

// Checkpoint is what a sealer signed of the log.
type Checkpoint struct {
	Size     int64 // how many entries it covers
	Origin   string
	Root     audit.Hash
	At       time.Time
	Note     string // the text with the log's signatures
	Cosigned string // the same with those of witnesses; empty: there are none
}

// Sealing is what is to be added to the tree.
type Sealing struct {
	Origin  string             // for the new checkpoint
	Renames []audit.LogRenamed // see LogReader.Renames
	Last    Checkpoint
	Leaves  []audit.Hash                                          // of the entries that come next
	Nodes   func(level int, from, to int64) ([]audit.Hash, error) // see LogReader.Nodes
}

// Sealed is the tree with them.
type Sealed struct {
	Checkpoint Checkpoint
	Nodes      []Node // that are new, above level 0
}

// Node is the hash of a full subtree: of the entries from N<<Level on.
type Node struct {
	Level int
	N     int64
	Hash  audit.Hash
}

// LogRow is an entry as it is stored and as it was sealed.
type LogRow struct {
	Place int64 // in the order written
	Entry audit.Entry
}
