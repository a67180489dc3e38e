package sealed_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/audit/verify"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/store/storetest"
)

// world is a store with a sealed log, and its key.
type world struct {
	dir   string
	store *sqlite.Store
	keys  tree.Keys
	seal  func()
}

// trySeal seals as a worker that starts does.
func (w *world) trySeal(t *testing.T) error {
	sealer, err := tree.NewSealer(tree.Options{Store: w.store, Keys: w.keys, Places: []tree.Place{tree.File(w.file("published"))}})
	if err == nil {
		_, err = sealer.Seal(t.Context())
	}
	return err
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{dir: t.TempDir()}
	var err error
	if w.store, err = sqlite.Open(t.Context(), sqlite.Options{Path: w.file("pawl.db")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	keys, err := tree.OpenKeys(t.Context(), w.store, w.file("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	w.keys = keys
	w.seal = func() {
		t.Helper()
		if err := w.trySeal(t); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"pawl-abcdefgh", "pawl-ijklmnop"} {
		a, err := storetest.Sample(id, true)
		if err == nil {
			_, _, err = w.store.Admit(t.Context(), a)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.seal()
	return w
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

func (w *world) run(t *testing.T, args ...string) clitest.Result {
	t.Helper()
	env := map[string]string{"PAWL_DATABASE_URL": "sqlite://" + w.file("pawl.db")}
	if args[0] == "key" || args[0] == "verify" {
		env["PAWL_LOG_KEY"] = w.file("key.pem")
	}
	return clitest.CommandLine{Env: env}.Run(t, append([]string{"audit"}, args...)...)
}

func TestVerifyStore(t *testing.T) {
	w := newWorld(t)
	state := w.file("state.json")
	w.run(t, "verify", "--state", state).Want(t, cli.ExitDone, []string{"ok: ", "2 sealed ones"}, []string{"first time"})
	r := w.run(t, "verify", "--state", state, "--checkpoint", w.file("published"), "-o", "json")
	r.Want(t, cli.ExitDone, []string{`"ok":true`, `"size":2`, `"unsealed":0`}, nil)
	w.run(t, "checkpoint").Want(t, cli.ExitDone, []string{"pawl/", "\n2\n"}, nil)

	later, err := audit.New("pawl-abcdefgh", "later", clitest.Now, storetest.Payload{Of: audit.KindRefused})
	if err == nil {
		err = w.store.Append(t.Context(), later)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.run(t, "verify", "--state", state).Want(t, cli.ExitDone, []string{"1 newer entries wait"}, nil)
	public := w.run(t, "key")
	public.Want(t, cli.ExitDone, []string{"pawl/"}, nil)
	w.run(t, "verify", "--state", "-", "--key", strings.TrimSpace(public.Out)).Want(t, cli.ExitDone, []string{"ok"}, nil)
	w.run(t, "verify", "--key", "x").Want(t, cli.ExitUsage, nil, []string{"pawl audit key"})
	w.run(t, "verify", "--state", "-", "--log-key", w.file("none.pem")).Want(t, cli.ExitError, nil, []string{"none.pem", "--key"})

	if err := os.WriteFile(w.file("other"), []byte("pawl/x\n1\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run(t, "verify", "--state", "-", "--checkpoint", w.file("other")).Want(t, cli.ExitError, nil, []string{w.file("other")})
}

// TestVerifyFindsAFork has a state that another log left behind.
func TestVerifyFindsAFork(t *testing.T) {
	w, another := newWorld(t), newWorld(t)
	key, err := os.ReadFile(w.file("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	w.run(t, "verify", "--state", w.file("state")).Want(t, cli.ExitDone, nil, nil)
	// The same name and key, and other entries.
	origins, err := w.store.Origins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	others, err := another.store.Origins(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	renamed, err := audit.New(audit.SubjectLog, "x", clitest.Now, audit.LogRenamed{Origin: origins[0], Previous: others[0], Size: 2})
	if err == nil {
		err = another.store.RenameLog(t.Context(), renamed)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(another.file("key.pem"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	another.keys = append(another.keys, w.keys...)
	another.seal()
	r := another.run(t, "verify", "--state", w.file("state"), "-o", "json")
	var report verify.Report
	if err := json.Unmarshal([]byte(r.Out), &report); err != nil || r.Code != cli.ExitError || report.OK || report.Problem == nil || report.Problem.Fault != verify.Forked {
		t.Errorf("%d %s %s, %v", r.Code, r.Out, r.Err, err)
	}
}

func TestProve(t *testing.T) {
	w := newWorld(t)
	dir := w.file("proofs")
	w.run(t, "prove", "pawl-abc", "--dir", dir).Want(t, cli.ExitDone, []string{"00000000.tlog-proof  call.requested"}, nil)
	w.run(t, "prove", "pawl-x", "--dir", dir).Want(t, cli.ExitError, nil, []string{"pawl-x"})
	w.run(t, "prove", "@policy", "--dir", dir).Want(t, cli.ExitError, nil, []string{"@policy"})
	if err := os.WriteFile(w.file("log.pub"), []byte(w.run(t, "key").Out), 0o600); err != nil {
		t.Fatal(err)
	}
	proof := filepath.Join(dir, "00000000.tlog-proof")
	python := func() string {
		out, _ := exec.Command("python3", "../../../examples/verify/verify.py", "--key", w.file("log.pub"), proof).CombinedOutput()
		return string(out)
	}
	if said := python(); said != proof+": ok: pawl-abcdefgh/requested (number 0): call.requested\n" {
		t.Errorf("Python says %q", said)
	}
	doc, err := os.ReadFile(proof)
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"index 0\n": "index 1\n", "\n2\n": "\n3\n", "extra eyJjYWxsX2lkIjoicGF3bC1h": "extra eyJjYWxsX2lkIjoicGF3bC1i"} {
		tampered := strings.Replace(string(doc), from, to, 1)
		if err := os.WriteFile(proof, []byte(tampered), 0o600); err != nil || tampered == string(doc) {
			t.Fatal(from, err)
		}
		if said := python(); !strings.Contains(said, "NOT OK") {
			t.Errorf("with %q for %q Python says %q", to, from, said)
		}
	}
}
