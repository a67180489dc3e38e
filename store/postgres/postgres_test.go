package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/backend"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, pgtest.New(t)) })
}

// open opens a store for writing until the test ends.
func open(t testing.TB, url string) *Store { return openWith(t, Options{URL: url}) }

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

// connect is a connection beside the store's.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func run(t testing.TB, conn *pgx.Conn, query string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// admission is an allowed call with its first audit entry.
func admission(id string, args json.RawMessage) store.AdmitParams {
	return store.AdmitParams{
		View: approval.View{
			ID: id, Tool: "search", Agent: "agent", Session: "session", Args: args, Digest: "digest",
			Status: approval.StatusExecuting, CreatedAt: time.Now(),
		},
		Verdict: approval.Verdict{Kind: approval.VerdictAllow}, Run: "run", TakePermit: true, GoodUntil: time.Now().Add(time.Hour),
		Entries: []audit.Entry{entry(id, "requested", audit.KindRequested)},
	}
}

func entry(id, step string, kind audit.Kind) audit.Entry {
	e, err := audit.New(id, step, time.Now(), storetest.Payload{Of: kind, Note: id})
	if err != nil {
		panic(err)
	}
	return e
}

func admit(t testing.TB, s *Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, fresh, err := s.Admit(t.Context(), admission(id, nil)); err != nil || !fresh {
			t.Fatalf("Admit(%s): fresh %v, %v", id, fresh, err)
		}
	}
}

func using(id string) store.UseParams {
	return store.UseParams{ID: id, Digest: "digest", Run: "run", Activity: "1", At: time.Now(), Entries: []audit.Entry{entry(id, "started", audit.KindStarted)}}
}

func ending(id string) store.FinishParams {
	return store.FinishParams{Outcome: approval.Outcome{ID: id, Status: approval.StatusFailed}, At: time.Now(),
		Entries: []audit.Entry{entry(id, "ended", audit.KindEnded)}}
}

// steps are the steps of a call's audit entries.
func steps(t testing.TB, s *Store, id string) string {
	t.Helper()
	page, err := s.Entries(t.Context(), store.EntryQuery{Subject: id})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range page.Items {
		if err := e.Check(); err != nil {
			t.Error(err)
		}
		list = append(list, e.Step)
	}
	return strings.Join(list, " ")
}

