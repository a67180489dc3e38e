package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
	"github.com/pawlhq/pawl/store/storetest"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(child(role, os.Getenv(childPath)))
	}
	os.Exit(m.Run())
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, fresh(t)) })
}

// fresh is a path where there is no store yet.
func fresh(t testing.TB) string { return filepath.Join(t.TempDir(), "pawl.db") }

// open opens a store as its owner until the test ends.
func open(t testing.TB, path string) *Store { return openWith(t, Options{Path: path}) }

func openWith(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func run(t *testing.T, s *Store, query string, args ...any) {
	t.Helper()
	if _, err := s.writes.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// admission is an allowed call with its first audit entry.
func admission(id string, args json.RawMessage) store.AdmitParams {
	e, err := audit.New(id, "requested", time.Now(), storetest.Payload{Of: audit.KindRequested, JSON: args})
	if err != nil {
		panic(err)
	}
	return store.AdmitParams{
		View: approval.View{
			ID: id, Tool: "search", Agent: "agent", Session: "session", Args: args, Digest: "digest",
			Status: approval.StatusExecuting, CreatedAt: time.Now(),
		},
		Verdict: approval.Verdict{Kind: approval.VerdictAllow}, Run: "run", TakePermit: true, GoodUntil: time.Now().Add(time.Hour), Entries: []audit.Entry{e},
	}
}

func admit(t *testing.T, s *Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, fresh, err := s.Admit(t.Context(), admission(id, nil)); err != nil || !fresh {
			t.Fatalf("Admit(%s): fresh %v, %v", id, fresh, err)
		}
	}
}

// whole fails unless each of the calls is there with its entry, or is not there at all; with must
// it has to be there.
func whole(t *testing.T, s *Store, must bool, ids ...string) {
	t.Helper()
	for _, id := range ids {
		r, err := s.Call(t.Context(), id)
		log, logErr := s.Entries(t.Context(), store.EntryQuery{Subject: id})
		if logErr != nil {
			t.Fatal(logErr)
		}
		switch {
		case errors.Is(err, store.ErrNotFound) && !must && len(log.Items) == 0:
		case err != nil:
			t.Errorf("call %s: %v, with %d entries", id, err, len(log.Items))
		case r.Permit == nil || len(log.Items) != 1:
			t.Errorf("call %s is there with claim %v and %d entries", id, r.Permit, len(log.Items))
		default:
			if err := log.Items[0].Check(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestEveryConnectionHasItsSettings(t *testing.T) {
	s := open(t, fresh(t))
	reader := openWith(t, Options{Path: s.path, ReadOnly: true})
	read := map[string]string{"foreign_keys": "1", "busy_timeout": busyTimeout, "journal_mode": "wal", "query_only": "1"}
	write := map[string]string{"foreign_keys": "1", "busy_timeout": busyTimeout, "journal_mode": "wal", "query_only": "0",
		"synchronous": "2", "journal_size_limit": maxLog, "application_id": fmt.Sprint(applicationID)}
	check := func(name string, db *sql.DB, size int, want map[string]string) {
		for i := range size {
			conn, err := db.Conn(t.Context()) // held, so that each is another one
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for pragma, value := range want {
				var got string
				if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil {
					t.Fatal(err)
				}
				if got != value {
					t.Errorf("%s connection %d: %s is %s, want %s", name, i, pragma, got, value)
				}
			}
		}
	}
	check("writing", s.writes, 1, write)
	check("reading", s.reads, readers, read)
	check("read-only", reader.reads, readers, read)
}

func TestWaitingForTheWriterCanBeCancelled(t *testing.T) {
	s := open(t, fresh(t))
	tx, err := s.writes.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := s.Admit(ctx, admission("a", nil)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Admit behind another writer: %v, want %v", err, context.DeadlineExceeded)
	}
	if _, err := s.Call(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("reading beside a writer: %v, want %v", err, store.ErrNotFound)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	admit(t, s, "a")
}

// Contexts that end anywhere in a write leave all of it or nothing.
func TestCancelledWritesAreWhole(t *testing.T) {
	s := open(t, fresh(t))
	args := json.RawMessage(`{"text":"` + strings.Repeat("x", 100_000) + `"}`)
	var acknowledged, failed sync.Map
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 100 {
				id := fmt.Sprintf("call-%d-%d", worker, i)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
				_, fresh, err := s.Admit(ctx, admission(id, args))
				cancel()
				switch {
				case err == nil && fresh:
					acknowledged.Store(id, true)
				case errors.Is(err, context.DeadlineExceeded):
					failed.Store(id, true)
				default:
					t.Errorf("Admit: fresh %v, %v", fresh, err)
				}
			}
		})
	}
	wg.Wait()
	acknowledged.Range(func(id, _ any) bool { whole(t, s, true, id.(string)); return true })
	failed.Range(func(id, _ any) bool { whole(t, s, false, id.(string)); return true })
	admit(t, s, "after")
}

func TestCloseWaitsForWrites(t *testing.T) {
	path := fresh(t)
	s := open(t, path)
	var acknowledged sync.Map
	var count atomic.Int32
	var wg sync.WaitGroup
	enough := make(chan struct{})
	for worker := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("call-%d-%d", worker, i)
				if _, _, err := s.Admit(t.Context(), admission(id, nil)); err != nil {
					if !errors.Is(err, store.ErrClosed) {
						t.Errorf("Admit while closing: %v, want %v", err, store.ErrClosed)
					}
					return
				}
				acknowledged.Store(id, true)
				if count.Add(1) == 50 {
					close(enough)
				}
			}
		})
	}
	<-enough
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	again := open(t, path) // before the writers know
	wg.Wait()
	acknowledged.Range(func(id, _ any) bool { whole(t, again, true, id.(string)); return true })
}

