package storetest

import (
	"fmt"
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/verify"
	"github.com/pawlhq/pawl/store"
)

// Killed appends to a store and seals its log, and has each of their steps fail in turn. arm makes the
// nth step from then on fail, as a connection does that is killed; what it returns ends that, and says
// whether a step has failed. In the end the log must verify.
func Killed(t *testing.T, s store.Store, arm func(n int) (failed func() bool)) {
	t.Helper()
	written := 0
	some := func(name string, count int) []audit.Entry {
		written += count
		var entries []audit.Entry
		for i := range count {
			entries = append(entries, entry(t, name, fmt.Sprint(i), audit.KindRefused))
		}
		return entries
	}
	// each does something again and again, until it has more steps to fail at no longer.
	each := func(what string, least int, prepare func(n int) (do func() error)) {
		t.Helper()
		for n := 1; ; n++ {
			do := prepare(n)
			failed := arm(n)
			err := do()
			hit := failed()
			if err != nil && !hit {
				t.Fatalf("%s: %v", what, err)
			}
			if err != nil {
				err = do() // as whoever gets an error does
			}
			if err != nil {
				t.Fatalf("%s once more after step %d was killed: %v", what, n, err)
			}
			if !hit {
				if n <= least {
					t.Errorf("%s: only %d steps were killed", what, n-1)
				}
				return
			}
		}
	}
	each("append", 1, func(n int) func() error {
		entries := some(fmt.Sprint("append-", n), 2)
		return func() error { return s.Append(t.Context(), entries...) }
	})
	each("seal", 5, func(n int) func() error {
		appendAll(t, s, some(fmt.Sprint("seal-", n), 1<<store.NodeLevels)...)
		return func() error {
			for waiting := 1; waiting > 0; { // for a server that has not noticed yet whose connection is gone: it holds the lock
				err := Seal(t.Context(), s)
				if err == nil {
					waiting, _, err = s.Unsealed(t.Context())
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
	})
	last, err := s.LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := verify.Run(t.Context(), verify.FromStore(s), verify.Options{Known: LogKeys(t, last.Origin)})
	if err != nil || !r.OK || r.Size != int64(written) || r.Unsealed != 0 {
		t.Errorf("the log does not verify: %+v, %v; want %d entries", r, err, written)
	}
	log := Log(t, s) // and the tree that is stored
	seen := map[string]bool{}
	for _, e := range log {
		seen[e.Subject+"/"+e.Step] = true
	}
	if len(log) != written || len(seen) != written {
		t.Errorf("%d entries are sealed, %d different ones; want %d", len(log), len(seen), written)
	}
}
