package active_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
)

func follow(t *testing.T, s *fakeStore, l *logged) *active.Policy {
	t.Helper()
	p, err := active.Follow(t.Context(), active.Options{Store: s, Logger: l.logger()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pass lets a follower look once more.
func pass() {
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := &fakeStore{}, &logged{}
		p := follow(t, s, l)
		allows(t, p, "", p.Version())
		if v := p.Version(); v.Version != 0 {
			t.Errorf("before the first version %d is in force", v.Version)
		}
		set, err := active.Source(t.Context(), s, p.Evaluate(approval.Call{Tool: "a"}, time.Now()).Policy.Digest)
		if err != nil || len(set.Layers) != 0 {
			t.Errorf("the text of version 0: %+v, %v", set, err)
		}

		first := apply(t, s, file("a"))
		pass()
		allows(t, p, "a", first)
		second := apply(t, s, file("b"))
		pass()
		allows(t, p, "b", second)
		again := apply(t, s, file("a"))
		pass()
		allows(t, p, "a", again)
		if again.Digest != first.Digest || again.Version != 3 {
			t.Errorf("the first one, again: %+v", again)
		}
		if err := p.Check(t.Context()); err != nil || l.count("another policy is in force") != 3 {
			t.Errorf("Check: %v; the log:\n%s", err, l.take())
		}
		// One line for each change says which it is and what it replaces, and nothing of its text.
		for line := range strings.Lines(l.take()) {
			if !strings.Contains(line, "level=INFO") || !strings.Contains(line, " digest=") ||
				!strings.Contains(line, " was_digest=") || strings.Contains(line, "tool") {
				t.Errorf("logged %s", line)
			}
		}

		p.Close()
		p.Close()
		apply(t, s, file("c"))
		pass()
		allows(t, p, "a", again)
	})
}

// Another process starts when the store is as it is.
func TestFollowLate(t *testing.T) {
	s := &fakeStore{}
	v := apply(t, s, file("a"))
	p := follow(t, s, &logged{})
	defer p.Close()
	allows(t, p, "a", v)
	v = apply(t, s, file("b"))
	if err := p.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	allows(t, p, "b", v)

	if _, err := active.Follow(t.Context(), active.Options{}); err == nil {
		t.Error("followed no store")
	}
	s.goAway(true)
	if _, err := active.Follow(t.Context(), active.Options{Store: s}); !errors.Is(err, errAway) {
		t.Errorf("Follow without a store: %v", err)
	}
	s.goAway(false)
	s.force(store.PolicySet{Digest: strings.Repeat("f", 64), Layers: []store.PolicyLayer{{Name: "x.yaml", Text: "when: ever"}}})
	var unusable *active.UnusableError
	if _, err := active.Follow(t.Context(), active.Options{Store: s}); !errors.As(err, &unusable) || unusable.Version.Version != 3 || !strings.Contains(err.Error(), "x.yaml:1:1") {
		t.Errorf("Follow of what can't be used: %v", err)
	}
}

func TestTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := &fakeStore{}, &logged{}
		v := apply(t, s, file("a"))
		p := follow(t, s, l)
		defer p.Close()
		s.goAway(true)
		for range 5 {
			pass()
		}
		allows(t, p, "a", v)
		if err := p.Check(t.Context()); !errors.Is(err, errAway) || l.count("can't find out which policy is active") != 1 {
			t.Errorf("Check: %v; the log:\n%s", err, l.take())
		}
		s.goAway(false)
		v = apply(t, s, file("b"))
		pass()
		allows(t, p, "b", v)
		if err := p.Check(t.Context()); err != nil || l.count("the active one again") != 1 {
			t.Errorf("Check: %v; the log:\n%s", err, l.take())
		}
	})
}

