package tree_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// TestRange compares trees of many sizes with those of package tlog.
func TestRange(t *testing.T) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) (found []tlog.Hash, err error) {
		for _, i := range indexes {
			found = append(found, stored[i])
		}
		return found, nil
	})
	kept := map[int][]audit.Hash{}
	nodes := tree.Nodes(func(level int, from, to int64) ([]audit.Hash, error) {
		return kept[level][min(from, int64(len(kept[level]))):min(to, int64(len(kept[level])))], nil
	})
	var r tree.Range
	for n := range int64(1100) {
		leaf := tlog.RecordHash(fmt.Append(nil, n))
		hashes, err := tlog.StoredHashesForRecordHash(n, leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		kept[0] = append(kept[0], audit.Hash(leaf))
		r.Add(leaf, func(level int, at int64, hash tlog.Hash) {
			if hash != stored[tlog.StoredHashIndex(level, at)] {
				t.Fatalf("the %d'th hash of level %d differs", at, level)
			}
			if level%store.NodeLevels == 0 {
				kept[level] = append(kept[level], audit.Hash(hash))
			}
		})
		want, err := tlog.TreeHash(n+1, reader)
		if err != nil || r.Root() != want || r.Size() != n+1 {
			t.Fatalf("of %d leaves the root is %v, want %v, %v", n+1, r.Root(), want, err)
		}
		if n%97 != 0 {
			continue
		}
		loaded, err := tree.Load(n+1, nodes)
		if err != nil || loaded.Root() != want {
			t.Fatalf("of %d leaves the loaded root is %v, want %v, %v", n+1, loaded.Root(), want, err)
		}
		proof, err := tlog.ProveRecord(n+1, n/2, nodes)
		if err != nil || tlog.CheckRecord(proof, n+1, want, n/2, tlog.Hash(kept[0][n/2])) != nil {
			t.Fatalf("the proof of entry %d in %d is wrong: %v", n/2, n+1, err)
		}
	}
	if _, err := tree.Load(5000, nodes); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a tree with missing hashes: %v", err)
	}
}

func TestCheckpointTexts(t *testing.T) {
	good := tree.Text("pawl/a", tlog.Tree{N: 12, Hash: tlog.RecordHash(nil)})
	if origin, at, err := tree.ParseText(good + "extension\n"); err != nil || origin != "pawl/a" || at.N != 12 || at.Hash != tlog.RecordHash(nil) {
		t.Errorf("%q is read as %q %v, %v", good, origin, at, err)
	}
	for _, bad := range []string{
		"", "\n", strings.TrimSuffix(good, "\n"), strings.TrimPrefix(good, "pawl/a"), strings.Replace(good, "12", "012", 1),
		strings.Replace(good, "12", "-12", 1), strings.Replace(good, "12", "99999999999999999999", 1), good[:20] + "\n",
	} {
		if _, _, err := tree.ParseText(bad); err == nil {
			t.Errorf("%q is taken for a checkpoint", bad)
		}
	}
}