// The database itself refuses what no method of the store does.
func TestTheDatabaseKeepsItsRules(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	admit(t, s, "used", "void", "free")
	if err := s.Use(t.Context(), using("used")); err != nil {
		t.Fatal(err)
	}
	f := ending("void")
	f.Outcome.Status = approval.StatusCancelled
	if _, _, err := s.Finish(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ApplyPolicy(t.Context(), applying); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Seal(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	for _, c := range []struct{ query, want string }{
		{`UPDATE pawl.entries SET step = 'other' WHERE seq = 1`, "append-only"},
		{`UPDATE pawl.entries SET at = at + interval '1 microsecond' WHERE seq = 1`, "append-only"},
		{`UPDATE pawl.entries SET payload = '{}'`, "append-only"},
		{`UPDATE pawl.entries SET payload = NULL, salt = NULL, leaf = decode(repeat('00', 32), 'hex') WHERE seq = 1`, "append-only"},
		{`INSERT INTO pawl.entries (call, step, kind, at, metadata, leaf) VALUES ('used', 'requested', 'k', now(), '', decode(repeat('00', 32), 'hex'))
			ON CONFLICT (call, step) DO UPDATE SET kind = 'k'`, "append-only"},
		{`DELETE FROM pawl.entries`, "append-only"},
		{`TRUNCATE pawl.entries`, "append-only"},
		{`UPDATE pawl.claims SET used_at = NULL, used_run = NULL, used_activity = NULL, used_token = NULL WHERE used_at IS NOT NULL`, "never changes"},
		{`UPDATE pawl.claims SET void = false WHERE void`, "never changes"},
		{`DELETE FROM pawl.claims`, "never deleted"},
		{`TRUNCATE pawl.calls CASCADE`, "never deleted"},
		{`DELETE FROM pawl.calls`, "constraint"},
		{`UPDATE pawl.claims SET void = true, used_at = now(), used_run = '', used_activity = '', used_token = '' WHERE used_at IS NULL AND NOT void`, "constraint"},
		{`UPDATE pawl.claims SET used_at = now() WHERE used_at IS NULL AND NOT void`, "constraint"},
		{`INSERT INTO pawl.claims (call, run, at, good_until) SELECT seq, 'other', now(), now() FROM pawl.calls`, "constraint"},
		{`INSERT INTO pawl.claims (call, run, at, good_until) VALUES (99, 'other', now(), now())`, "constraint"},
		{`UPDATE pawl.calls SET status = 'maybe'`, "constraint"},
		{`UPDATE pawl.calls SET ended_at = now() WHERE id = 'free'`, "constraint"},
		{`UPDATE pawl.calls SET id = 'used'`, "constraint"},
		{`UPDATE pawl.policies SET layers = '[]'`, "never change"},
		{`DELETE FROM pawl.policies`, "never deleted"},
		{`TRUNCATE pawl.policies CASCADE`, "never deleted"},
		{`UPDATE pawl.policy_versions SET by = 'x'`, "never changes"},
		{`DELETE FROM pawl.policy_versions`, "never deleted"},
		{`TRUNCATE pawl.policy_versions`, "never deleted"},
		{`INSERT INTO pawl.policy_versions SELECT 1, digest, at, by, channel, authenticated, note FROM pawl.policy_versions`, "constraint"},
		{`INSERT INTO pawl.policy_versions SELECT 2, 'other', at, by, channel, authenticated, note FROM pawl.policy_versions`, "constraint"},
		{`INSERT INTO pawl.sealed (log_index, entry, leaf, more) SELECT log_index + 1, entry + 1000, leaf, more FROM pawl.sealed`, "comes after"},
		{`INSERT INTO pawl.sealed (log_index, entry, leaf, more) SELECT log_index + 1000, entry + 1, leaf, more FROM pawl.sealed`, "comes after"},
		{`INSERT INTO pawl.sealed (log_index, entry, leaf, more) SELECT 1000, 1000, leaf, substr(leaf, 1, 31) FROM pawl.sealed`, "constraint"},
	} {
		_, err := conn.Exec(t.Context(), c.query)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.query, err, c.want)
		}
	}
	run(t, conn, `UPDATE pawl.entries SET hash = sha256(salt || pawl.unpacked(payload, call)), payload = NULL, salt = NULL WHERE call = 'used'`)
	log, err := s.Entries(t.Context(), store.EntryQuery{Subject: "used"})
	if err != nil || len(log.Items) != 2 {
		t.Fatalf("the log has %d entries, %v", len(log.Items), err)
	}
	if e := log.Items[0]; e.Payload != nil || e.Check() != nil {
		t.Errorf("an entry without its payload has %q; Check: %v", e.Payload, e.Check())
	}
}

func TestDocumentsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.New(t))
	deep := strings.Repeat(`[`, 9000) + strings.Repeat(`]`, 9000)
	for i, args := range []string{
		`{"b":1.0,"a":1.50,"a2":1e3,"z":-0,"n":0.1000}`, `{"text":"\u0000 \ud83e\udd80 \ufffd"}`, `{"deep":` + deep + `}`,
	} {
		a := admission(fmt.Sprint("call-", i), json.RawMessage(args))
		r, _, err := s.Admit(t.Context(), a)
		if err != nil {
			t.Fatalf("%.40s: %v", args, err)
		}
		stored, err := s.Call(t.Context(), a.View.ID)
		if err != nil || string(stored.View.Args) != args || string(r.View.Args) != args {
			t.Errorf("%.80s came back as %.80s, %v", args, stored.View.Args, err)
		}
	}
}

