package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// raise makes writes to a table fail with an SQLSTATE, the first times only if times is given.
func raise(table, event, state string, times int) []string {
	condition := "true"
	if times > 0 {
		condition = fmt.Sprintf("nextval('public.failures') <= %d", times)
	}
	return []string{
		`CREATE SEQUENCE public.failures`, // counts on when a transaction is rolled back
		`CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF ` + condition + ` THEN RAISE EXCEPTION 'made up' USING ERRCODE = '` + state + `'; END IF;
			RETURN NEW; END $$`,
		`CREATE TRIGGER fail BEFORE ` + event + ` ON pawl.` + table + ` FOR EACH ROW EXECUTE FUNCTION public.fail()`,
	}
}

func TestServerErrors(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]error{
		"53100": ErrFull, "42501": ErrAccess, "57P03": ErrUnavailable, "XX001": store.ErrDamaged, "40P01": nil, "40001": nil, "22012": nil,
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			url := pgtest.New(t)
			s := open(t, url)
			admit(t, s, "before")
			pgtest.Exec(t, url, raise("entries", "INSERT", state, 0)...)
			_, fresh, err := s.Admit(t.Context(), admission("a", nil))
			useErr := s.Use(t.Context(), using("before"))
			_, _, finishErr := s.Finish(t.Context(), ending("before"))
			for _, err := range []error{err, useErr, finishErr} {
				if fresh || err == nil || (want != nil && !errors.Is(err, want)) || !strings.HasPrefix(err.Error(), "store "+s.where+": ") {
					t.Errorf("fresh %v, %v; want %v with the store's name", fresh, err, want)
				}
			}
			if _, err := s.Call(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a call that could not be written: %v, want %v", err, store.ErrNotFound)
			}
			if r, err := s.Call(t.Context(), "before"); err != nil || !r.Permit.UsedAt.IsZero() || r.View.Status != approval.StatusExecuting {
				t.Errorf("the call is %+v, %v; want it unchanged", r, err)
			}
			pgtest.Exec(t, url, `DROP TRIGGER fail ON pawl.entries`)
			admit(t, s, "a")
		})
	}
}

// What the server rolled back is done again, and is fresh.
func TestDeadlocksAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"calls", "entries"} {
		url := pgtest.New(t)
		s := open(t, url)
		pgtest.Exec(t, url, raise(table, "INSERT", "40P01", attempts-1)...)
		admit(t, s, "a")
		pgtest.Exec(t, url, `ALTER SEQUENCE public.failures RESTART`)
		if err := s.Use(t.Context(), using("a")); err != nil {
			t.Errorf("Use: %v", err)
		}
		pgtest.Exec(t, url, `ALTER SEQUENCE public.failures RESTART`)
		if _, fresh, err := s.Finish(t.Context(), ending("a")); err != nil || !fresh {
			t.Errorf("Finish: fresh %v, %v", fresh, err)
		}
		if got := steps(t, s, "a"); got != "requested started ended" {
			t.Errorf("the call has steps %q", got)
		}
	}
}

// An answer that is lost on its way does not make fresh, or ErrStarted, untrue.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pgtest.New(t))
	s := openWith(t, Options{URL: p.url, MaxConns: 1})
	warm := func(id string) { // all statements are prepared
		admit(t, s, id)
		_, _, err := s.Finish(t.Context(), ending(id))
		admit(t, s, id+"-2")
		if err := errors.Join(err, s.Use(t.Context(), using(id+"-2"))); err != nil {
			t.Fatal(err)
		}
	}
	warm("warm-1")
	p.lose(1)
	r, fresh, err := s.Admit(t.Context(), admission("a", nil))
	if !errors.Is(err, ErrUnavailable) || fresh || r.Run != "" || !strings.Contains(err.Error(), "do it again") {
		t.Errorf("Admit whose answer is lost: %+v, fresh %v, %v; want %v", r, fresh, err, ErrUnavailable)
	}
	if r, fresh, err := s.Admit(t.Context(), admission("a", nil)); err != nil || fresh || r.Permit == nil {
		t.Errorf("the repeat: %+v, fresh %v, %v", r, fresh, err)
	}

	warm("warm-2")
	p.lose(1)
	if err := s.Use(t.Context(), using("a")); err != nil {
		t.Errorf("Use whose connection breaks before it commits: %v", err)
	}
	warm("warm-3")
	p.lose(2)
	if _, fresh, err := s.Finish(t.Context(), ending("a")); !errors.Is(err, ErrUnavailable) || fresh {
		t.Errorf("Finish whose answer is lost: fresh %v, %v; want %v", fresh, err, ErrUnavailable)
	}
	if r, fresh, err := s.Finish(t.Context(), ending("a")); err != nil || fresh || r.View.Status != approval.StatusFailed {
		t.Errorf("the repeat: fresh %v, %v", fresh, err)
	}

	admit(t, s, "b")
	warm("warm-4")
	p.lose(2)
	if err := s.Use(t.Context(), using("b")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Use whose answer is lost: %v, want %v", err, ErrUnavailable)
	}
	if err := s.Use(t.Context(), using("b")); !errors.Is(err, store.ErrStarted) {
		t.Errorf("the repeat: %v, want %v", err, store.ErrStarted)
	}
	admit(t, s, "c")
	warm("warm-5")
	own := using("c")
	own.Token = "token"
	p.lose(2)
	if err := s.Use(t.Context(), own); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Use with a token whose answer is lost: %v, want %v", err, ErrUnavailable)
	}
	if err := s.Use(t.Context(), own); err != nil {
		t.Errorf("the repeat with its token: %v", err)
	}
	if a, b, c := steps(t, s, "a"), steps(t, s, "b"), steps(t, s, "c"); a != "requested started ended" || b != "requested started" || c != b {
		t.Errorf("the calls have steps %q, %q and %q", a, b, c)
	}
}

