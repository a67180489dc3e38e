package verify_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/audit/verify"
	"github.com/pawlhq/pawl/store/sqlite"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// TestSeenBefore compares logs with what was seen, and with what was published.
func TestSeenBefore(t *testing.T) {
	honest := log(t, nil)
	fork := log(t, func(i int, e *audit.Entry) {
		if i == 70 {
			*e = anEntry(t, 999)
		}
	})
	short := slices.Concat(honest[:82], nil)
	k, public := known(t)
	for _, c := range []struct {
		name  string
		seen  string
		lines []string
		want  verify.Fault
	}{
		{"the same", noteOf(t, honest[102]), honest, ""},
		{"an earlier one", noteOf(t, honest[81]), honest, ""},
		{"between two checkpoints", rawBetween(t, honest), honest, ""},
		{"a later one", noteOf(t, honest[102]), short, verify.RolledBack},
		{"another one of that size", noteOf(t, fork[102]), honest, verify.Forked},
		{"another one before", noteOf(t, fork[81]), honest, verify.Forked},
		{"the same before the fork", noteOf(t, fork[40]), honest, ""},
	} {
		o := verify.Options{Known: k, State: verify.State{"pawl/test": c.seen}}
		others := verify.Options{Known: k, Others: []verify.Seen{{Signed: c.seen, From: "a file"}}}
		for _, o := range []verify.Options{o, others} {
			r, err := verify.Run(t.Context(), verify.FromExport(strings.NewReader(strings.Join(c.lines, ""))), o)
			if err != nil || r.OK != (c.want == "") || c.want != "" && (r.Problem == nil || r.Problem.Fault != c.want) {
				t.Errorf("%s: %+v %v, %v; want %q", c.name, r, r.Problem, err, c.want)
			}
		}
		published := filepath.Join(t.TempDir(), "published")
		if err := os.WriteFile(published, []byte(c.seen), 0o600); err != nil {
			t.Fatal(err)
		}
		python(t, public, c.want, c.lines, "--checkpoint", published)
	}
	if _, err := verify.Run(t.Context(), verify.FromExport(strings.NewReader("")), verify.Options{Known: k,
		Others: []verify.Seen{{Signed: "no note", From: "a file"}}}); err == nil || !strings.Contains(err.Error(), "a file") {
		t.Errorf("a published checkpoint that is none: %v", err)
	}
	for _, bad := range []string{"{}\n", "x\n", `{"call_id":"a"}` + "\n"} {
		if _, err := verify.Run(t.Context(), verify.FromExport(strings.NewReader(bad)), verify.Options{Known: k}); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("the export %q: %v", bad, err)
		}
	}
}

// rawBetween is a checkpoint of 50 entries of a log.
func rawBetween(t *testing.T, lines []string) string {
	t.Helper()
	var r tree.Range
	for _, line := range lines[:51] {
		e, checkpoint, err := audit.ReadExport([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if checkpoint == "" {
			r.Add(tlog.Hash(e.Leaf), nil)
		}
	}
	return rawSigned(t, "pawl/test", 50, r.Root(), logKey)
}

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "state.json")
	if s, err := verify.ReadState(path); err != nil || s == nil || len(s) != 0 {
		t.Errorf("a state that is not there: %v, %v", s, err)
	}
	if err := (verify.State{"a": "b"}).Write(path); err != nil {
		t.Fatal(err)
	}
	if s, err := verify.ReadState(path); err != nil || s["a"] != "b" {
		t.Errorf("then it is %v, %v", s, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := verify.ReadState(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a state that is no JSON: %v", err)
	}
}

// TestLongLog verifies an honest log of longLog entries, and one that was changed near its end, in the
// store and as an export; Python agrees. Meanwhile it says how far it is, and needs no more memory than
// for a tenth of that.
func TestLongLog(t *testing.T) {
	const size = longLog
	s, short := sealed(t, size, 4096), sealed(t, size/10, 4096)
	needsNoMore(t, "the store", verify.FromStore(short), verify.FromStore(s), knownOf(t, short), knownOf(t, s))
	var told []int64
	o := verify.Options{Known: knownOf(t, s), Progress: func(n int64) { told = append(told, n) }}
	began := time.Now()
	r, err := verify.Run(t.Context(), verify.FromStore(s), o)
	if err != nil || !r.OK || r.Size != size || r.Signed != (size+4095)/4096 || r.Unsealed != 2 {
		t.Fatalf("the store: %+v, %v", r, err)
	}
	t.Logf("from the store: %.0f entries/s", size/time.Since(began).Seconds())
	for i, n := range told {
		if n != int64(i+1)*10_000 {
			t.Errorf("progress is %d", told)
			break
		}
	}
	if len(told) != size/10_000 {
		t.Errorf("progress was told %d times", len(told))
	}
	needsNoMore(t, "an export", exportFile(t, short), exportFile(t, s), knownOf(t, short), knownOf(t, s))
	lines := export(t, s)
	whole := strings.Join(lines, "")
	began = time.Now()
	exported, err := verify.Run(t.Context(), verify.FromExport(strings.NewReader(whole)), o)
	if err != nil || !exported.OK || exported.Root != r.Root || exported.Size != size {
		t.Errorf("the export: %+v, %v", exported, err)
	}
	t.Logf("from an export: %.0f entries/s", size/time.Since(began).Seconds())
	python(t, publicOf(t, s), "", lines)

	tampered := strings.Replace(whole, fmt.Sprintf(`an \"a\" %d, `, size-2), fmt.Sprintf(`an \"b\" %d, `, size-2), 1)
	r, err = verify.Run(t.Context(), verify.FromExport(strings.NewReader(tampered)), o)
	if err != nil || r.Problem == nil || r.Problem.Fault != verify.Edited || *r.Problem.Index != size-2 {
		t.Errorf("the export with one letter changed: %+v, %v", r, err)
	}
	python(t, publicOf(t, s), verify.Edited, []string{tampered})
}

// exportFile is a log in a file.
func exportFile(t *testing.T, s *sqlite.Store) verify.Source {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "log.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	for _, line := range export(t, s) {
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return verify.FromExport(f)
}

// needsNoMore verifies two logs and compares how much of Go's heap is in use at most meanwhile.
func needsNoMore(t *testing.T, from string, short, long verify.Source, ofShort, ofLong note.Verifiers) {
	t.Helper()
	little, much := &weighed{Source: short}, &weighed{Source: long}
	for i, w := range []*weighed{little, much} {
		before := inUse()
		r, err := verify.Run(t.Context(), w, verify.Options{Known: []note.Verifiers{ofShort, ofLong}[i]})
		if err != nil || !r.OK {
			t.Fatalf("%s: %+v, %v", from, r, err)
		}
		w.most -= min(w.most, before)
	}
	t.Logf("%s: at most %d KiB in use for %d items, %d KiB for %d", from, little.most>>10, little.items, much.most>>10, much.items)
	if much.items < 9*little.items || little.most == 0 || much.most > 2*little.most {
		t.Errorf("%s: the heap grows with the log", from)
	}
}

// weighed is a source beside which the heap is weighed now and then.
type weighed struct {
	verify.Source
	items int
	most  uint64 // bytes in use
}

func (w *weighed) Next(ctx context.Context) (*audit.Entry, string, error) {
	e, signed, err := w.Source.Next(ctx)
	if w.items++; w.items%1999 == 0 {
		w.most = max(w.most, inUse())
	}
	return e, signed, err
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC() // what pools and finalizers still held goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