func TestPingSeesThatTheFileIsGone(t *testing.T) {
	s := open(t, fresh(t))
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	aside := s.path + ".aside"
	if err := os.Rename(s.path, aside); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("Ping is content without the file")
	}
	if err := os.WriteFile(s.path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("Ping is content with another file")
	}
	if err := os.Rename(aside, s.path); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping with the file back: %v", err)
	}
}

// The database itself refuses what no method of the store does.
func TestTheDatabaseKeepsItsRules(t *testing.T) {
	s := open(t, fresh(t))
	admit(t, s, "used", "free")
	if err := s.Use(t.Context(), store.UseParams{ID: "used", Digest: "digest", Run: "r", Activity: "1", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ApplyPolicy(t.Context(), applying); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Seal(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ query, want string }{
		{`UPDATE entries SET step = 'other' WHERE seq = 1`, "append-only"},
		{`UPDATE entries SET at = at + 1 WHERE seq = 1`, "append-only"},
		{`UPDATE entries SET payload = x'7b7d' WHERE seq = 1`, "append-only"},
		{`UPDATE entries SET payload = NULL, salt = NULL, leaf = zeroblob(32) WHERE seq = 1`, "append-only"},
		{`DELETE FROM entries`, "append-only"},
		{`UPDATE claims SET used_at = NULL, used_run = NULL, used_activity = NULL, used_token = NULL WHERE used_at IS NOT NULL`, "never changes"},
		{`UPDATE claims SET void = 1, used_at = 1, used_run = '', used_activity = '', used_token = ''`, "constraint"},
		{`UPDATE claims SET used_at = 1 WHERE used_at IS NULL`, "constraint"},
		{`INSERT INTO claims (call, run, at, good_until) VALUES (1, 'other', 1, 1)`, "constraint"},
		{`INSERT INTO claims (call, run, at, good_until) VALUES (99, 'other', 1, 1)`, "constraint"},
		{`UPDATE calls SET status = 'maybe'`, "constraint"},
		{`UPDATE calls SET status = 'executed'`, "constraint"},
		{`UPDATE calls SET ended_at = 1`, "constraint"},
		{`UPDATE calls SET id = 'used'`, "constraint"},
		{`UPDATE calls SET waits = 2`, "constraint"},
		{`UPDATE policies SET layers = '[]'`, "never changes"},
		{`DELETE FROM policies`, "never deleted"},
		{`UPDATE policy_versions SET by = 'x'`, "never changes"},
		{`DELETE FROM policy_versions`, "never deleted"},
		{`INSERT INTO policy_versions SELECT 1, digest, at, by, channel, authenticated, note FROM policy_versions`, "constraint"},
		{`INSERT INTO policy_versions SELECT 2, 'other', at, by, channel, authenticated, note FROM policy_versions`, "constraint"},
		{`INSERT INTO sealed (log_index, entry, leaf, more) SELECT log_index + 1, entry + 1000, leaf, more FROM sealed`, "comes after"},
		{`INSERT INTO sealed (log_index, entry, leaf, more) SELECT log_index + 1000, entry + 1, leaf, more FROM sealed`, "comes after"},
		{`INSERT INTO sealed (log_index, entry, leaf, more) SELECT 1000, 1000, leaf, substr(leaf, 1, 31) FROM sealed`, "constraint"},
	} {
		_, err := s.writes.ExecContext(t.Context(), c.query)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.query, err, c.want)
		}
	}
	run(t, s, `UPDATE entries SET hash = payload_hash(salt, payload, call), payload = NULL, salt = NULL WHERE seq = 1`)
	log, err := s.Entries(t.Context(), store.EntryQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if e := log.Items[0]; e.Payload != nil || e.Check() != nil {
		t.Errorf("an entry without its payload has %q; Check: %v", e.Payload, e.Check())
	}
}

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "calls-1", "calls-01", "calls--1", "calls-+1", "entries-1", "calls-9223372036854775807", "calls-9223372036854775808"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		seq, err := backend.ParseCursor("calls", text)
		switch {
		case err == nil && (seq < 1 || backend.Cursor("calls", seq) != text):
			t.Errorf("%q was taken as %d", text, seq)
		case err != nil && approval.CodeOf(err) != approval.CodeInvalid:
			t.Errorf("%q: error is %v, want code %s", text, err, approval.CodeInvalid)
		}
	})
}

// What is erased stays nowhere: not in pages that are free again, and not in the write-ahead log.
func TestErasedIsOverwritten(t *testing.T) {
	path := fresh(t)
	s := open(t, path)
	text := storetest.Forget(t, s)
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil || bytes.Contains(doc, []byte(text)) {
			t.Errorf("%s still says %q: %v", file, text, err)
		}
	}
	var on bool
	if err := s.writes.QueryRow(`PRAGMA secure_delete`).Scan(&on); err != nil || !on {
		t.Errorf("secure_delete is %v, %v", on, err)
	}
}
