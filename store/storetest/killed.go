package storetest

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pawlhq/pawl/approval"
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

// FullDisk takes the steps of calls on a disk that is full, for which it fills the one that dir is on: a small
// one, where the store keeps what it holds. No step is taken and none is half written: each fails with full,
// and is taken when there is space again.
func FullDisk(t *testing.T, s store.Store, full error, dir string) {
	t.Helper()
	admit(t, s, allowed(t, "permitted"))
	admit(t, s, allowed(t, "runs"))
	use(t, s, using(t, "runs"))
	admit(t, s, waiting(t, "waits"))
	// Entries need pages of their own: there may be room in others.
	large := func(id, step string, kind audit.Kind) []audit.Entry {
		noise := make([]byte, 40<<10) // so that no database makes it small
		_, _ = rand.Read(noise)
		e, err := audit.New(id, step, after(5), Payload{Of: kind, Note: base64.StdEncoding.EncodeToString(noise)})
		if err != nil {
			t.Fatal(err)
		}
		return []audit.Entry{e}
	}
	asked, claim, start, end := allowed(t, "asked"), claiming(t, "waits"), using(t, "permitted"), ending(t, "runs", approval.StatusFailed)
	asked.Entries = large("asked", "requested", audit.KindRequested)
	claim.Entries = large("waits", "claimed", audit.KindClaimed)
	start.Entries = large("permitted", "started", audit.KindStarted)
	end.Entries = large("runs", "ended", audit.KindEnded)
	more := large("waits", "more", audit.KindRefused)
	steps := map[string]func() error{
		"admit":  func() error { _, _, err := s.Admit(t.Context(), asked); return err },
		"claim":  func() error { _, err := s.Claim(t.Context(), claim); return err },
		"use":    func() error { return s.Use(t.Context(), start) },
		"end":    func() error { _, _, err := s.Finish(t.Context(), end); return err },
		"append": func() error { return s.Append(t.Context(), more...) },
		"seal":   func() error { return Seal(t.Context(), s) },
	}
	entries := 0
	state := func() string {
		var all []string
		entries = 0
		for _, id := range []string{"permitted", "runs", "waits", "asked"} {
			r, err := s.Call(t.Context(), id)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
			log := entriesOf(t, s, id)
			entries += len(log)
			all = append(all, fmt.Sprint(id, " ", r.View.Status, r.Permit != nil, r.Permit != nil && !r.Permit.UsedAt.IsZero(), err, len(log)))
		}
		return strings.Join(all, "\n")
	}
	before := state()
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	for name, step := range steps {
		if err := step(); !errors.Is(err, full) {
			t.Errorf("%s on a full disk: %v, want %v", name, err, full)
		}
	}
	if after := state(); after != before {
		t.Errorf("the store held\n%s\nand holds\n%s", before, after)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for name, step := range steps {
		if err := step(); err != nil {
			t.Errorf("%s with space again: %v", name, err)
		}
	}
	if err := Seal(t.Context(), s); err != nil {
		t.Error(err)
	}
	state()
	if got := len(Log(t, s)); got != entries || !strings.Contains(state(), "runs failed") {
		t.Errorf("%d of %d entries are sealed; the store holds\n%s", got, entries, state())
	}
}

// fill has a file take all the room that is left on its disk.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for piece := make([]byte, 4096); err == nil; {
		_, err = f.Write(piece)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
