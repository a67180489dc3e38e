package operate

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/store/storetest"
)

// How far the sealing is behind, the workers' /readyz and 'pawl doctor' say in the same words; also of a
// sealer that is stuck, which makes no worker unready: calls go on without it.
func TestSealingLag(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const all, nobody = "every entry is sealed", "Nobody who has the log's key seals it"
	look := func(when string, well bool, want string) {
		t.Helper()
		answer := httptest.NewRecorder()
		h := health.NewHandler(slog.New(slog.DiscardHandler))
		h.Use(logCheck(s))
		h.ServeHTTP(answer, httptest.NewRequest("GET", "/readyz", nil))
		var r rest.Readiness
		if err := json.Unmarshal(answer.Body.Bytes(), &r); err != nil || answer.Code != 200 {
			t.Errorf("%s: %d, %v: %s", when, answer.Code, err, answer.Body)
		}
		state, detail := r.Checks["audit_log"], r.Detail["audit_log"]
		if (state == rest.CheckOK) != well || !strings.HasPrefix(detail, want) || strings.Contains(detail, nobody) == well {
			t.Errorf("%s: /readyz says %s, %q; want %q", when, state, detail, want)
		}
		f := (&doctorCommand{store: s}).sealing(t.Context())
		if (f.State == stateOK) != well || !strings.Contains(f.Detail, want) || strings.Contains(f.Advice, "--log-key") == well {
			t.Errorf("%s: doctor says %+v; want %q", when, f, want)
		}
	}
	n := 0
	write := func(count int, ago time.Duration) {
		t.Helper()
		var entries []audit.Entry
		for range count {
			n++
			e, err := audit.New("call", fmt.Sprint(n), time.Now().Add(-ago), storetest.Payload{Of: audit.KindRefused})
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, e)
		}
		if err := s.Append(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
	}
	published := filepath.Join(dir, "published")
	seal := func() error {
		sealer, err := tree.NewSealer(tree.Options{
			Store: s, Keys: tree.Keys{storetest.LogKey}, Places: []tree.Place{tree.File(published)},
		})
		if err == nil {
			_, err = sealer.Seal(t.Context())
		}
		return err
	}

	look("a new log", true, all)
	write(2, 0)
	look("just written", true, "entries that wait to be sealed: 2, the first of ")
	if err := seal(); err != nil {
		t.Fatal(err)
	}
	look("sealed", true, all)

	// It is stuck: what was published is not of this log.
	own, err := os.ReadFile(published)
	if err != nil {
		t.Fatal(err)
	}
	ahead := strings.Replace(string(own), "\n2\n", "\n3\n", 1)
	if err := os.WriteFile(published, []byte(ahead), 0o600); err != nil {
		t.Fatal(err)
	}
	write(1, 3*time.Hour)
	write(1, 0)
	if err := seal(); err == nil {
		t.Fatal("a log is sealed on behind what was published of it")
	}
	look("stuck", false, "entries that wait to be sealed: 2, the first of 3h0m")
	write(1000, 0)
	look("stuck for long", false, "entries that wait to be sealed: more than 1000, the first of 3h0m")
	if err := os.WriteFile(published, own, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := seal(); err != nil {
		t.Fatal(err)
	}
	look("and sealed again", true, all)

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if said, err := sealingLag(t.Context(), s, time.Now()); err == nil || errors.Is(err, errLag) || said != "" {
		t.Errorf("a store that can't be read: %q, %v", said, err)
	}
}
