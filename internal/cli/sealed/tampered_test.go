package sealed_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/store/storetest"
)

// reopen closes the store, lets do have its file, and opens it again.
func (w *world) reopen(t *testing.T, do func()) {
	t.Helper()
	err := w.store.Close()
	if err == nil {
		do()
		w.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: w.file("pawl.db")})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sql changes the store as its owner, whom no trigger keeps from anything.
func (w *world) sql(t *testing.T, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", w.file("pawl.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var triggers []string
	rows, err := db.QueryContext(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'trigger'`)
	for err == nil && rows.Next() {
		var name string
		err = rows.Scan(&name)
		triggers = append(triggers, "DROP TRIGGER "+name)
	}
	if err != nil {
		t.Fatal(errors.Join(err, rows.Err()))
	}
	for _, statement := range append(triggers, statements...) {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// grow writes another entry.
func (w *world) grow(t *testing.T, step string) {
	t.Helper()
	e, err := audit.New("pawl-abcdefgh", step, clitest.Now, storetest.Payload{Of: audit.KindRefused})
	if err = errors.Join(err, w.store.Append(t.Context(), e)); err != nil {
		t.Fatal(err)
	}
}

// cut are statements that cut the log off behind its first two entries, which have a checkpoint.
var cut = []string{
	`DELETE FROM entries WHERE seq > (SELECT entry + 1 FROM sealed WHERE log_index = 0)`, `DELETE FROM sealed WHERE log_index > 1`,
	`DELETE FROM checkpoints WHERE size > 2`,
}

func TestRename(t *testing.T) {
	w := newWorld(t)
	state := w.file("state")
	before := w.run(t, "key").Out
	if err := os.WriteFile(w.file("before.pub"), []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t, "verify", "--state", state).Want(t, cli.ExitDone, nil, nil)
	w.run(t, "rename").Want(t, cli.ExitUsage, nil, []string{"--yes"})
	w.run(t, "rename", "--yes").Want(t, cli.ExitError, nil, []string{"another Pawl process owns it"})
	w.reopen(t, func() {
		w.run(t, "rename", "--yes").Want(t, cli.ExitDone, []string{"the log's name is pawl/"}, nil)
	})
	if after := w.run(t, "key").Out; after == before || !strings.HasPrefix(after, strings.Split(before, "+")[0]+"/") {
		t.Errorf("the key was %q and is %q", before, after)
	}
	w.seal()
	w.run(t, "verify", "--state", state).Want(t, cli.ExitDone, []string{"3 sealed ones", "changes of the log's name: 1"}, nil)
	// Who has the key under the new name only can't check what was signed before.
	key := strings.TrimSpace(w.run(t, "key").Out)
	w.run(t, "verify", "--state", state, "--key", key).Want(t, cli.ExitDone, []string{"signed by a key that you did not give"}, nil)
	w.run(t, "verify", "--state", "-", "--key", w.file("before.pub")).Want(t, cli.ExitError, []string{"forged"}, nil)
}

// TestRenameAfterARestore renames a log whose end is lost, which the auditor has seen.
func TestRenameAfterARestore(t *testing.T) {
	w := newWorld(t)
	backup := w.file("backup")
	copyFile := func(to, from string) {
		t.Helper()
		doc, err := os.ReadFile(from)
		if err = errors.Join(err, os.WriteFile(to, doc, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	w.reopen(t, func() { copyFile(backup, w.file("pawl.db")) })
	for _, step := range []string{"3", "4", "5"} {
		w.grow(t, step)
		w.seal()
	}
	state := w.file("state")
	w.run(t, "verify", "--state", state).Want(t, cli.ExitDone, []string{"5 sealed ones"}, nil)
	w.reopen(t, func() {
		copyFile(w.file("pawl.db"), backup)
		w.run(t, "rename", "--yes").Want(t, cli.ExitDone, nil, nil)
	})
	w.seal()
	w.run(t, "verify", "--state", state).Want(t, cli.ExitError, []string{"NOT OK: rolled_back", "was renamed to", "after 2 entries"}, nil)
	w.run(t, "verify", "--state", state, "--renamed").Want(t, cli.ExitDone, []string{"3 sealed ones"}, nil)
	w.grow(t, "another")
	w.seal()
	w.run(t, "verify", "--state", state).Want(t, cli.ExitDone, []string{"4 sealed ones"}, nil)
}

// TestAnotherNameInTheDatabase has somebody cut the log off and give it another name, in the database.
func TestAnotherNameInTheDatabase(t *testing.T) {
	for name, c := range map[string]struct {
		sql  []string
		want string
	}{
		"another name":              {[]string{`INSERT INTO origins (origin) VALUES ('pawl/other')`}, "ok: "},
		"the end and another name":  {append([]string{`INSERT INTO origins (origin) VALUES ('pawl/other')`}, cut...), "NOT OK: rolled_back"},
		"the end and the only name": {append([]string{`UPDATE origins SET origin = 'pawl/other'`}, cut...), "NOT OK: rolled_back"},
		"everything and the name": {[]string{
			`DELETE FROM entries`, `DELETE FROM sealed`, `DELETE FROM checkpoints`, `UPDATE origins SET origin = 'pawl/other'`,
		}, "NOT OK: rolled_back"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			state, published := w.file("state"), w.file("published")
			w.grow(t, "3")
			w.seal()
			w.run(t, "verify", "--state", state).Want(t, cli.ExitDone, nil, nil)
			before, err := os.ReadFile(published)
			if err != nil {
				t.Fatal(err)
			}
			w.reopen(t, func() { w.sql(t, c.sql...) })
			w.grow(t, "later")
			if err := w.trySeal(t); err == nil {
				t.Error("the log was sealed on")
			}
			if after, err := os.ReadFile(published); err != nil || string(after) != string(before) {
				t.Errorf("the published checkpoint is %q by now, %v", after, err)
			}
			code := cli.ExitError
			if strings.HasPrefix(c.want, "ok") {
				code = cli.ExitDone
			}
			if strings.Contains(name, "another name") {
				w.run(t, "key").Want(t, cli.ExitError, nil, []string{"no entry says that it was renamed"})
			}
			w.run(t, "verify", "--state", state).Want(t, code, []string{c.want}, nil)
			w.run(t, "verify", "--state", "-", "--checkpoint", published).Want(t, code, []string{c.want}, nil)
		})
	}
}

// TestNothingSealed verifies a log of which nothing is there.
func TestNothingSealed(t *testing.T) {
	w := newWorld(t)
	w.reopen(t, func() { w.sql(t, `DELETE FROM entries`, `DELETE FROM sealed`, `DELETE FROM checkpoints`) })
	w.run(t, "verify", "--state", "-").Want(t, cli.ExitError, []string{"NOT OK: empty", "nothing is sealed"}, nil)
	if err := os.WriteFile(w.file("empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(w.run(t, "key").Out)
	w.run(t, "verify", w.file("empty"), "--state", "-", "--key", key).Want(t, cli.ExitError, []string{"NOT OK: empty"}, nil)
}

// TestDetailsRemoved has somebody remove what entries say, and keep their hashes as an erasure does.
func TestDetailsRemoved(t *testing.T) {
	w := newWorld(t)
	w.reopen(t, func() {
		w.sql(t, `UPDATE entries SET hash = payload_hash(salt, payload, call), payload = NULL, salt = NULL WHERE seq = 2`)
	})
	w.run(t, "verify", "--state", "-").Want(t, cli.ExitError,
		[]string{"NOT OK: edited: entry number 1", "no entry says that its call was erased"}, nil)
}

// TestVerifyAsksForWitnesses has a witness that never signed.
func TestVerifyAsksForWitnesses(t *testing.T) {
	w := newWorld(t)
	raw := append([]byte{4}, make([]byte, 32)...)
	sum := sha256.Sum256(append([]byte("north\n"), raw...))
	text := fmt.Sprintf("witness n north+%x+%s https://n.example.com\nquorum ", sum[:4], base64.StdEncoding.EncodeToString(raw))
	for quorum, want := range map[string]string{"n": "NOT OK: forged", "none": "ok: "} {
		if err := os.WriteFile(w.file("witnesses"), []byte(text+quorum+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := w.run(t, "verify", "--state", "-", "--witnesses", w.file("witnesses"))
		if !strings.HasPrefix(r.Out, want) {
			t.Errorf("with the quorum %s: %s %s", quorum, r.Out, r.Err)
		}
	}
	w.run(t, "verify", "--state", "-", "--witnesses", w.file("none")).Want(t, cli.ExitError, nil, []string{"witnesses: "})
}

// TestProofsAreChecked has somebody change what proofs are made of.
func TestProofsAreChecked(t *testing.T) {
	for name, c := range map[string]string{
		"a stored hash":          `UPDATE nodes SET hash = (SELECT leaf FROM sealed ORDER BY log_index DESC LIMIT 1) WHERE level = 8`,
		"a sealed leaf":          `UPDATE sealed SET more = CAST(leaf || substr(more, 33) AS BLOB) WHERE log_index = 0`,
		"a root":                 `UPDATE checkpoints SET root = (SELECT leaf FROM sealed ORDER BY log_index DESC LIMIT 1)`,
		"a checkpoint":           `UPDATE checkpoints SET note = 'garbage'`,
		"witnesses' signatures":  `UPDATE checkpoints SET cosigned = 'garbage'`,
		"its entry":              `DELETE FROM entries WHERE call = 'pawl-abcdefgh'`,
		"signatures behind them": `UPDATE checkpoints SET cosigned = note || 'garbage'`,
	} {
		w := newWorld(t)
		var more []audit.Entry
		for i := range 300 { // more than the hash of a full tile covers
			e, err := audit.New("pawl-more", fmt.Sprint(i), clitest.Now, storetest.Payload{Of: audit.KindRefused})
			if err != nil {
				t.Fatal(err)
			}
			more = append(more, e)
		}
		a, err := storetest.Sample("pawl-qrstuvwx", true)
		if err = errors.Join(err, w.store.Append(t.Context(), more...)); err == nil {
			_, _, err = w.store.Admit(t.Context(), a)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.seal()
		call := "pawl-abcdefgh" // number 0
		if name == "a stored hash" {
			call = a.View.ID // whose proof has one hash over the first 256 entries
		}
		w.run(t, "prove", call, "--dir", w.file("proofs")).Want(t, cli.ExitDone, nil, nil)
		w.reopen(t, func() { w.sql(t, c) })
		r := w.run(t, "prove", call, "--dir", w.file("tampered"))
		r.Want(t, cli.ExitError, nil, []string{store.ErrDamaged.Error()})
		if found, err := filepath.Glob(w.file("tampered/*")); err != nil || len(found) > 0 {
			t.Errorf("%s was changed, and %q are written, %v", name, found, err)
		}
	}
}
