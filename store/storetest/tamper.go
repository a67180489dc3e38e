package storetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/audit/verify"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/mod/sumdb/note"
)

// Tampered changes the log in the database itself, in every way, and checks that it is found: by a
// verifier, and for single rows at once when they are read. open makes an empty store whose triggers
// are off, and returns what runs SQL of both databases, in which the tables of Pawl begin with pawl.
func Tampered(t *testing.T, open func(t *testing.T) (s store.Store, run func(sql string))) {
	const last = `(SELECT max(seq) FROM pawl.entries)`
	at := func(n int) string { // the first of its three, which are sealed together, is number 0, 3 or 6
		return fmt.Sprintf("(SELECT s.entry + %d FROM pawl.sealed AS s WHERE s.log_index = %d)", n%3, n-n%3)
	}
	for _, c := range []struct {
		name string
		sql  []string
		want verify.Fault // empty: nothing is wrong
		at   int64        // the number of the bad entry; -1: none is named
		seen bool         // whoever reads the entry sees it at once
	}{
		{"nothing", nil, "", 0, false},
		{"nothing, in a log that was sealed with a row for each entry", []string{
			`INSERT INTO pawl.sealed (log_index, entry, leaf, more) SELECT log_index + 1, entry + 1, substr(more, 1, 32), substr(more, 1, 0) ` +
				`FROM pawl.sealed WHERE log_index = 3`,
			`INSERT INTO pawl.sealed (log_index, entry, leaf, more) SELECT log_index + 2, entry + 2, substr(more, 33, 32), substr(more, 1, 0) ` +
				`FROM pawl.sealed WHERE log_index = 3`,
			`UPDATE pawl.sealed SET more = substr(more, 1, 0) WHERE log_index = 3`,
		}, "", 0, false},
		{"a payload removed, without its hash", []string{`UPDATE pawl.entries SET payload = NULL, salt = NULL WHERE seq = ` + at(3)},
			verify.Edited, 3, true},
		{"a salt removed", []string{`UPDATE pawl.entries SET salt = NULL WHERE seq = ` + at(3)}, verify.Edited, 3, true},
		{"a payload", []string{`UPDATE pawl.entries SET payload = metadata WHERE seq = ` + at(3)}, verify.Edited, 3, true},
		{"a payload of one behind it", []string{`UPDATE pawl.entries SET payload = metadata WHERE seq = ` + at(5)}, verify.Edited, 5, true},
		{"what is sealed of one behind it", []string{`UPDATE pawl.sealed SET more = substr(more, 33) WHERE log_index = 3`},
			verify.Edited, 4, true},
		{"a kind", []string{`UPDATE pawl.entries SET kind = 'call.blocked' WHERE seq = ` + at(3)}, verify.Edited, 3, true},
		{"a call", []string{`UPDATE pawl.entries SET call = 'another' WHERE seq = ` + at(3)}, verify.Edited, 3, true},
		{"another entry in its place", []string{ // with fitting hashes
			`UPDATE pawl.entries SET call = 'gone' WHERE seq = ` + last,
			`UPDATE pawl.entries SET call = 'later', step = '1', (metadata, leaf, payload) = (SELECT e.metadata, e.leaf, e.payload ` +
				`FROM pawl.entries AS e WHERE e.seq = ` + last + `) WHERE seq = ` + at(3),
		}, verify.Edited, 3, true},
		{"an entry and what is sealed of it", []string{
			`UPDATE pawl.sealed SET leaf = (SELECT e.leaf FROM pawl.entries AS e WHERE e.seq = ` + last + `) WHERE log_index = 3`,
		}, verify.Edited, 3, true},
		{"an entry deleted", []string{`DELETE FROM pawl.entries WHERE seq = ` + at(3)}, verify.Deleted, 3, false},
		{"an entry deleted, with its number", []string{
			`DELETE FROM pawl.entries WHERE seq = ` + at(3),
			`UPDATE pawl.sealed SET log_index = 4, entry = entry + 1, leaf = substr(more, 1, 32), more = substr(more, 33) WHERE log_index = 3`,
		}, verify.Deleted, 3, false},
		{"the first entry deleted", []string{`DELETE FROM pawl.entries WHERE seq = ` + at(0)}, verify.Deleted, 0, false},
		{"an entry that loses its number", []string{`UPDATE pawl.sealed SET more = substr(more, 1, 32) WHERE log_index = 3`},
			verify.Inserted, -1, false},
		{"an entry in front of all others", []string{`UPDATE pawl.entries SET seq = -9223372036854775808 WHERE seq = ` + last},
			verify.Inserted, -1, false},
		{"entries that lose their numbers", []string{`DELETE FROM pawl.sealed WHERE log_index = 3`}, verify.Inserted, -1, false},
		{"the end cut off", []string{
			`DELETE FROM pawl.entries WHERE seq >= ` + at(8), `UPDATE pawl.sealed SET more = substr(more, 1, 32) WHERE log_index = 6`,
		}, verify.Truncated, 8, false},
		{"the end cut off, with its checkpoint", []string{
			`DELETE FROM pawl.entries WHERE seq >= ` + at(6), `DELETE FROM pawl.sealed WHERE log_index >= 6`,
			`DELETE FROM pawl.checkpoints WHERE size > 6`,
		}, verify.RolledBack, 6, false},
		{"the end cut off, and another name", []string{
			`DELETE FROM pawl.entries WHERE seq >= ` + at(6), `DELETE FROM pawl.sealed WHERE log_index >= 6`,
			`DELETE FROM pawl.checkpoints WHERE size > 6`, `INSERT INTO pawl.origins (origin) VALUES ('pawl/other')`,
		}, verify.RolledBack, 6, false},
		{"another name", []string{`INSERT INTO pawl.origins (origin) VALUES ('pawl/other')`}, "", 0, false},
		{"everything deleted", []string{
			`DELETE FROM pawl.entries WHERE seq > 0`, `DELETE FROM pawl.sealed WHERE log_index >= 0`,
			`DELETE FROM pawl.checkpoints WHERE size > 0`,
		}, verify.RolledBack, 0, false},
		{"entries exchanged", []string{
			`UPDATE pawl.sealed SET log_index = -1 WHERE log_index = 3`, `UPDATE pawl.sealed SET log_index = 3 WHERE log_index = 6`,
			`UPDATE pawl.sealed SET log_index = 6 WHERE log_index = -1`,
		}, verify.Reordered, 3, false},
		{"the last checkpoint deleted", []string{`DELETE FROM pawl.checkpoints WHERE size = 9`}, verify.Forged, 6, false},
		{"a checkpoint forged", []string{`UPDATE pawl.checkpoints SET note = replace(note, 'pawl/', 'paws/') WHERE size = 9`}, verify.Forged, -1, false},
		{"a checkpoint of another size", []string{
			`UPDATE pawl.checkpoints SET note = (SELECT c.note FROM pawl.checkpoints AS c WHERE c.size = 6) WHERE size = 9`,
		}, verify.Forged, -1, false},
		{"the root of a checkpoint", []string{`UPDATE pawl.checkpoints SET root = (SELECT e.leaf FROM pawl.entries AS e WHERE e.seq = ` +
			last + `) WHERE size = 9`}, verify.Forged, -1, false},
		{"the name of a checkpoint", []string{`UPDATE pawl.checkpoints SET origin = 'pawl/other' WHERE size = 9`}, verify.Forged, -1, false},
		{"witnesses' signatures that are none", []string{`UPDATE pawl.checkpoints SET cosigned = 'garbage' WHERE size = 9`}, verify.Forged, -1, false},
		{"witnesses' signatures that can't be read", []string{
			`UPDATE pawl.checkpoints SET cosigned = note || 'garbage' WHERE size = 9`,
		}, verify.Forged, -1, false},
		{"witnesses' signatures of another note", []string{
			`UPDATE pawl.checkpoints SET cosigned = (SELECT c.note FROM pawl.checkpoints AS c WHERE c.size = 3) WHERE size = 6`,
		}, verify.Forged, -1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, run := open(t)
			for i := range 3 {
				var batch []audit.Entry
				for j := range 3 {
					batch = append(batch, entry(t, fmt.Sprintf("call-%d", i), fmt.Sprint(j), audit.KindRefused))
				}
				appendAll(t, s, batch...)
				if err := Seal(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			before, err := s.LastCheckpoint(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			appendAll(t, s, entry(t, "later", "1", audit.KindRefused)) // which is not sealed
			for _, sql := range c.sql {
				run(sql)
			}
			r, err := verify.Run(t.Context(), verify.FromStore(s), verify.Options{
				Known: LogKeys(t, before.Origin), State: verify.State{before.Origin: before.Note},
			})
			if err != nil {
				t.Fatal(err)
			}
			found := verify.Fault("")
			if r.Problem != nil {
				found = r.Problem.Fault
				if index := r.Problem.Index; c.at >= 0 && (index == nil || *index != c.at) || c.at < 0 && index != nil {
					t.Errorf("the bad entry is %v, want number %d: %v", index, c.at, r.Problem)
				}
			}
			if found != c.want || r.OK != (c.want == "") {
				t.Errorf("found %v; want %q", r.Problem, c.want)
			}
			exportTampered(t, s, before, c.name, c.want != "")
			shown := damagedIn(t, s, store.EntryQuery{Newest: true})
			if (len(shown) > 0) != c.seen {
				t.Errorf("a list shows %d damaged entries", len(shown))
			}
			for _, e := range shown {
				is := func(d audit.Entry) bool { return d.Subject == e.Subject && d.Step == e.Step && d.Damage == e.Damage }
				for way, q := range map[string]store.EntryQuery{
					"in the order written": {}, "of one call": {Subject: e.Subject}, "of one kind": {Kind: e.Kind},
					"of a time": {Since: e.At, Until: e.At.Add(1000), Newest: true}, "on a page of one": {Subject: e.Subject, Limit: 1},
				} {
					if !slices.ContainsFunc(damagedIn(t, s, q), is) {
						t.Errorf("nothing is wrong with entry %s/%s when it is read %s", e.Subject, e.Step, way)
					}
				}
				rows, err := s.Rows(t.Context(), 0, 100)
				if err != nil || !slices.ContainsFunc(rows, func(r store.LogRow) bool { return is(r.Entry) }) {
					t.Errorf("nothing is wrong with entry %s/%s when it is exported: %v", e.Subject, e.Step, err)
				}
			}
			// A sealer never signs what follows from a forged end.
			appendAll(t, s, entry(t, "later", "2", audit.KindRefused))
			err = Seal(t.Context(), s)
			end := strings.Contains(c.name, "checkpoint") && c.want != verify.RolledBack || strings.Contains(c.name, "name")
			if end && err == nil {
				t.Error("the log was sealed on")
			}
		})
	}
}

// TamperedTree changes the hashes that are kept of the tree: a verifier finds that, though the entries are
// as they were. open is that of Tampered.
func TamperedTree(t *testing.T, open func(t *testing.T) (s store.Store, run func(sql string))) {
	const entries = 2<<store.NodeLevels + 1
	for name, sql := range map[string]string{
		"nothing": "",
		// There verify ends, and does not begin again.
		"nothing, with the last place taken": `UPDATE pawl.entries SET seq = 9223372036854775807 WHERE call = 'later'`,

		"a hash":  `UPDATE pawl.nodes SET hash = (SELECT leaf FROM pawl.sealed WHERE log_index = 0) WHERE n = 1`,
		"no hash": `DELETE FROM pawl.nodes WHERE n = 0`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, run := open(t)
			var all []audit.Entry
			for i := range entries {
				all = append(all, entry(t, "call", fmt.Sprint(i), audit.KindRefused))
			}
			appendAll(t, s, all...)
			if err := Seal(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			appendAll(t, s, entry(t, "later", "1", audit.KindRefused))
			if sql != "" {
				run(sql)
			}
			origins, err := s.Origins(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r, err := verify.Run(t.Context(), verify.FromStore(s), verify.Options{Known: LogKeys(t, origins[0])})
			if err != nil || r.Unsealed != 1 && r.OK || r.OK != strings.HasPrefix(name, "nothing") || !r.OK && (r.Problem.Fault != verify.Edited || !strings.Contains(r.Problem.Message, "pawl.nodes")) {
				t.Errorf("%+v, %v, %v", r, r.Problem, err)
			}
		})
	}
}

// DamagedRow makes a row that can't be read: what reads it says so, without what it holds, and a list goes on
// behind it. s and run are as open of Tampered gives them.
func DamagedRow(t *testing.T, s store.Store, run func(sql string)) {
	t.Helper()
	admit(t, s, waiting(t, "behind"))
	admit(t, s, waiting(t, "a"))
	run(`UPDATE pawl.calls SET view = '{"status":5,"secret":"hidden"}' WHERE id = 'a'`)
	_, err := s.Call(t.Context(), "a")
	if !errors.Is(err, store.ErrDamaged) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a view that can't be read: %v, want %v without its content", err, store.ErrDamaged)
	}
	if _, fresh, err := s.Admit(t.Context(), waiting(t, "a")); !errors.Is(err, store.ErrDamaged) || fresh {
		t.Errorf("Admit of that call again: fresh %v, %v", fresh, err)
	}
	page, err := s.Calls(t.Context(), store.CallQuery{Limit: 1})
	if !errors.Is(err, store.ErrDamagedRow) || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "call a: ") {
		t.Errorf("a list with a view that can't be read: %v, want %v of that call without its content", err, store.ErrDamagedRow)
	}
	page, err = s.Calls(t.Context(), store.CallQuery{Limit: 1, Cursor: page.Next})
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != "behind" {
		t.Errorf("the page behind it has %v, %v", page.Items, err)
	}
}