// What text columns can't hold is refused in what is written, and not found in what is asked for.
func TestImpossibleText(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.New(t))
	admit(t, s, "a")
	for _, text := range []string{"a\x00", "a\xff", "\x00"} {
		_, callErr := s.Call(t.Context(), text)
		_, resolveErr := s.Resolve(t.Context(), text)
		_, claimErr := s.Claim(t.Context(), store.ClaimParams{ID: text, At: time.Now(), GoodUntil: time.Now()})
		for what, err := range map[string]error{"Call": callErr, "Resolve": resolveErr, "Claim": claimErr} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s(%q): %v, want %v", what, text, err, store.ErrNotFound)
			}
		}
		if page, err := s.Calls(t.Context(), store.CallQuery{Agent: text}); err != nil || page.Total != 0 {
			t.Errorf("Calls of agent %q: %d, %v", text, page.Total, err)
		}
		spoilt := admission("b", nil)
		spoilt.View.Agent = text
		if _, _, err := s.Admit(t.Context(), spoilt); approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("Admit by agent %q: %v, want code %s", text, err, approval.CodeInvalid)
		}
	}
	long := admission("b", nil)
	long.IsRequest = true // lists of requests are by session
	for range 200 {       // random, because what repeats is packed
		long.View.Session += approval.NewID()
	}
	if _, _, err := s.Admit(t.Context(), long); approval.CodeOf(err) != approval.CodeInvalid {
		t.Errorf("Admit with a session of %d bytes: %v, want code %s", len(long.View.Session), err, approval.CodeInvalid)
	}
}

func TestDamagedRows(t *testing.T) {
	t.Parallel()
	s, run := tampering(t)
	storetest.DamagedRow(t, s, run)
}

func TestEntriesChanged(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s, conn := open(t, url), connect(t, url)
	run(t, conn, `ALTER TABLE pawl.entries DISABLE TRIGGER USER`)
	storetest.EntriesChanged(t, s, func(step, column string, value any) {
		run(t, conn, `UPDATE pawl.entries SET `+column+` = $1 WHERE step = $2`, value, step)
	})
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t)
	s := open(t, url)
	admit(t, s, "a")
	reader := openWith(t, Options{URL: url, ReadOnly: true})
	admit(t, s, "b")
	if page, err := reader.Calls(t.Context(), store.CallQuery{}); err != nil || page.Total != 2 {
		t.Errorf("a reader counts %d calls, %v", page.Total, err)
	}
	if got := steps(t, reader, "b"); got != "requested" {
		t.Errorf("a reader sees steps %q", got)
	}
	if err := reader.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	_, _, admitErr := reader.Admit(t.Context(), admission("c", nil))
	_, claimErr := reader.Claim(t.Context(), store.ClaimParams{ID: "a", Digest: "digest", At: time.Now(), GoodUntil: time.Now()})
	_, _, finishErr := reader.Finish(t.Context(), ending("a"))
	_, publishErr := reader.PublishTools(t.Context(), store.Publication{Publisher: "q"})
	_, forgetErr := reader.ForgetTools(t.Context(), "a")
	_, _, applyErr := reader.ApplyPolicy(t.Context(), applying)
	for what, err := range map[string]error{
		"ApplyPolicy": applyErr, "Admit": admitErr, "Claim": claimErr, "Finish": finishErr, "Use": reader.Use(t.Context(), using("a")),
		"Append": reader.Append(t.Context(), entry("a", "x", audit.KindRefused)), "PublishTools": publishErr, "ForgetTools": forgetErr,
	} {
		if !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%s: %v, want %v", what, err, store.ErrReadOnly)
		}
	}
	if _, err := reader.pool.Exec(t.Context(), `DELETE FROM pawl.tools`); err == nil {
		t.Error("a reading connection wrote")
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
