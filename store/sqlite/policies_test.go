package sqlite

import (
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/storetest"
)

// applying is the first policy of a store.
var applying = store.ApplyParams{
	Set: store.PolicySet{Digest: strings.Repeat("ab", 32), Layers: []store.PolicyLayer{{Name: "org.yaml", Text: "rules: []"}}},
	At:  time.Now(), By: "ana", Channel: "cli",
}

// A policy whose entry can't be written is not applied.
func TestPolicyNeedsItsEntry(t *testing.T) {
	s := open(t, fresh(t))
	run(t, s, `INSERT INTO entries (call, step, kind, at, metadata, leaf) VALUES ('@policy', 'version/1', 'k', 1, x'7b7d', zeroblob(32))`)
	storetest.PolicyNotRecorded(t, s)
}
