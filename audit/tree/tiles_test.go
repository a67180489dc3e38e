package tree_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/audit/tree"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// madeLog is a log of entries that are easy to make, and its checkpoints.
type madeLog struct {
	signer note.Signer
	known  note.Verifiers
	tree   tree.Range
}

func newLog(t *testing.T) *madeLog {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "pawl/test")
	if err != nil {
		t.Fatal(err)
	}
	l := &madeLog{}
	if l.signer, err = note.NewSigner(private); err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	l.known = note.VerifierList(v)
	return l
}

func metadata(n int64) []byte {
	return fmt.Appendf(nil, `{"call_id":"pawl-%d","more":"%s"}`, n, strings.Repeat("x", int(n%40)))
}

// grow adds entries up to a size, and the checkpoint of that size.
func (l *madeLog) grow(t *testing.T, into *tree.Tiles, size int64) {
	t.Helper()
	for n := l.tree.Size(); n < size; n++ {
		l.tree.Add(tlog.RecordHash(metadata(n)), nil)
		if err := into.Add(n, metadata(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := into.Checkpoint(l.checkpoint(t), fmt.Sprint("cursor-", size)); err != nil {
		t.Fatal(err)
	}
}

func (l *madeLog) checkpoint(t *testing.T) string {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: tree.Text("pawl/test", tlog.Tree{N: l.tree.Size(), Hash: l.tree.Root()})}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// served reads tiles as a client of https://c2sp.org/tlog-tiles does: the full one where there is none
// of the width.
type served string

func (s served) Height() int                     { return 8 }
func (s served) SaveTiles([]tlog.Tile, [][]byte) {}
func (s served) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		doc, err := s.read(tile)
		if err != nil {
			return nil, err
		}
		data = append(data, doc[:tile.W*tlog.HashSize])
	}
	return data, nil
}

func (s served) read(tile tlog.Tile) ([]byte, error) {
	name := strings.Replace(strings.Replace(tile.Path(), "tile/8/data", "tile/entries", 1), "tile/8/", "tile/", 1)
	doc, err := os.ReadFile(filepath.Join(string(s), name))
	if errors.Is(err, os.ErrNotExist) && tile.W < 256 {
		tile.W = 256
		return s.read(tile)
	}
	return doc, err
}

// check reads the log with nothing but the folder and the key.
func (l *madeLog) check(t *testing.T, dir string, size int64) {
	t.Helper()
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	_, root, err := tree.Open(string(signed), l.known)
	if err != nil || root.N != size {
		t.Fatalf("the checkpoint is of %d entries, want %d: %v", root.N, size, err)
	}
	hashes := tlog.TileHashReader(root, served(dir))
	for n := int64(0); n < size; n += 1 + size/97 {
		proof, err := tlog.ProveRecord(size, n, hashes)
		if err == nil {
			err = tlog.CheckRecord(proof, size, root.Hash, n, tlog.RecordHash(metadata(n)))
		}
		if err != nil {
			t.Fatalf("entry %d of %d: %v", n, size, err)
		}
	}
	last := (size - 1) / 256
	for n := range last + 1 {
		width := int(min(size-n*256, 256))
		bundle, err := served(dir).read(tlog.Tile{H: 8, L: -1, N: n, W: width})
		if err != nil {
			t.Fatal(err)
		}
		for i := range width {
			length := int(bundle[0])<<8 | int(bundle[1])
			if !bytes.Equal(bundle[2:2+length], metadata(n*256+int64(i))) {
				t.Fatalf("entry %d is %q", n*256+int64(i), bundle[2:2+length])
			}
			bundle = bundle[2+length:]
		}
	}
}

// TestTiles writes a log in parts, each by a process of its own, and reads it by the tile reader of
// package tlog.
func TestTiles(t *testing.T) {
	l, dir := newLog(t), t.TempDir()
	for _, size := range []int64{1, 2, 255, 256, 257, 512, 700, 65_535, 65_536, 66_000} {
		tiles, err := tree.OpenTiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		if before := l.tree.Size(); tiles.Size() != before || before > 0 && tiles.Cursor() != fmt.Sprint("cursor-", before) {
			t.Fatalf("it goes on from %d, %q", tiles.Size(), tiles.Cursor())
		}
		l.grow(t, tiles, size)
		if err := tiles.Flush(); err != nil {
			t.Fatal(err)
		}
		l.check(t, dir, size)
	}
	partial, err := filepath.Glob(filepath.Join(dir, "tile", "*", "*.p"))
	if more, _ := filepath.Glob(filepath.Join(dir, "tile", "*", "*", "*.p")); err != nil || len(partial)+len(more) > 4 {
		t.Errorf("tiles that are full by now have others beside them: %v %v", partial, more)
	}
}

// A process may die between any two files: what is there goes on.
func TestTilesGoOnAfterADeath(t *testing.T) {
	l, dir := newLog(t), t.TempDir()
	tiles, err := tree.OpenTiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.grow(t, tiles, 300)
	if err := tiles.Flush(); err != nil {
		t.Fatal(err)
	}
	died := *l
	died.grow(t, tiles, 1000) // and never flushed
	if tiles, err = tree.OpenTiles(dir); err != nil || tiles.Size() != 300 {
		t.Fatalf("it goes on from %d: %v", tiles.Size(), err)
	}
	l.check(t, dir, 300)
	*l = madeLog{signer: l.signer, known: l.known}
	for n := range int64(300) {
		l.tree.Add(tlog.RecordHash(metadata(n)), nil)
	}
	l.grow(t, tiles, 900)
	checkpoint := filepath.Join(dir, "checkpoint")
	older, err := os.ReadFile(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if err := tiles.Flush(); err != nil {
		t.Fatal(err)
	}
	l.check(t, dir, 900)

	// It died before the checkpoint, and no entry came since.
	for name, back := range map[string]func() error{
		"an older one": func() error { return os.WriteFile(checkpoint, older, 0o600) },
		"none":         func() error { return os.Remove(checkpoint) },
	} {
		if err := back(); err != nil {
			t.Fatal(err)
		}
		if tiles, err = tree.OpenTiles(dir); err != nil || tiles.Flush() != nil {
			t.Fatalf("%s: %v", name, err)
		}
		l.check(t, dir, 900)
	}
}

func TestTilesBelieveNothing(t *testing.T) {
	begin := func(t *testing.T) (l *madeLog, dir string) {
		l, dir = newLog(t), t.TempDir()
		tiles, err := tree.OpenTiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		if l.grow(t, tiles, 300); tiles.Flush() != nil {
			t.Fatal("it is not on the disk")
		}
		return l, dir
	}
	for name, change := range map[string]func(dir string) (string, []byte){
		"a tile":     func(dir string) (string, []byte) { return "tile/0/001.p/44", make([]byte, 44*32) },
		"its length": func(dir string) (string, []byte) { return "tile/0/001.p/44", make([]byte, 32) },
		"the state":  func(dir string) (string, []byte) { return "pawl-export.json", []byte(`{"size":299}`) },
		"no state":   func(dir string) (string, []byte) { return "pawl-export.json", nil },
	} {
		t.Run("changed: "+name, func(t *testing.T) {
			_, dir := begin(t)
			file, doc := change(dir)
			path := filepath.Join(dir, file)
			err := os.WriteFile(path, doc, 0o600)
			if doc == nil {
				err = os.Remove(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tree.OpenTiles(dir); !errors.Is(err, tree.ErrNotTiles) {
				t.Errorf("%v", err)
			}
		})
	}
	l, dir := begin(t)
	tiles, err := tree.OpenTiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.tree.Add(tlog.RecordHash(metadata(300)), nil)
	wrong := l.checkpoint(t)
	for name, err := range map[string]error{
		"an entry that is missing": tiles.Add(301, metadata(301)),
		"one that was changed":     errors.Join(tiles.Add(300, metadata(7)), tiles.Checkpoint(wrong, "cursor")),
		"a checkpoint of more":     tiles.Checkpoint(strings.Replace(wrong, "\n301\n", "\n302\n", 1), "cursor"),
		"no checkpoint":            tiles.Checkpoint("hello", "cursor"),
		"an entry of 64 KiB":       tiles.Add(301, make([]byte, 1<<16)),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	var state struct{ Size int64 }
	doc, err := os.ReadFile(filepath.Join(dir, "pawl-export.json"))
	if err == nil {
		err = json.Unmarshal(doc, &state)
	}
	if err != nil || state.Size != 300 || !slices.Contains(strings.Split(string(doc), `"`), "cursor-300") {
		t.Errorf("%s, %v", doc, err)
	}
}
