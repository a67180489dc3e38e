package sqlite

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/store"
)

// applying is the first policy of a store.
var applying = store.Applying{
	Set: store.PolicySet{Digest: strings.Repeat("ab", 32), Layers: []store.PolicyLayer{{Name: "org.yaml", Text: "rules: []"}}},
	At:  time.Now(), By: "ana", Channel: "cli",
}

// A policy whose entry can't be written is not applied.
func TestPolicyNeedsItsEntry(t *testing.T) {
	s := open(t, fresh(t))
	run(t, s, `INSERT INTO entries (call, step, kind, at, metadata, leaf) VALUES ('@policy', 'version/1', 'k', 1, x'7b7d', zeroblob(32))`)
	if v, fresh, err := s.ApplyPolicy(t.Context(), applying); err == nil || errors.Is(err, store.ErrPolicyChanged) || fresh || v.Version != 0 {
		t.Errorf("version %d, fresh %v, %v", v.Version, fresh, err)
	}
	if _, err := s.Policy(t.Context(), applying.Set.Digest); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the set is kept: %v", err)
	}
	if _, err := s.ActivePolicy(t.Context()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("it is active: %v", err)
	}
}
