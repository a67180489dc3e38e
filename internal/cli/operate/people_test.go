package operate_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/store/storetest"
)

// Doctor lists calls of which nobody knows whether they ran, the newest first, in lines that fit a
// terminal; what was allowed and never reported is not among them.
func TestDoctorListsUnknownOutcomes(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	path := filepath.Join(t.TempDir(), "pawl.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	doctor := func() string {
		t.Helper()
		r := clitest.CommandLine{}.Run(t, "doctor", "--database-url", "sqlite://"+path, "--timeout", "2s")
		r.Want(t, cli.ExitError, []string{"failed         temporal", "unknown outcomes"}, nil)
		return r.Out[strings.Index(r.Out, "unknown outcomes")-15:]
	}
	if said := doctor(); !strings.HasPrefix(said, "ok             unknown outcomes    none") {
		t.Errorf("of an empty store: %s", said)
	}
	for i := range 8 {
		id := fmt.Sprintf("pawl-%026d", i)
		a, err := storetest.Sample(id, i > 0)
		if err == nil {
			a.View.Tool = strings.Repeat("a_long_name_", 4)
			_, _, err = s.Admit(t.Context(), a)
		}
		if err == nil {
			_, _, err = s.Finish(t.Context(), store.FinishParams{
				Outcome: approval.Outcome{ID: id, Status: approval.StatusOutcomeUnknown}, At: time.Now(), Lost: true,
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	said := doctor()
	if !strings.HasPrefix(said, "to do          unknown outcomes    calls that may have run: 7\n               pawl-"+fmt.Sprintf("%026d", 7)+"  a_long") ||
		!strings.Contains(said, "and 2 more\n") || !strings.Contains(said, "→ look at the tools' own records, then 'pawl settle ID'") {
		t.Errorf("doctor says\n%s", said)
	}
	for line := range strings.Lines(said) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > 80 {
			t.Errorf("longer than 80 columns: %s", line)
		}
	}
}
