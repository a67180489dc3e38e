package policyfiles_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/dev/policyfiles"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
)

var errAway = errors.New("the store is away")

// unsteady is a store that can go away, and in which others apply policies, too.
type unsteady struct {
	*sqlite.Store
	away   atomic.Bool
	before func() // runs once, before the next ApplyPolicy
}

func (s *unsteady) ApplyPolicy(ctx context.Context, a store.ApplyParams) (store.PolicyVersion, bool, error) {
	if f := s.before; f != nil {
		s.before = nil
		f()
	}
	if s.away.Load() {
		return store.PolicyVersion{}, false, errAway
	}
	return s.Store.ApplyPolicy(ctx, a)
}

func (s *unsteady) ActivePolicy(ctx context.Context) (store.PolicyVersion, error) {
	if s.away.Load() {
		return store.PolicyVersion{}, errAway
	}
	return s.Store.ActivePolicy(ctx)
}

func open(t *testing.T) *unsteady {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &unsteady{Store: s}
}

// apply makes a policy that lets one tool run the active one.
func apply(t *testing.T, s *unsteady, tool string) {
	t.Helper()
	before, err := active.Version(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	file := policy.File{Name: "org.yaml", Data: []byte("rules: [{tool: " + tool + ", auto_approve: true}]\n")}
	_, err = active.Apply(t.Context(), s,
		active.Change{Files: []policy.File{file}, Expect: before.Version, By: "ana", Channel: "test"})
	if err != nil {
		t.Fatal(err)
	}
}

// problems is how many problems of files an error holds.
func problems(err error) int {
	found, _ := errors.AsType[yamlfile.Problems](err)
	return len(found)
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

// take returns what was logged since the last time.
func (l *logged) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// watching applies a folder's files as they change.
type watching struct {
	t       *testing.T
	s       *unsteady
	dir     string
	log     *logged
	applied []int64
}

func (w *watching) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// version fails unless this version is active, after the watcher had time.
func (w *watching) version(want int64) store.PolicyVersion {
	w.t.Helper()
	time.Sleep(3 * time.Second)
	synctest.Wait()
	v, err := active.Version(w.t.Context(), w.s)
	if err != nil || v.Version != want {
		w.t.Fatalf("active is %+v, %v; want version %d; the log:\n%s", v, err, want, w.log.take())
	}
	return v
}

func watch(t *testing.T, f func(*watching)) {
	synctest.Test(t, func(t *testing.T) {
		w := &watching{t: t, s: open(t), dir: t.TempDir(), log: &logged{}}
		w.write("org.yaml", "rules: []\n")
		w.write("team.yaml", "rules: []\n")
		files, v, err := policyfiles.Apply(t.Context(), policyfiles.Options{
			Store: w.s, Paths: []string{filepath.Join(w.dir, "org.yaml"), filepath.Join(w.dir, "team.yaml")}, By: "dev", Logger: w.log.logger(),
			Applied: func(_ context.Context, _, now store.PolicyVersion) { w.applied = append(w.applied, now.Version) },
		})
		if err != nil || v.Version != 1 {
			t.Fatalf("%+v, %v", v, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			files.Watch(ctx)
		}()
		f(w)
		stop()
		<-done
	})
}

func TestWatch(t *testing.T) {
	watch(t, func(w *watching) {
		first := w.version(1)
		w.write("org.yaml", "rules: [{tool: a, auto_approve: true}]\n")
		if v := w.version(2); v.By != "dev" || v.Channel != "file" {
			w.t.Errorf("%+v", v)
		}
		set, err := active.Source(w.t.Context(), w.s, w.version(2).Digest)
		if err != nil || set.Layers[0].Name != "org.yaml" { // without the folder
			w.t.Errorf("%+v, %v", set, err)
		}

		w.write("org.yaml", "rulez: []\nlayer: 7\n")
		w.version(2)
		if text := w.log.take(); strings.Count(text, "THE POLICY FILES ARE BROKEN") != 1 ||
			!strings.Contains(text, filepath.Join(w.dir, "org.yaml")+":1:1") || !strings.Contains(text, "org.yaml:2:8") {
			w.t.Errorf("the log:\n%s", text)
		}
		w.write("team.yaml", "also: broken\n")
		w.version(2)
		if text := w.log.take(); !strings.Contains(text, "org.yaml:1:1") || !strings.Contains(text, "team.yaml:1:1") {
			w.t.Errorf("the log:\n%s", text)
		}
		w.write("org.yaml", "rules: []\n")
		w.write("team.yaml", "rules: []\n")
		if v := w.version(3); v.Digest != first.Digest {
			w.t.Errorf("mended: %+v", v)
		}
		w.write("team.yaml", "rules: [{tool: '*', auto_approve: true}]\n")
		w.version(4)
		if text := w.log.take(); strings.Count(text, "a warning about the policy") != 1 || !strings.Contains(text, filepath.Join(w.dir, "team.yaml")+":1:9 what=\"every tool") {
			w.t.Errorf("the log:\n%s", text)
		}
		w.write("team.yaml", "rules: []\n")
		w.version(5)
		if err := os.Remove(filepath.Join(w.dir, "team.yaml")); err != nil {
			w.t.Fatal(err)
		}
		w.version(5)
		if text := w.log.take(); !strings.Contains(text, "team.yaml what=\"can't be read") {
			w.t.Errorf("the log:\n%s", text)
		}
		w.write("team.yaml", "rules: []\n")
		w.version(5)
		if got := fmt.Sprint(w.applied); got != "[2 3 4 5 5]" {
			w.t.Errorf("told of %v", got)
		}
	})
}

// The files are what counts, but only when they change: two stacks with other files on one store do
// not fight.
func TestWatchBesideOthers(t *testing.T) {
	watch(t, func(w *watching) {
		apply(w.t, w.s, "b")
		w.version(2)
		w.s.before = func() { apply(w.t, w.s, "c") } // between the look and the write
		w.write("org.yaml", "rules: [{tool: a, auto_approve: true}]\n")
		if v := w.version(4); v.By != "dev" {
			w.t.Errorf("%+v", v)
		}
		w.version(4)
	})
}

func TestWatchWithoutTheStore(t *testing.T) {
	watch(t, func(w *watching) {
		w.s.away.Store(true)
		w.write("org.yaml", "rules: [{tool: a, auto_approve: true}]\n")
		time.Sleep(10 * time.Second)
		w.s.away.Store(false)
		w.version(2)
		if n := strings.Count(w.log.take(), "could not be applied"); n != 1 {
			w.t.Errorf("logged %d times", n)
		}
	})
}

// What is being written does not count: every reading differs from the last.
func TestWatchWaitsForTheLastLine(t *testing.T) {
	watch(t, func(w *watching) {
		text := "rules:\n"
		for range 20 {
			text += "  - {tool: " + strings.Repeat("x", len(text)%150+1) + ", auto_approve: true}\n"
			w.write("org.yaml", text)
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
		}
		if v, err := active.Version(w.t.Context(), w.s); err != nil || v.Version != 1 {
			w.t.Errorf("active is %+v, %v", v, err)
		}
		w.version(2)
	})
}

func TestApplyRefuses(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("rulez: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t)
	none := filepath.Join(dir, "none.yaml")
	_, _, err := policyfiles.Apply(t.Context(), policyfiles.Options{Store: s, By: "dev", Paths: []string{bad, none}})
	if problems(err) < 2 || !strings.Contains(err.Error(), bad+":1:1") || !strings.Contains(err.Error(), none) {
		t.Errorf("broken files: %v", err)
	}
	for name, o := range map[string]policyfiles.Options{
		"store": {By: "dev", Paths: []string{bad}}, "files": {Store: s, By: "dev"}, "name": {Store: s, Paths: []string{bad}},
	} {
		if _, _, err := policyfiles.Apply(t.Context(), o); err == nil || problems(err) > 0 {
			t.Errorf("no %s: %v", name, err)
		}
	}
	s.away.Store(true)
	good := filepath.Join(dir, "good.yaml")
	if err := os.WriteFile(good, []byte("rules: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := policyfiles.Apply(t.Context(), policyfiles.Options{Store: s, By: "dev", Paths: []string{good}}); !errors.Is(err, errAway) {
		t.Error(err)
	}
}
