// Package tree makes the audit log a transparency log: an RFC 6962 tree over its entries, whose state
// is signed in checkpoints. A checkpoint is a signed note as https://c2sp.org/tlog-checkpoint has it.
package tree

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Range is the hashes of the full subtrees that a tree of some size is made of, the largest first. It
// is all that is needed to go on with the tree. The zero value is an empty tree.
type Range struct {
	size   int64
	hashes []tlog.Hash
}

// Size is how many leaves there are.
func (r *Range) Size() int64 { return r.size }

// Add appends a leaf. full is told the hash of each subtree that it completes: the n'th of 1<<level
// leaves. It may be nil.
func (r *Range) Add(leaf tlog.Hash, full func(level int, n int64, hash tlog.Hash)) {
	n, level := r.size, 0
	for ; n&1 == 1; n >>= 1 {
		last := len(r.hashes) - 1
		leaf = tlog.NodeHash(r.hashes[last], leaf)
		r.hashes = r.hashes[:last]
		level++
		if full != nil {
			full(level, n>>1, leaf)
		}
	}
	r.hashes = append(r.hashes, leaf)
	r.size++
}

// Root is the hash of the tree, which must not be empty.
func (r *Range) Root() tlog.Hash {
	last := len(r.hashes) - 1
	root := r.hashes[last]
	for i := last - 1; i >= 0; i-- {
		root = tlog.NodeHash(r.hashes[i], root)
	}
	return root
}

// Load reads the range of a tree of some size.
func Load(size int64, from tlog.HashReader) (r Range, err error) {
	keep := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		r.hashes, err = from.ReadHashes(indexes)
		return r.hashes, err
	})
	_, err = tlog.TreeHash(size, keep)
	r.size = size
	return r, err
}

// Nodes reads hashes as store.LogReader does. It is a tlog.HashReader.
type Nodes func(level int, from, to int64) ([]audit.Hash, error)

// ReadHashes implements tlog.HashReader. What is not kept is made of the next level below that is.
func (read Nodes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		up := level % store.NodeLevels
		from, to := n<<up, (n+1)<<up
		kept, err := read(level-up, from, to)
		if err != nil {
			return nil, err
		}
		if int64(len(kept)) != to-from {
			return nil, fmt.Errorf("%w: of the tree over the audit log, hashes %d to %d of level %d are missing",
				store.ErrDamaged, from, to-1, level-up)
		}
		var r Range
		for _, hash := range kept {
			r.Add(tlog.Hash(hash), nil)
		}
		hashes[i] = r.Root()
	}
	return hashes, nil
}

// Text is the text of a checkpoint, without signatures.
func Text(origin string, t tlog.Tree) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, t.N, t.Hash)
}

// Signed is the note of a checkpoint in a store, with the signatures of witnesses if there are any.
// The error is store.ErrDamaged: its row holds another one than the log signed, or none.
func Signed(c store.Checkpoint) (string, error) {
	signed := cmp.Or(c.Cosigned, c.Note)
	_, err := note.Open([]byte(signed), note.VerifierList())
	_, isNote := errors.AsType[*note.UnverifiedNoteError](err)
	if !isNote || !strings.HasPrefix(signed, c.Note) || !strings.HasPrefix(c.Note, Text(c.Origin, treeOf(c))) {
		return "", fmt.Errorf("%w: the checkpoint of %d entries of the audit log is not the one that was signed",
			store.ErrDamaged, c.Size)
	}
	return signed, nil
}

var errText = errors.New("it is not the text of a checkpoint: origin, size and root, each on a line")

// ParseText reads the text of a checkpoint. What follows its three lines is left out.
func ParseText(text string) (origin string, t tlog.Tree, err error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return "", t, errText
	}
	t.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || lines[1] != strconv.FormatInt(t.N, 10) || t.N < 0 {
		return "", t, errText
	}
	if t.Hash, err = tlog.ParseHash(lines[2]); err != nil {
		return "", t, errText
	}
	return lines[0], t, nil
}

// Renamed follows what a log's entries say of its names from one to another, through any others. size
// is how many entries were sealed under the first one.
func Renamed(entries []audit.LogRenamed, from, to string) (size int64, ok bool) {
	name := from
	for _, e := range entries {
		if e.Previous != name {
			continue
		}
		if name == from {
			size = e.Size
		}
		if name = e.Origin; name == to {
			return size, true
		}
	}
	return 0, false
}