// lives leads calls through their lives, and repeats what fails as long as it fails because the
// server is not there. It checks what the store answers, and says of each step that it is done.
func lives(t *testing.T, s *Store, name string, n int, done func()) {
	repeat := func(do func() error) (failed bool) {
		for {
			err := do()
			if err == nil || !errors.Is(err, ErrUnavailable) {
				if err != nil {
					t.Error(err)
				}
				done()
				return failed
			}
			failed = true
			if t.Context().Err() != nil {
				return
			}
		}
	}
	for i := range n {
		id := fmt.Sprintf("%s-%d", name, i)
		var admitted, ended bool
		failed := repeat(func() (err error) {
			_, admitted, err = s.Admit(t.Context(), admission(id, nil))
			return err
		})
		if !admitted && !failed {
			t.Errorf("%s: the only Admit was not fresh", id)
		}
		own := using(id)
		own.Token = id // a repeat finds its own mark, and is never ErrStarted
		repeat(func() error { return s.Use(t.Context(), own) })
		failed = repeat(func() (err error) {
			_, ended, err = s.Finish(t.Context(), ending(id))
			return err
		})
		if !ended && !failed {
			t.Errorf("%s: the only Finish was not fresh", id)
		}
	}
}

func checkLives(t *testing.T, s *Store, name string, n int) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s-%d", name, i)
		if got := steps(t, s, id); got != "requested started ended" {
			t.Errorf("%s has steps %q", id, got)
		}
	}
}

// A connection is cut after each step that was done: at random places, and however slow the machine
// is, no faster than the steps can get on.
func TestConnectionsThatAreCut(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	const workers, each = 4, 15
	const steps = workers * each * 3
	done := make(chan struct{}, steps)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { lives(t, s, fmt.Sprint("w", w), each, func() { done <- struct{}{} }) })
	}
	axe := connect(t, url)
	for range steps {
		<-done
		run(t, axe, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() OFFSET $1 LIMIT 1`, rand.IntN(workers))
	}
	wg.Wait()
	for w := range workers {
		checkLives(t, s, fmt.Sprint("w", w), each)
	}
}

func TestTheServerStopsAndStarts(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t)
	s := open(t, pgtest.Create(t, c.URL, ""))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() { lives(t, s, fmt.Sprint("w", w), 200, func() {}) })
	}
	for range 2 {
		c.Stop(t)
		c.Start(t)
	}
	wg.Wait()
	for w := range 4 {
		checkLives(t, s, fmt.Sprint("w", w), 200)
	}

	c.Stop(t)
	_, _, err := s.Admit(t.Context(), admission("a", nil))
	for what, err := range map[string]error{"Admit": err, "Use": s.Use(t.Context(), using("w0-0")), "Ping": s.Ping(t.Context())} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s without a server: %v, want %v", what, err, ErrUnavailable)
		}
		hides(t, err, c.URL)
	}
	c.Start(t)
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping with the server back: %v", err)
	}
	admit(t, s, "a")
}

func TestStandby(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t)
	s := open(t, c.URL)
	admit(t, s, "a")
	c.Stop(t)
	c.Standby(t)
	c.Start(t)
	_, openErr := Open(t.Context(), Options{URL: c.URL})
	_, readErr := Open(t.Context(), Options{URL: c.URL, ReadOnly: true})
	pingErr := s.Ping(t.Context())
	_, _, admitErr := s.Admit(t.Context(), admission("b", nil))
	for what, err := range map[string]error{"Open": openErr, "Open to read": readErr, "Ping": pingErr, "Admit": admitErr, "Use": s.Use(t.Context(), using("a"))} {
		if !errors.Is(err, ErrStandby) {
			t.Errorf("%s: %v, want %v", what, err, ErrStandby)
		}
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	var wg sync.WaitGroup
	begun := make(chan struct{})
	acknowledged := make([][]string, 4)
	for w := range acknowledged {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("call-%d-%d", w, i)
				if _, _, err := s.Admit(t.Context(), admission(id, nil)); err != nil {
					if !errors.Is(err, store.ErrClosed) {
						t.Errorf("Admit while closing: %v, want %v", err, store.ErrClosed)
					}
					return
				}
				acknowledged[w] = append(acknowledged[w], id)
				if w == 0 && i == 20 {
					close(begun)
				}
			}
		})
	}
	<-begun
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	again := open(t, url)
	for _, ids := range acknowledged {
		for _, id := range ids {
			if got := steps(t, again, id); got != "requested" {
				t.Errorf("%s has steps %q", id, got)
			}
		}
	}
}
