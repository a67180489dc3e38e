package tree

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/mod/sumdb/tlog"
)

// tileWidth is how many hashes, or entries, a full tile holds.
const tileWidth = 1 << store.NodeLevels

// flushEvery is how many entries are added before the next checkpoint makes it onto the disk.
const flushEvery = 64 * tileWidth

// Tiles writes a log into a folder as https://c2sp.org/tlog-tiles has it: what was hashed of each
// entry in tile/entries, the hashes in tile/0 and up, and the checkpoint. It believes nothing: the
// entries must make up the root of every checkpoint. One that was written before goes on.
type Tiles struct {
	dir     string
	size    int64
	levels  [][]audit.Hash // of each level of tiles, the hashes of the one that is not full yet
	entries []byte         // of the bundle that is not full yet
	kept    tilesState     // that is on the disk
	reached tilesState     // the last checkpoint that was added, behind kept
	partial snapshot       // of reached
}

// tilesState is kept in the folder, beside what the layout has, to go on from.
type tilesState struct {
	Size       int64  `json:"size"`
	Cursor     string `json:"cursor"`
	Checkpoint string `json:"checkpoint"`
}

// snapshot is what is not full at some size.
type snapshot struct {
	levels  [][]audit.Hash
	entries []byte
}

// stateFile is no part of the layout.
const stateFile = "pawl-export.json"

// ErrNotTiles: what lies in the folder is no export that can go on, or of another log.
var ErrNotTiles = errors.New("the folder does not hold this log's tiles")

// OpenTiles goes on with the tiles in a folder, or begins with none.
func OpenTiles(dir string) (*Tiles, error) {
	t := &Tiles{dir: dir}
	doc, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "checkpoint")); err == nil {
			return nil, fmt.Errorf("%w: %s has a checkpoint, and no %s", ErrNotTiles, dir, stateFile)
		}
		return t, os.MkdirAll(filepath.Join(dir, "tile", "entries"), 0o755)
	}
	if err == nil {
		err = json.Unmarshal(doc, &t.kept)
	}
	if err == nil {
		err = t.load()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotTiles, dir, err)
	}
	return t, t.publish() // who wrote the state may have died before the checkpoint
}

// publish writes the checkpoint of what is on the disk.
func (t *Tiles) publish() error {
	return osfile.Replace(filepath.Join(t.dir, "checkpoint"), []byte(t.kept.Checkpoint), 0o644)
}

// Cursor is behind what is on the disk: from where the export goes on.
func (t *Tiles) Cursor() string { return t.kept.Cursor }

// Size is how many entries are on the disk.
func (t *Tiles) Size() int64 { return t.kept.Size }

// load reads the tiles that are not full, and compares them with the checkpoint.
func (t *Tiles) load() error {
	for level, n := 0, t.kept.Size; n > 0; level, n = level+1, n/tileWidth {
		width := int(n % tileWidth)
		t.levels = append(t.levels, nil)
		if width == 0 {
			continue
		}
		doc, err := os.ReadFile(t.path(level, n/tileWidth, width))
		if err != nil {
			return err
		}
		if len(doc) != width*tlog.HashSize {
			return errors.New("a tile has another length than its name says")
		}
		for ; len(doc) > 0; doc = doc[tlog.HashSize:] {
			t.levels[level] = append(t.levels[level], audit.Hash(doc[:tlog.HashSize]))
		}
	}
	if width := int(t.kept.Size % tileWidth); width > 0 {
		var err error
		if t.entries, err = os.ReadFile(t.path(-1, t.kept.Size/tileWidth, width)); err != nil {
			return err
		}
	}
	t.size = t.kept.Size
	_, err := t.compare(t.kept.Checkpoint)
	return err
}

// path is that of a tile; those of level -1 hold entries.
func (t *Tiles) path(level int, n int64, width int) string {
	path := tlog.Tile{H: store.NodeLevels, L: level, N: n, W: width}.Path() // tile/8/LEVEL/…
	path = strings.TrimPrefix(path, fmt.Sprintf("tile/%d/", store.NodeLevels))
	if entries, ok := strings.CutPrefix(path, "data/"); ok {
		path = "entries/" + entries
	}
	return filepath.Join(t.dir, "tile", filepath.FromSlash(path))
}

