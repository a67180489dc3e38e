package operate_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

func TestStoreRestored(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pawl.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	// Beside its owner it is not said: the owner would go on with what it knows.
	r := clitest.CommandLine{}.Run(t, "store", "restored", "--database-url", "sqlite://"+path)
	if r.Code == cli.ExitDone || !strings.Contains(r.Err, "owns it") {
		t.Errorf("beside its owner: %d, %s", r.Code, r.Err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r = clitest.CommandLine{}.Run(t, "store", "restored", "--database-url", "sqlite://"+path)
	if r.Code != cli.ExitDone || !strings.Contains(r.Err, "permits that are void now: 0") {
		t.Fatalf("%d, %s", r.Code, r.Err)
	}
	if s, err = sqlite.Open(t.Context(), sqlite.Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	log, err := s.Entries(t.Context(), store.EntryQuery{Kind: audit.KindRestored})
	if err != nil || len(log.Items) != 1 || !strings.Contains(string(log.Items[0].Payload), `"by":"database`) {
		t.Errorf("on record: %+v, %v", log.Items, err)
	}
}