func key(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func write(t *testing.T, s store.Store, steps ...string) {
	t.Helper()
	for _, step := range steps {
		e, err := audit.New("call", step, time.Now(), audit.TokenCreated{Token: rest.Token{}})
		if err == nil {
			err = s.Append(t.Context(), e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// rename gives a log another name, with the entry that says so.
func rename(t *testing.T, s store.Log, name string) {
	t.Helper()
	origins, err := s.Origins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e, err := audit.New(audit.SubjectLog, name, time.Now(), audit.LogRenamed{
		Origin: name, Previous: origins[len(origins)-1], Size: last.Size,
	})
	if err := errors.Join(err, s.RenameLog(t.Context(), e)); err != nil {
		t.Fatal(err)
	}
}

// seal seals with a new sealer, as after a restart.
func seal(t *testing.T, s store.Log, keys tree.Keys, places ...tree.Place) error {
	t.Helper()
	sealer, err := tree.NewSealer(tree.Options{Store: s, Keys: keys, Places: places})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sealer.Seal(t.Context())
	return err
}

// TestSealingAfterARestore goes on from a copy that is older than the published checkpoint.
func TestSealingAfterARestore(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "pawl.db"), filepath.Join(dir, "backup.db")
	file, keys := tree.File(filepath.Join(dir, "checkpoint")), tree.Keys{key(1)}
	s := open(t, path)
	write(t, s, "1", "2")
	if err := errors.Join(seal(t, s, keys, file), s.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(backup, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	write(t, s, "3", "4")
	if err := errors.Join(seal(t, s, keys, file), s.Close()); err != nil {
		t.Fatal(err)
	}

	s = open(t, backup)
	if err := seal(t, s, keys, file); !errors.Is(err, tree.ErrAhead) {
		t.Errorf("a database behind the published checkpoint: %v", err)
	}
	write(t, s, "3", "5")
	if err := seal(t, s, keys, file); !errors.Is(err, tree.ErrAhead) {
		t.Errorf("the same with new entries: %v", err)
	}
	if err := seal(t, s, keys); err != nil { // somebody takes the file out of the settings
		t.Fatal(err)
	}
	if err := seal(t, s, keys, file); !errors.Is(err, tree.ErrAhead) || !strings.Contains(err.Error(), "other entries") {
		t.Errorf("another log of the same size: %v", err)
	}
	rename(t, s, "pawl/restored")
	if err := seal(t, s, keys, file); err != nil {
		t.Fatalf("under another name: %v", err)
	}
	signed, err := file.Published(t.Context())
	if err != nil || !strings.HasPrefix(signed, "pawl/restored\n5\n") {
		t.Errorf("then %q is published, %v", signed, err)
	}
	if info, err := os.Stat(string(file)); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file has the mode %v, %v", info.Mode(), err)
	}
}

func TestSealingTrustsNobody(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "pawl.db"))
	write(t, s, "1")
	if err := seal(t, s, tree.Keys{key(1)}); err != nil {
		t.Fatal(err)
	}
	write(t, s, "2")
	if err := seal(t, s, tree.Keys{key(2)}); !errors.Is(err, tree.ErrKey) {
		t.Errorf("with another key: %v", err)
	}
	if err := seal(t, s, tree.Keys{key(2), key(1)}); err != nil { // a key is replaced: both sign
		t.Fatal(err)
	}
	write(t, s, "3")
	if err := seal(t, s, tree.Keys{key(2)}); err != nil {
		t.Errorf("with the new key alone: %v", err)
	}
	all, err := s.Checkpoints(t.Context(), 1, 1)
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, k := range []ed25519.PrivateKey{key(1), key(2)} {
		public, err := tree.Keys{k}.Verifiers(all[0].Origin)
		if err != nil {
			t.Fatal(err)
		}
		v, err := note.NewVerifier(public[0])
		if err != nil {
			t.Fatal(err)
		}
		if origin, at, err := tree.Open(all[0].Note, note.VerifierList(v)); err != nil || origin != all[0].Origin || at.N != 2 {
			t.Errorf("the checkpoint that two keys sign, by one of them: %q %d, %v", origin, at.N, err)
		}
	}
}

func TestKeysAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "pawl.db"))
	file := filepath.Join(dir, "keys", "log.pem")
	if _, err := tree.OpenKeys(t.Context(), s, file, filepath.Join(dir, "old.pem")); !os.IsNotExist(errors.Unwrap(err)) {
		t.Errorf("an older key that is missing: %v", err)
	}
	keys, err := tree.OpenKeys(t.Context(), s, file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file has the mode %v, %v", info.Mode(), err)
	}
	write(t, s, "1")
	if err := seal(t, s, keys); err != nil {
		t.Fatal(err)
	}
	if again, err := tree.OpenKeys(t.Context(), s, file); err != nil || !again[0].Equal(keys[0]) {
		t.Errorf("the key is another one the next time: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.OpenKeys(t.Context(), s, file); !errors.Is(err, tree.ErrKey) {
		t.Errorf("a sealed log whose key is missing: %v", err)
	}
}
