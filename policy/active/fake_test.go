package active_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
)

var errAway = errors.New("the store is away")

// fakeStore keeps policies in memory.
type fakeStore struct {
	mu       sync.Mutex
	away     bool
	mute     bool // it does not list versions
	versions []store.PolicyVersion
	sets     map[string]store.PolicySet
	reads    int              // of sets
	before   func(*fakeStore) // runs once, before the next ApplyPolicy
}

func (s *fakeStore) ApplyPolicy(_ context.Context, a store.ApplyParams) (v store.PolicyVersion, fresh bool, err error) {
	if err := a.Check(); err != nil {
		return v, false, err
	}
	if f := s.before; f != nil {
		s.before = nil
		f(s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return v, false, errAway
	}
	if n := len(s.versions); n > 0 {
		v = s.versions[n-1]
	}
	switch {
	case v.Digest == a.Set.Digest:
		return v, false, nil
	case v.Version != a.Expect:
		return v, false, fmt.Errorf("version %d: %w", v.Version, store.ErrPolicyChanged)
	}
	s.keep(a.Set)
	s.versions = append(s.versions, a.Version())
	return a.Version(), true, nil
}

func (s *fakeStore) keep(set store.PolicySet) {
	if s.sets == nil {
		s.sets = map[string]store.PolicySet{}
	}
	s.sets[set.Digest] = set
}

func (s *fakeStore) ActivePolicy(context.Context) (store.PolicyVersion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := len(s.versions); {
	case s.away:
		return store.PolicyVersion{}, errAway
	case n == 0:
		return store.PolicyVersion{}, store.ErrNotFound
	default:
		return s.versions[n-1], nil
	}
}

func (s *fakeStore) Policy(_ context.Context, digest string) (store.PolicySet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	set, ok := s.sets[digest]
	switch {
	case s.away:
		return set, errAway
	case !ok:
		return set, store.ErrNotFound
	}
	return set, nil
}

func (s *fakeStore) PolicyVersions(context.Context, store.Paging) (store.Page[store.PolicyVersion], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away || s.mute {
		return store.Page[store.PolicyVersion]{}, errAway
	}
	page := store.Page[store.PolicyVersion]{Items: slices.Clone(s.versions), Total: len(s.versions)}
	slices.Reverse(page.Items)
	return page, nil
}

// force makes a set active as another Pawl might have: unchecked.
func (s *fakeStore) force(set store.PolicySet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(set)
	s.versions = append(s.versions, store.PolicyVersion{Version: int64(len(s.versions) + 1), Digest: set.Digest, By: "newer"})
}

func (s *fakeStore) goAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func (s *fakeStore) lists(does bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = !does
}

func (s *fakeStore) setReads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// file is a policy that lets one tool run.
func file(tool string) policy.File {
	return policy.File{Name: "org.yaml", Data: []byte("rules: [{tool: " + tool + ", auto_approve: true}]\n")}
}

func apply(t *testing.T, s store.Policies, files ...policy.File) store.PolicyVersion {
	t.Helper()
	before, err := active.Version(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	v, err := active.Apply(t.Context(), s, active.Change{Files: files, Expect: before.Version, By: "ana", Channel: "test"})
	if err != nil || !v.Changed {
		t.Fatalf("Apply: %+v, %v", v, err)
	}
	return v.PolicyVersion
}

// allows fails unless exactly this tool may run, by this version.
func allows(t *testing.T, p *active.Policy, tool string, v store.PolicyVersion) {
	t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		want := approval.VerdictRequire
		if name == tool {
			want = approval.VerdictAllow
		}
		if got := p.Evaluate(approval.Call{Tool: name}, time.Now()); got.Kind != want || got.Policy.Digest != v.Digest {
			t.Errorf("tool %s: %s by %s, want %s by %s", name, got.Kind, got.Policy.Digest, want, v.Digest)
		}
	}
	if p.Version() != v {
		t.Errorf("in force is %+v, want %+v", p.Version(), v)
	}
}

// logged collects a log.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// count returns how many lines hold some words.
func (l *logged) count(words string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), words)
}

// take returns what was logged since the last time.
func (l *logged) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}
