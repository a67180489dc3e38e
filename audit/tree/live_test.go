package tree_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

// exchanged is a store that somebody exchanges under a process that runs.
type exchanged struct{ store.Log }

// hook takes what is posted to it.
type hook struct {
	mu     sync.Mutex
	posted []string
}

func (h *hook) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	doc, _ := io.ReadAll(r.Body)
	h.posted = append(h.posted, string(doc))
}

func newHook(t *testing.T) (*hook, tree.Place) {
	t.Helper()
	h := &hook{}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	place, err := tree.NewWebhook(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return h, place
}

// witnessed is a log's only witness.
func witnessed(t *testing.T, s store.Log, keys tree.Keys) (*aWitness, tree.Policy) {
	t.Helper()
	origins, err := s.Origins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known, err := keys.Known(origins[0])
	if err != nil {
		t.Fatal(err)
	}
	w := newWitness(t, "north", known)
	public, _ := w.public()
	p, err := policy(t, fmt.Sprintf("witness n %s %s/sub\nquorum n\n", public, w.URL))
	if err != nil {
		t.Fatal(err)
	}
	return w, p
}

func lastSize(t *testing.T, s store.Log) int64 {
	t.Helper()
	c, err := s.LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Size
}

// sealedTwo is the file of a store with a log of two sealed entries.
func sealedTwo(t *testing.T, keys tree.Keys) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pawl.db")
	s := open(t, path)
	write(t, s, "1", "2")
	if err := errors.Join(seal(t, s, keys), s.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

func copyOf(t *testing.T, whole []byte) *sqlite.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

// TestSealersKnowTheirLog exchanges the store under a sealer that runs: wherever it publishes, and also
// if it does not, it signs no second checkpoint of a size.
func TestSealersKnowTheirLog(t *testing.T) {
	keys := tree.Keys{key(1)}
	whole := sealedTwo(t, keys)
	exchanges := map[string]struct {
		by     func(old, same *sqlite.Store) store.Log
		goesOn bool
	}{
		"an older copy": {func(old, _ *sqlite.Store) store.Log { write(t, old, "3"); return old }, false},
		"an older copy with other entries": {func(old, _ *sqlite.Store) store.Log {
			write(t, old, "3", "another")
			return old
		}, false},
		"an older copy with more entries": {func(old, _ *sqlite.Store) store.Log {
			write(t, old, "3", "4", "5", "6")
			return old
		}, false},
		"another log that somebody else sealed": {func(old, _ *sqlite.Store) store.Log {
			write(t, old, "3", "another", "5", "6")
			if err := seal(t, old, keys); err != nil {
				t.Fatal(err)
			}
			write(t, old, "7")
			return old
		}, false},
		"an empty store": {func(*sqlite.Store, *sqlite.Store) store.Log {
			s := open(t, filepath.Join(t.TempDir(), "pawl.db"))
			write(t, s, "1")
			return s
		}, false},
		"an older copy under another name": {func(old, _ *sqlite.Store) store.Log {
			rename(t, old, "pawl/restored")
			return old
		}, true},
		"the same log, sealed by others": {func(_, same *sqlite.Store) store.Log {
			write(t, same, "5")
			if err := seal(t, same, keys); err != nil {
				t.Fatal(err)
			}
			write(t, same, "6")
			return same
		}, true},
	}
	places := map[string]func(store.Log) []tree.Place{
		"nowhere":   func(store.Log) []tree.Place { return nil },
		"a webhook": func(store.Log) []tree.Place { _, p := newHook(t); return []tree.Place{p} },
		"a file":    func(store.Log) []tree.Place { return []tree.Place{tree.File(filepath.Join(t.TempDir(), "c"))} },
	}
	for name, exchange := range exchanges {
		for where, place := range places {
			s := copyOf(t, whole)
			write(t, s, "3", "4")
			db := &exchanged{s}
			sealer, err := tree.NewSealer(tree.Options{Store: db, Keys: keys, Places: place(db)})
			if err == nil {
				_, err = sealer.Seal(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			db.Log = exchange.by(copyOf(t, whole), s)
			before := lastSize(t, db)
			_, err = sealer.Seal(t.Context())
			if exchange.goesOn && (err != nil || lastSize(t, db) <= before) || !exchange.goesOn && (!errors.Is(err, tree.ErrAhead) || lastSize(t, db) != before) {
				t.Errorf("%s, published to %s: %d entries are sealed, %d before: %v", name, where, lastSize(t, db), before, err)
			}
		}
	}
}

// TestWitnessesThatAreDown restarts beside an older copy while the witness can't be asked.
func TestWitnessesThatAreDown(t *testing.T) {
	keys := tree.Keys{key(1)}
	whole := sealedTwo(t, keys)
	s, old := copyOf(t, whole), copyOf(t, whole)
	w, p := witnessed(t, s, keys)
	write(t, s, "3", "4")
	if err := seal(t, s, keys, tree.NewWitnesses(p, s)); err != nil {
		t.Fatal(err)
	}
	write(t, old, "3", "another")
	sealer, err := tree.NewSealer(tree.Options{Store: old, Keys: keys, Places: []tree.Place{tree.NewWitnesses(p, old)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, down := range []bool{true, true, false, true} {
		w.mu.Lock()
		w.down = down
		w.mu.Unlock()
		if _, err := sealer.Seal(t.Context()); err == nil || errors.Is(err, tree.ErrAhead) == down || lastSize(t, old) != 2 {
			t.Errorf("the witness is down: %v; %d are sealed: %v", down, lastSize(t, old), err)
		}
	}
}

// TestFirstCheckpoint seals a log that has no checkpoint yet while the witness is down: the first one is
// signed, since there is nothing to ask with, and no other before the witness has answered.
func TestFirstCheckpoint(t *testing.T) {
	keys := tree.Keys{key(1)}
	s := open(t, filepath.Join(t.TempDir(), "pawl.db"))
	w, p := witnessed(t, s, keys)
	sealer, err := tree.NewSealer(tree.Options{Store: s, Keys: keys, Places: []tree.Place{tree.NewWitnesses(p, s)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.Seal(t.Context()); err != nil {
		t.Errorf("nothing is there: %v", err)
	}
	for i, step := range []struct {
		down bool
		size int64
	}{{true, 1}, {true, 1}, {false, 3}, {true, 4}, {true, 5}} {
		w.mu.Lock()
		w.down = step.down
		w.mu.Unlock()
		write(t, s, fmt.Sprint(i))
		if _, err := sealer.Seal(t.Context()); (err != nil) != step.down || lastSize(t, s) != step.size {
			t.Errorf("step %d: %d are sealed, want %d: %v", i, lastSize(t, s), step.size, err)
		}
	}
}

// TestLateWitnesses seals while the witness is down: what it signs later is published, too, and once.
func TestLateWitnesses(t *testing.T) {
	keys := tree.Keys{key(1)}
	s := copyOf(t, sealedTwo(t, keys))
	w, p := witnessed(t, s, keys)
	posted, webhook := newHook(t)
	file := tree.File(filepath.Join(t.TempDir(), "checkpoint"))
	sealer, err := tree.NewSealer(tree.Options{Store: s, Keys: keys, Places: []tree.Place{tree.NewWitnesses(p, s), file, webhook}})
	if err == nil {
		_, err = sealer.Seal(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "3")
	for i, step := range []struct {
		down   bool
		signed string // by whom the file is, beside the log
		posted int
	}{{true, "", 2}, {true, "", 2}, {false, "north", 3}, {false, "north", 3}, {true, "north", 3}} {
		w.mu.Lock()
		w.down = step.down
		w.mu.Unlock()
		_, err := sealer.Seal(t.Context())
		if (err != nil) != (step.signed == "") || lastSize(t, s) != 3 {
			t.Errorf("step %d: %d are sealed, %v", i, lastSize(t, s), err)
		}
		signed, err := file.Published(t.Context())
		if err != nil || strings.Contains(signed, "\n— north ") != (step.signed != "") || !strings.Contains(signed, "\n3\n") {
			t.Errorf("step %d: the file holds %q, %v", i, signed, err)
		}
		if len(posted.posted) != step.posted || step.posted == 3 && posted.posted[2] != signed {
			t.Errorf("step %d: %q were posted", i, posted.posted)
		}
	}
}