// A newer Pawl applied what this one can't read, or somebody changed a text.
func TestWhatCantBeUsedReplacesNothing(t *testing.T) {
	changed := func(t *testing.T) store.PolicySet {
		other := &fakeStore{}
		v := apply(t, other, file("c"))
		set := other.sets[v.Digest]
		set.Layers[0].Text = string(file("b").Data)
		return set
	}
	for name, c := range map[string]struct {
		set  func(*testing.T) store.PolicySet
		says []string
	}{
		"newer": {func(*testing.T) store.PolicySet {
			return store.PolicySet{Digest: strings.Repeat("e", 64), Layers: []store.PolicyLayer{{Name: "org.yaml", Text: "later: 1\nrules: []\nthen: 2\n"}}}
		}, []string{"org.yaml:1:1", "org.yaml:3:1", "problems=2"}},
		"changed": {changed, []string{"changed in the database"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := &fakeStore{}, &logged{}
				v := apply(t, s, file("a"))
				p := follow(t, s, l)
				defer p.Close()
				s.force(c.set(t))
				reads := s.setReads()
				for range 5 {
					pass()
				}
				allows(t, p, "a", v)
				var unusable *active.UnusableError
				if err := p.Check(t.Context()); !errors.As(err, &unusable) || unusable.Version.Version != 2 {
					t.Errorf("Check: %v", err)
				}
				if n := s.setReads() - reads; n != 1 {
					t.Errorf("it was read %d times", n)
				}
				if l.count("THE ACTIVE POLICY CAN'T BE USED") != 1 {
					t.Errorf("the log:\n%s", l.take())
				}
				for _, words := range c.says {
					if l.count(words) != 1 {
						t.Errorf("%q is not once in the log:\n%s", words, l.text.String())
					}
				}
				v = apply(t, s, file("b"))
				pass()
				allows(t, p, "b", v)
				if err := p.Check(t.Context()); err != nil {
					t.Errorf("Check: %v", err)
				}
			})
		})
	}
}

// What came between two looks counts, even if what came next can't be used: another worker may have
// seen it.
func TestTheLastUsableOneCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := func(digit string) store.PolicySet {
			return store.PolicySet{Digest: strings.Repeat(digit, 64), Layers: []store.PolicyLayer{{Name: "org.yaml", Text: "later: 1\n"}}}
		}
		s, l := &fakeStore{}, &logged{}
		v := apply(t, s, file("a"))
		p := follow(t, s, l)
		defer p.Close()
		s.force(bad("d"))
		pass()
		allows(t, p, "a", v)
		next := apply(t, s, file("b"))
		s.force(bad("e"))
		s.force(bad("f"))
		s.lists(false)
		pass()
		allows(t, p, "a", v)
		s.lists(true)
		pass()
		allows(t, p, "b", next)
		var unusable *active.UnusableError
		if err := p.Check(t.Context()); !errors.As(err, &unusable) || unusable.Version.Version != 5 {
			t.Errorf("Check: %v", err)
		}
	})
}

// Whatever verdict is given while policies change, it is by one whole set, whose text the store
// has.
func TestManyJudgeWhileItChanges(t *testing.T) {
	s := &fakeStore{}
	apply(t, s, file("a"))
	p, err := active.Follow(t.Context(), active.Options{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var judges, changers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		judges.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				v := p.Evaluate(approval.Call{Tool: "a"}, time.Now())
				set, err := active.Source(t.Context(), s, v.Policy.Digest)
				allowed := err == nil && len(set.Layers) == 1 && strings.Contains(set.Layers[0].Text, "tool: a,")
				if allowed != (v.Kind == approval.VerdictAllow) {
					t.Errorf("%s by %v, %v", v.Kind, set, err)
				}
			}
		})
	}
	for i := range 3 {
		changers.Go(func() {
			for n := range 100 {
				v, err := active.Version(t.Context(), s)
				if err != nil {
					t.Error(err)
				}
				tool := "a"
				if n%2 == 0 {
					tool = fmt.Sprintf("b_%d_%d", i, n)
				}
				_, err = active.Apply(t.Context(), s, active.Change{Files: append(files(t), file(tool)), Expect: v.Version, By: "ana", Channel: "test"})
				if err != nil && !errors.Is(err, store.ErrPolicyChanged) {
					t.Error(err)
				}
				if err := p.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	changers.Wait()
	close(done)
	judges.Wait()
	last, err := active.Version(t.Context(), s)
	if err != nil || p.Version() != last {
		t.Errorf("in force is %+v, want %+v, %v", p.Version(), last, err)
	}
}

func problems(err error) int {
	all, _ := errors.AsType[yamlfile.Problems](err)
	return len(all)
}

// hangs is a store that does not answer from some moment on.
type hangs struct {
	*fakeStore
	now atomic.Bool
}

func (s *hangs) ActivePolicy(ctx context.Context) (store.PolicyVersion, error) {
	if s.now.Load() {
		<-ctx.Done()
		return store.PolicyVersion{}, ctx.Err()
	}
	return s.fakeStore.ActivePolicy(ctx)
}

// Whoever looks while another one waits for the store's answer waits no longer than they may.
func TestNobodyWaitsForOthersLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hangs{fakeStore: &fakeStore{}}
		p, err := active.Follow(t.Context(), active.Options{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		s.now.Store(true)
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := p.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if waited := time.Since(began); waited > time.Second {
			t.Errorf("they waited %v", waited)
		}
	})
}
