package operate

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/store/sqlite"
)

// An API that may not write to its store, and was not told which key to use, does without. One that
// was told does not.
func TestSignerOfAReadOnlyAPI(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pawl.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	read, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	signs := func(mode string) *process {
		return &process{Config: cli.Config{Settings: settings.Settings{
			Auth: []string{mode}, SigningKey: filepath.Join(dir, "key.pem"),
		}}}
	}
	x := signs(settings.AuthTokens)
	log := slog.New(slog.DiscardHandler)
	if signer, err := x.signer(t.Context(), read, false, log); err != nil || signer != nil {
		t.Errorf("%v, %v", signer, err)
	}
	if _, err := x.signer(t.Context(), read, true, log); err == nil || !strings.Contains(err.Error(), "pawl key add") || !strings.Contains(err.Error(), "--signing-key") {
		t.Errorf("%v", err)
	}
	if signer, err := signs(settings.AuthNone).signer(t.Context(), read, true, log); err != nil || signer != nil {
		t.Errorf("%v, %v", signer, err)
	}
}

func TestDoctorLooksAtKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	look := func() finding {
		t.Helper()
		d := &doctorCommand{}
		d.PayloadKeys = path
		return d.checkKeys()
	}
	if f := look(); f.State != stateFailed {
		t.Errorf("missing: %+v", f)
	}
	if _, err := codec.Create(path, true); err != nil {
		t.Fatal(err)
	}
	if f := look(); f.State != stateOK || !strings.Contains(f.Advice, "plain refuse") {
		t.Errorf("in transition: %+v", f)
	}
	if err := codec.SetPlain(path, false); err != nil {
		t.Fatal(err)
	}
	if f := look(); f.State != stateOK || f.Advice != "" {
		t.Errorf("%+v", f)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := codec.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	year := keys.Active().Created.Format("2006-")
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), `"created": "`+year, `"created": "2001-`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := look(); f.State != stateOK || !strings.Contains(f.Advice, "old") {
		t.Errorf("old: %+v", f)
	}
}
