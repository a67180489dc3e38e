package storetest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/mod/sumdb/tlog"
)

// LogKey is a key that seals logs in tests.
var LogKey = ed25519.NewKeyFromSeed([]byte("a seed of 32 bytes, for tests...")[:ed25519.SeedSize])

// Seal seals all of a log.
func Seal(ctx context.Context, s store.Log) error {
	sealer, err := tree.NewSealer(tree.Options{Store: s, Keys: tree.Keys{LogKey}})
	for more := true; err == nil && more; {
		more, err = sealer.Seal(ctx)
	}
	return err
}

// Log reads the whole log, and fails unless it is sealed whole, each entry once, and its tree and its
// checkpoints fit. It returns the entries by their index.
func Log(t *testing.T, s store.Store) (entries []audit.Entry) {
	t.Helper()
	var r tree.Range
	checkpoints := map[int64]store.Checkpoint{}
	last, err := s.LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Checkpoints(t.Context(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		checkpoints[c.Size] = c
	}
	for place := int64(0); ; {
		rows, err := s.Rows(t.Context(), place, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			e := row.Entry
			if e.Damage != "" || e.Index == nil || *e.Index != int64(len(entries)) {
				t.Fatalf("%s/%s at place %d has index %v, and is number %d: %s", e.Subject, e.Step, row.Place, e.Index, len(entries), e.Damage)
			}
			entries, place = append(entries, e), row.Place+1
			r.Add(tlog.Hash(e.Leaf), nil)
			if c, ok := checkpoints[r.Size()]; ok && c.Root != audit.Hash(r.Root()) {
				t.Errorf("the checkpoint of %d entries has another root", c.Size)
			}
		}
	}
	if r.Size() != last.Size {
		t.Fatalf("%d entries are there, and the last checkpoint is of %d", r.Size(), last.Size)
	}
	if r.Size() == 0 {
		return nil
	}
	nodes := tree.Nodes(func(level int, from, to int64) ([]audit.Hash, error) { return s.Nodes(t.Context(), level, from, to) })
	root, err := tlog.TreeHash(last.Size, nodes)
	if err != nil || root != r.Root() {
		t.Errorf("the stored tree has the root %v, %v; want %v", root, err, r.Root())
	}
	return entries
}

func logSealed(t *testing.T, s store.Store) {
	if c, err := s.LastCheckpoint(t.Context()); err != nil || c.Size != 0 {
		t.Fatalf("a new log has the checkpoint %+v, %v", c, err)
	}
	seal := func() {
		t.Helper()
		if err := Seal(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	seal() // nothing
	admit(t, s, waiting(t, "a"))
	admit(t, s, allowed(t, "b"))
	if n, since, err := s.Unsealed(t.Context()); err != nil || n != 3 || !since.Equal(after(1)) {
		t.Errorf("unsealed: %d since %v, %v", n, since, err)
	}
	_, err := s.IndexOf(t.Context(), "b", "claimed")
	fails(t, "the index of an entry that is not sealed", err, store.ErrNotFound)
	seal()
	seal() // and nothing more
	if got := Log(t, s); len(got) != 3 {
		t.Errorf("%d entries are sealed", len(got))
	}
	if n, since, err := s.Unsealed(t.Context()); err != nil || n != 0 || !since.IsZero() {
		t.Errorf("then unsealed: %d since %v, %v", n, since, err)
	}
	if index, err := s.IndexOf(t.Context(), "b", "claimed"); err != nil || index != 2 {
		t.Errorf("the index is %d, %v", index, err)
	}
	page := entries(t, s, store.EntryQuery{Subject: "b", Limit: 1})
	if e := page.Items[0]; e.Index == nil || *e.Index != 1 || e.Damage != "" {
		t.Errorf("the list shows %v, %q", e.Index, e.Damage)
	}
	first, err := s.LastCheckpoint(t.Context())
	if err != nil || first.Size != 3 || first.Cosigned != "" {
		t.Errorf("the checkpoint is %+v, %v", first, err)
	}
	if err := s.Cosign(t.Context(), 3, first.Note+"cosigned"); err != nil {
		t.Error(err)
	}
	fails(t, "cosigning what is not there", s.Cosign(t.Context(), 2, first.Note), store.ErrNotFound)

	origins, err := s.Origins(t.Context())
	if err != nil || len(origins) != 1 {
		t.Fatalf("origins %q, %v", origins, err)
	}
	if err := s.Cosign(t.Context(), 3, "signed by others"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("cosigning another note: %v", err)
	}
	for _, c := range []struct {
		step string
		is   audit.Payload
		want string // empty: it is renamed
	}{
		{"an entry of another kind", audit.TokenCreated{}, "not one of a log"},
		{"from another name", audit.LogRenamed{Origin: "another", Previous: "pawl/x", Size: 3}, store.ErrSealing.Error()},
		{"after another size", audit.LogRenamed{Origin: "another", Previous: origins[0], Size: 2}, store.ErrSealing.Error()},
		{"as it is", audit.LogRenamed{Origin: "another", Previous: origins[0], Size: 3}, ""},
		{"again, as it was", audit.LogRenamed{Origin: "more", Previous: origins[0], Size: 3}, store.ErrSealing.Error()},
		{"to a name that it had", audit.LogRenamed{Origin: origins[0], Previous: "another", Size: 3}, "origin"},
	} {
		e, err := audit.New(audit.SubjectLog, c.step, after(9), c.is)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RenameLog(t.Context(), e); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.step, err, c.want)
		}
	}
	if found, err := s.Renames(t.Context()); err != nil || len(found) != 1 || found[0].Previous != origins[0] || found[0].Origin != "another" {
		t.Errorf("the names were changed like %+v, %v", found, err)
	}
	seal()
	all, err := s.Checkpoints(t.Context(), 0, 10)
	if err != nil || len(all) != 2 || all[0].Cosigned != first.Note+"cosigned" || all[0].Origin != origins[0] || all[1].Origin != "another" {
		t.Errorf("the checkpoints are %+v, %v", all, err)
	}
	if some, err := s.Checkpoints(t.Context(), 3, 1); err != nil || len(some) != 1 || some[0].Size != 4 {
		t.Errorf("after the first one: %+v, %v", some, err)
	}
	failed := errors.New("no")
	appendAll(t, s, entry(t, "a", "more", audit.KindRefused))
	_, err = s.Seal(t.Context(), 10, func(store.Sealing) (store.Sealed, error) { return store.Sealed{}, failed })
	fails(t, "Seal", err, failed)
	seal()
	if got := Log(t, s); len(got) != 5 {
		t.Errorf("%d entries are sealed in the end", len(got))
	}
}

// logSealedConcurrently has 64 writers, and two sealers beside them.
func logSealedConcurrently(t *testing.T, s store.Store) {
	const writers, each = 64, 10
	done := make(chan struct{})
	var sealers, writing sync.WaitGroup
	for range 2 {
		sealers.Go(func() {
			for {
				if err := Seal(t.Context(), s); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				e := entry(t, fmt.Sprintf("call-%d", w), fmt.Sprint(i), audit.KindRefused)
				if err := s.Append(t.Context(), e, e); err != nil { // the same twice is one
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	close(done)
	sealers.Wait()
	if err := Seal(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range Log(t, s) {
		if name := e.Subject + "/" + e.Step; seen[name] {
			t.Errorf("%s is there twice", name)
		} else {
			seen[name] = true
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d entries are there, want %d", len(seen), writers*each)
	}
}