// notExported are columns of a checkpoint beside what was signed of it. No export has them, so that it
// is as it should be when they are changed.
var notExported = []string{"the root of a checkpoint", "the name of a checkpoint"}

// exportTampered exports a log as the API does, and has both verifiers find what is wrong with it by the
// export alone and a checkpoint that was published: the one in Go, and the one in Python.
func exportTampered(t *testing.T, s store.Store, published store.Checkpoint, name string, wrong bool) {
	t.Helper()
	last, err := s.LastCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var export bytes.Buffer
	x, to := store.Exporter{Log: s, Sealed: last.Size, Whole: true}, json.NewEncoder(&export)
	to.SetEscapeHTML(false)
	walk(t, func(cursor string) string {
		page, err := s.Entries(t.Context(), store.EntryQuery{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		lines, err := x.Lines(t.Context(), page.Items)
		for _, line := range lines {
			err = errors.Join(err, to.Encode(line))
		}
		if err != nil {
			t.Fatal(err)
		}
		return page.Next
	})
	public, err := tree.Keys{LogKey}.Verifiers(published.Origin)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key, checkpoint, file := filepath.Join(dir, "key"), filepath.Join(dir, "checkpoint"), filepath.Join(dir, "export")
	for path, text := range map[string]string{key: public[0], checkpoint: published.Note, file: export.String()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := verify.Run(t.Context(), verify.FromExport(&export), verify.Options{
		Known: LogKeys(t, published.Origin), State: verify.State{published.Origin: published.Note},
	})
	if err != nil {
		t.Fatal(err)
	}
	if wrong = wrong && !slices.Contains(notExported, name); wrong == r.OK {
		t.Errorf("in the export: %+v, %v", r, r.Problem)
	}
	want := ": ok: "
	if r.Problem != nil {
		want = ": NOT OK: " + string(r.Problem.Fault) + ": "
	}
	out, err := exec.Command("python3", "../../examples/verify/verify.py", "--key", key, "--checkpoint", checkpoint, file).CombinedOutput()
	if !strings.Contains(string(out), want) || (err != nil) != wrong {
		t.Errorf("of the export Python says %q, %v; want %q", out, err, want)
	}
}

// damagedIn are the entries that a list shows as damaged, on all of its pages.
func damagedIn(t *testing.T, s store.Store, q store.EntryQuery) (damaged []audit.Entry) {
	t.Helper()
	walk(t, func(cursor string) string {
		q.Cursor = cursor
		page, err := s.Entries(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			if e.Damage != "" {
				damaged = append(damaged, e)
			}
		}
		return page.Next
	})
	return damaged
}

// LogKeys are the public half of LogKey, for a log of some name.
func LogKeys(t *testing.T, origin string) note.Verifiers {
	t.Helper()
	known, err := tree.Keys{LogKey}.Known(origin)
	if err != nil {
		t.Fatal(err)
	}
	return known
}

// EntriesChanged checks that entries which somebody changed in the database are read, each with
// what does not fit. change sets a column of the entry with a step, as somebody may who owns the
// tables: what protects rows from changes does not hold for them.
func EntriesChanged(t *testing.T, s store.Store, change func(step, column string, value any)) {
	const leaf = "it differs from its leaf hash"
	cases := []struct {
		step, column string
		value        any
		damage       string
	}{
		{"untouched", "", nil, ""},
		{"removed", "payload", nil, leaf}, // retention leaves its hash
		{"payload", "payload", []byte(`{"note":"another"}`), leaf},
		{"no JSON", "payload", []byte("\xff{"), leaf},
		{"salt", "salt", make([]byte, 16), leaf},
		{"kind", "kind", string(audit.KindEnded), leaf},
		{"metadata", "metadata", []byte(`{}`), "its format 0 is not known to this version"},
		{"leaf", "leaf", make([]byte, 32), leaf},
	}
	for _, c := range cases {
		appendAll(t, s, entry(t, "a", c.step, audit.KindRefused))
		if c.column != "" {
			change(c.step, c.column, c.value)
		}
	}
	page, err := s.Entries(t.Context(), store.EntryQuery{Subject: "a"})
	if err != nil || len(page.Items) != len(cases) {
		t.Fatalf("%d entries, %v; want %d", len(page.Items), err, len(cases))
	}
	for i, c := range cases {
		if e := page.Items[i]; e.Step != c.step || e.Damage != c.damage {
			t.Errorf("%s: damage %q, want %q", c.step, e.Damage, c.damage)
		}
	}
}
