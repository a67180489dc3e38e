package worker

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

type otherPolicy struct{}

func (otherPolicy) Evaluate(approval.Call, time.Time) approval.Verdict { return approval.Verdict{} }

// A worker whose policy hides values says once that Temporal holds them, unless it encrypts.
func TestRedactionWithoutAKeyring(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		keys   *codec.Keyring
		said   int
	}{
		"for all calls":   {"redact_fields: [password]\nrules: []\n", nil, 1},
		"by a rule":       {"rules:\n  - {tool: pay, redact_fields: [iban]}\n", nil, 1},
		"by a section":    {"allow:\n  - {capability: payments.pay, redact_fields: [iban]}\n", nil, 1},
		"for a team":      {"applies_to: {team: a}\nredact_fields: [iban]\nrules: []\n", nil, 1},
		"nothing":         {"rules:\n  - {tool: pay, auto_approve: true}\n", nil, 0},
		"with a keyring":  {"redact_fields: [password]\nrules: []\n", &codec.Keyring{}, 0},
		"no policy's own": {"", nil, 0},
	} {
		var log bytes.Buffer
		o := Options{PayloadKeys: c.keys, Policy: otherPolicy{}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if c.policy != "" {
			set, err := policy.Compile(policy.File{Name: "p.yaml", Data: []byte(c.policy)})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			o.Policy = set
		}
		noteRedaction(t.Context(), o)
		if n := strings.Count(log.String(), "Temporal's history"); n != c.said {
			t.Errorf("%s: said %d times: %s", name, n, log.String())
		}
	}

	// The active policy, which workers follow by default.
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	file := policy.File{Name: "p.yaml", Data: []byte("redact_fields: [password]\nrules: []\n")}
	set, err := policy.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = s.ApplyPolicy(t.Context(), store.ApplyParams{
		Set: store.PolicySet{Digest: set.Digest(), Layers: []store.PolicyLayer{{Name: file.Name, Text: string(file.Data)}}},
		At:  time.Now(), By: "ana", Channel: "cli",
	})
	if err != nil {
		t.Fatal(err)
	}
	follows, err := active.Follow(t.Context(), active.Options{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	defer follows.Close()
	var log bytes.Buffer
	noteRedaction(t.Context(), Options{Policy: follows, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "Temporal's history") {
		t.Errorf("nothing is said of the active policy: %s", log.String())
	}
}