// Add adds the next entry: the bytes that its leaf hash is made of.
func (t *Tiles) Add(index int64, metadata []byte) error {
	switch {
	case index < t.size:
		return nil // it is there
	case index > t.size:
		return fmt.Errorf("entry number %d of the log is missing in the export", t.size)
	case len(metadata) > 0xffff:
		return fmt.Errorf("entry number %d is too large for a tile", index)
	}
	t.entries = append(t.entries, byte(len(metadata)>>8), byte(len(metadata)))
	t.entries = append(t.entries, metadata...)
	t.size++
	if t.size%tileWidth == 0 {
		if err := t.write(-1, t.size/tileWidth-1, tileWidth, t.entries); err != nil {
			return err
		}
		t.entries = nil
	}
	hash := audit.Hash(tlog.RecordHash(metadata))
	for level, n := 0, t.size; ; level, n = level+1, n/tileWidth {
		if level == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		t.levels[level] = append(t.levels[level], hash)
		if n%tileWidth > 0 {
			return nil
		}
		if err := t.write(level, n/tileWidth-1, tileWidth, join(t.levels[level])); err != nil {
			return err
		}
		var r Range
		for _, h := range t.levels[level] {
			r.Add(tlog.Hash(h), nil)
		}
		hash, t.levels[level] = audit.Hash(r.Root()), nil
	}
}

// Checkpoint takes the signed checkpoint behind the last entry that it covers, and the cursor
// there. Those of the entries before what is on the disk already are left out.
func (t *Tiles) Checkpoint(signed, cursor string) error {
	size, err := t.compare(signed)
	if err != nil || size < t.size {
		return err
	}
	t.reached = tilesState{Size: t.size, Cursor: cursor, Checkpoint: signed}
	t.partial = snapshot{}
	for _, hashes := range t.levels {
		t.partial.levels = append(t.partial.levels, hashes[:len(hashes):len(hashes)])
	}
	t.partial.entries = t.entries[:len(t.entries):len(t.entries)]
	if t.size-t.kept.Size >= flushEvery {
		return t.Flush()
	}
	return nil
}

// compare compares a checkpoint with the entries. size is the checkpoint's.
func (t *Tiles) compare(signed string) (size int64, err error) {
	_, tree, err := ParseText(signed)
	switch {
	case err != nil || tree.N < t.size:
		return tree.N, err
	case tree.N > t.size || t.size == 0:
		return tree.N, fmt.Errorf("a checkpoint of %d entries stands behind %d", tree.N, t.size)
	}
	r, err := Load(t.size, Nodes(func(level int, from, to int64) ([]audit.Hash, error) {
		begin := t.size >> level / tileWidth * tileWidth
		return t.levels[level/store.NodeLevels][from-begin : to-begin], nil
	}))
	if err == nil && r.Root() != tree.Hash {
		err = fmt.Errorf("the entries do not make up the checkpoint of %d entries: the log or the export was "+
			"changed; 'pawl audit verify' says where", tree.N)
	}
	return tree.N, err
}

// Flush writes the tiles that are not full at the last checkpoint, what to go on from, and then the
// checkpoint, so that whoever reads it finds all that it covers.
func (t *Tiles) Flush() error {
	if t.reached.Size <= t.kept.Size {
		return nil
	}
	for level, hashes := range t.partial.levels {
		if len(hashes) == 0 {
			continue
		}
		n := t.reached.Size >> (level * store.NodeLevels) / tileWidth
		if err := t.write(level, n, len(hashes), join(hashes)); err != nil {
			return err
		}
	}
	if width := int(t.reached.Size % tileWidth); width > 0 {
		if err := t.write(-1, t.reached.Size/tileWidth, width, t.partial.entries); err != nil {
			return err
		}
	}
	doc, err := json.Marshal(t.reached)
	if err == nil {
		err = osfile.Replace(filepath.Join(t.dir, stateFile), doc, 0o644)
	}
	if err != nil {
		return err
	}
	before := t.kept.Size
	t.kept = t.reached
	err = t.publish()
	for level := -1; err == nil && level < len(t.partial.levels); level++ {
		up := max(level, 0) * store.NodeLevels
		if n := before >> up / tileWidth; t.kept.Size>>up/tileWidth > n { // it is full by now
			err = os.RemoveAll(t.path(level, n, tileWidth) + ".p")
		}
	}
	return err
}

func (t *Tiles) write(level int, n int64, width int, doc []byte) error {
	path := t.path(level, n, width)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return osfile.Replace(path, doc, 0o644)
}

func join(hashes []audit.Hash) (doc []byte) {
	for _, h := range hashes {
		doc = append(doc, h[:]...)
	}
	return doc
}
