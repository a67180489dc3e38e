package postgres

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

// applying is the first policy of a store.
var applying = store.ApplyParams{
	Set: store.PolicySet{Digest: strings.Repeat("ab", 32), Layers: []store.PolicyLayer{{Name: "org.yaml", Text: "rules: []"}}},
	At:  time.Now(), By: "ana", Channel: "cli",
}

// A policy whose entry can't be written is not applied.
func TestPolicyNeedsItsEntry(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	run(t, connect(t, url), `INSERT INTO pawl.entries (call, step, kind, at, metadata, leaf)
		VALUES ('@policy', 'version/1', 'k', now(), '{}', decode(repeat('00', 32), 'hex'))`)
	storetest.PolicyNotRecorded(t, s)
}

// Whoever gets no answer asks again, and nothing happens twice.
func TestPolicyWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pgtest.New(t))
	s := openWith(t, Options{URL: p.url, MaxConns: 1})
	if _, _, err := s.ApplyPolicy(t.Context(), applying); err != nil { // prepares the statement
		t.Fatal(err)
	}
	second := applying
	second.Set.Digest, second.Expect = strings.Repeat("cd", 32), 1
	p.lose(6) // begin, look, keep the set, its version, its entry, commit
	if v, fresh, err := s.ApplyPolicy(t.Context(), second); !errors.Is(err, ErrUnavailable) || fresh || v.Version != 0 {
		t.Errorf("version %d, fresh %v, %v; want %v", v.Version, fresh, err, ErrUnavailable)
	}
	if v, fresh, err := s.ApplyPolicy(t.Context(), second); err != nil || fresh || v.Version != 2 {
		t.Errorf("the repeat: version %d, fresh %v, %v", v.Version, fresh, err)
	}
	if got := steps(t, s, audit.SubjectPolicy); got != "version/1 version/2" {
		t.Errorf("the log has %q", got)
	}
}
