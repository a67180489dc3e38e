package sealed_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/api"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/store/storetest"
)

// serve starts an API on the store. Nothing here asks Temporal.
func (w *world) serve(t *testing.T) (address string) {
	t.Helper()
	server, err := api.New(api.Options{Store: w.store, Temporal: struct{ api.Temporal }{}})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	return s.URL
}

// TestByAPI has an auditor without the database get what the store itself gives.
func TestByAPI(t *testing.T) {
	w := newWorld(t)
	for i := range 60 { // more than one page of the API's
		e, err := audit.New("pawl-abcdefgh", fmt.Sprintf("refused/%d", i), clitest.Now, storetest.Payload{Of: audit.KindRefused})
		if err == nil {
			err = w.store.Append(t.Context(), e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.seal()
	address, store := w.serve(t), "sqlite://"+w.file("pawl.db")
	run := func(env map[string]string, args ...string) clitest.Result {
		return clitest.CommandLine{Env: env}.Run(t, append([]string{"audit"}, args...)...)
	}
	byAPI, byStore := map[string]string{"PAWL_API": address}, map[string]string{"PAWL_DATABASE_URL": store}
	for _, form := range []string{"table", "json"} {
		for _, what := range [][]string{{"checkpoint"}, {"prove", "pawl-abc", "--dir", w.file("proofs")}} {
			args := append(what, "-o", form)
			want, got := run(byStore, args...), run(byAPI, args...)
			if got != want || got.Code != cli.ExitDone || got.Err != "" || got.Out == "" {
				t.Errorf("%s: the API gives %+v, the store %+v", what[0], got, want)
			}
		}
	}
	run(byAPI, "prove", "pawl-abc", "--dir", w.file("by-api")).Want(t, cli.ExitDone, []string{"00000000.tlog-proof  call.requested"}, nil)
	files, err := filepath.Glob(w.file("by-api/*"))
	if err != nil || len(files) != 61 {
		t.Fatal(files, err)
	}
	run(byStore, "prove", "pawl-abc", "--dir", w.file("by-store")).Want(t, cli.ExitDone, nil, nil)
	for _, file := range files {
		got, err := os.ReadFile(file)
		want, err2 := os.ReadFile(filepath.Join(w.file("by-store"), filepath.Base(file)))
		if err != nil || err2 != nil || string(got) != string(want) {
			t.Errorf("%s is another file by the API; %v, %v", filepath.Base(file), err, err2)
		}
	}
	if err := os.WriteFile(w.file("log.pub"), []byte(w.run(t, "key").Out), 0o600); err != nil {
		t.Fatal(err)
	}
	check := slices.Concat([]string{"../../../examples/verify/verify.py", "--key", w.file("log.pub")}, files[:2])
	said, err := exec.Command("python3", check...).CombinedOutput()
	if err != nil || strings.Count(string(said), ": ok: pawl-abcdefgh/") != 2 {
		t.Errorf("Python says %s, %v", said, err)
	}

	both := map[string]string{"PAWL_API": address, "PAWL_DATABASE_URL": store}
	none := map[string]string{"PAWL_API": "http://127.0.0.1:1", "PAWL_DATABASE_URL": "sqlite://" + w.file("none.db")}
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		code int
		err  []string
	}{
		"both are set":         {both, nil, cli.ExitUsage, []string{"either --api or --database-url"}},
		"both flags":           {nil, []string{"--api", address, "--database-url", store}, cli.ExitUsage, []string{"either --api or --database-url"}},
		"both, the API's flag": {none, []string{"--api", address}, cli.ExitDone, nil},
		"both, the store's":    {none, []string{"--database-url", store}, cli.ExitDone, nil},
		"no API there":         {none, []string{"--api", "http://127.0.0.1:1"}, cli.ExitError, []string{"127.0.0.1:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, what := range [][]string{{"checkpoint"}, {"prove", "pawl-abc", "--dir", w.file("more")}} {
				run(c.env, append(what, c.args...)...).Want(t, c.code, nil, c.err)
			}
		})
	}
	later, err := storetest.Sample("pawl-qrstuvwx", true)
	if err == nil {
		_, _, err = w.store.Admit(t.Context(), later)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, env := range []map[string]string{byAPI, byStore} {
		run(env, "prove", "pawl-q", "--dir", w.file("early")).Want(t, cli.ExitError, nil, []string{"not sealed yet", "'pawl doctor'"})
		run(env, "prove", "pawl-z", "--dir", w.file("early")).Want(t, cli.ExitError, nil, []string{"call"})
	}
	if _, err := os.Stat(w.file("early")); err == nil {
		t.Error("a folder was made for nothing")
	}
}

// TestProofsThatDoNotEnd has what answers give the same page again and again.
func TestProofsThatDoNotEnd(t *testing.T) {
	other := clitest.NewAPI(t)
	other.On("GET /api/audit/proof/pawl-a", clitest.Reply(200, `{"id":"pawl-a","proofs":[],"unsealed":0,"next_cursor":"x"}`))
	other.On("GET /api/audit/checkpoint", clitest.Reply(200, `{}`))
	line := clitest.CommandLine{API: other.URL}
	line.Run(t, "audit", "prove", "pawl-a", "--dir", t.TempDir()).Want(t, cli.ExitError, nil, []string{"does not end"})
	line.Run(t, "audit", "checkpoint").Want(t, cli.ExitError, nil, []string{"not Pawl's API"})
}
