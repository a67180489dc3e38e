package postgres

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// TestLeastRightsToErase erases and prunes with the rights that docs/operations.md gives, and nothing more.
func TestLeastRightsToErase(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	owner := open(t, database)
	endedOf(t, owner, "a", "b", "c")
	token := store.Token{Token: rest.Token{ID: "token", Subject: "ana", CreatedAt: time.Now()}, Hash: [32]byte{1}}
	if err := owner.AddToken(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	revoke := store.RevokeParams{ID: "token", By: "ana", At: time.Now()}
	if _, _, err := owner.RevokeToken(t.Context(), revoke); err != nil {
		t.Fatal(err)
	}
	name, his := role(t, database, "")
	t.Cleanup(func() { pgtest.Exec(t, database, `DROP OWNED BY "`+name+`"`) })
	var execute []string
	for _, grant := range documentedGrants(t, "operations.md") {
		what, to, _ := strings.Cut(grant, " TO ")
		if !strings.Contains(to, "pawl_worker") {
			continue
		}
		if grant = what + ` TO "` + name + `"`; strings.Contains(what, "EXECUTE") {
			execute = append(execute, grant)
			continue
		}
		run(t, connect(t, database), grant)
	}
	worker := openWith(t, Options{URL: his, KeepSchema: true})
	erase := func(ids []string, e store.Erasure) error {
		p := store.EraseParams{IDs: ids, Erase: e, Entry: erasure(t, audit.Erased{Calls: ids, Rows: e == store.EraseRow, By: "ana"})}
		erased, err := worker.Erase(t.Context(), p)
		if err == nil && !slices.Equal(erased, ids) {
			t.Errorf("erased %q", erased)
		}
		return err
	}
	prune := func() error {
		n, err := worker.PruneTokens(t.Context(), time.Now().Add(time.Hour))
		if err == nil && n != 1 {
			t.Errorf("%d tokens are pruned", n)
		}
		return err
	}
	if err, pruned := erase([]string{"a"}, store.EraseRow), prune(); !errors.Is(err, ErrAccess) || !errors.Is(pruned, ErrAccess) {
		t.Errorf("without the right to: %v, %v", err, pruned)
	}
	for _, grant := range execute {
		run(t, connect(t, database), grant)
	}
	err := errors.Join(erase([]string{"a", "b"}, store.ErasePayloads), erase([]string{"a"}, store.EraseRow), prune())
	if err != nil {
		t.Error(err)
	}
	if r, err := worker.Call(t.Context(), "a"); err != nil || r.View.ErasedAt == nil {
		t.Errorf("the tombstone is %+v, %v", r.View, err)
	}
	for query, want := range map[string]string{
		`UPDATE pawl.entries SET payload = NULL, salt = NULL`: "permission denied", `DELETE FROM pawl.entries`: "permission denied",
		`DELETE FROM pawl.tokens`: "permission denied", `DELETE FROM pawl.calls`: "permission denied", `DELETE FROM pawl.claims`: "permission denied",
		`UPDATE pawl.calls SET erased = 2, view = '{}' WHERE id = 'c'`: "erased by pawl.erase", `UPDATE pawl.calls SET erased = 1 WHERE id = 'c'`: "erased by pawl.erase",
		`UPDATE pawl.calls SET status = 'executed' WHERE id = 'b'`: "never changes", `UPDATE pawl.calls SET digest = 'other' WHERE id = 'b'`: "never changes",
		`UPDATE pawl.calls SET ended_at = now() WHERE id = 'a'`: "never changes", `UPDATE pawl.calls SET verdict = '{}' WHERE id = 'a'`: "never changes",
	} {
		if _, err := connect(t, his).Exec(t.Context(), query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", query, err, want)
		}
	}
}

// ofAnotherKind is what an erasure says, under another kind.
type ofAnotherKind struct{ audit.Erased }

func (ofAnotherKind) Kind() audit.Kind { return audit.KindRestored }

// TestEraseAsRecorded calls pawl.erase itself, as a user does who wants to hide what goes.
func TestEraseAsRecorded(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	owner := open(t, database)
	endedOf(t, owner, "a", "b")
	conn := connect(t, database)
	both := []string{"a", "b"}
	call := func(level store.Erasure, e audit.Entry) error {
		_, err := conn.Exec(t.Context(), `SELECT pawl.erase($1, $1, $1, $2, $3, $4, $5, $6, $7, $8)`,
			both, int(level), e.Subject, e.Step, e.At, e.Salt, e.Leaf[:], []byte(e.Payload))
		return err
	}
	changed := func(change func(*audit.Entry)) audit.Entry {
		e := erasure(t, audit.Erased{Calls: both, By: "ana"})
		change(&e)
		return e
	}
	const unnamed, another = "names each call", "that its hash is of"
	for name, c := range map[string]struct {
		entry audit.Entry
		want  string
	}{
		"another call":         {erasure(t, audit.Erased{Calls: []string{"another"}, By: "nobody"}), unnamed},
		"one of two":           {erasure(t, audit.Erased{Calls: []string{"b"}, By: "ana"}), unnamed},
		"no calls":             {erasure(t, audit.Erased{By: "ana"}), unnamed},
		"a like name":          {erasure(t, audit.Erased{Calls: []string{"a", "B"}, By: "ana"}), unnamed},
		"rows, and they stay":  {erasure(t, audit.Erased{Calls: both, Rows: true, By: "ana"}), unnamed},
		"what has no calls":    {erasure(t, audit.Restored{By: "ana"}), unnamed},
		"another kind":         {erasure(t, ofAnotherKind{audit.Erased{Calls: both, By: "ana"}}), another},
		"another hash":         {changed(func(e *audit.Entry) { e.Leaf[0]++ }), another},
		"another step":         {changed(func(e *audit.Entry) { e.Step = "x" }), another},
		"another subject":      {changed(func(e *audit.Entry) { e.Subject = "c" }), another},
		"another time":         {changed(func(e *audit.Entry) { e.At = e.At.Add(time.Microsecond) }), another},
		"another salt":         {changed(func(e *audit.Entry) { e.Salt[0]++ }), another},
		"somebody else's name": {changed(func(e *audit.Entry) { e.Payload = []byte(`{"by":"eve","calls":["a","b"]}`) }), another},
	} {
		if err := call(store.ErasePayloads, c.entry); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := call(store.EraseRow, erasure(t, audit.Erased{Calls: both, By: "ana"})); err == nil {
		t.Error("rows are erased, and only payloads are on record")
	}
	page, err := owner.Entries(t.Context(), store.EntryQuery{})
	if err != nil || slices.ContainsFunc(page.Items, func(e audit.Entry) bool { return e.Payload == nil || e.Kind == audit.KindErased }) {
		t.Errorf("something is erased: %+v, %v", page.Items, err)
	}
	said := audit.Erased{Calls: []string{"0", "b", "a"}, By: "\"\x01🦀"}
	more, err := audit.New("\"@x\\\t\x01<é🦀\x7f>", "<\x1f\r\n\b\f/>", time.Now(), said)
	if err == nil {
		err = call(store.ErasePayloads, more)
	}
	if err != nil {
		t.Error(err)
	}
	page, err = owner.Entries(t.Context(), store.EntryQuery{Kind: audit.KindErased})
	if err != nil || len(page.Items) != 1 || page.Items[0].Damage != "" {
		t.Errorf("on record: %+v, %v", page.Items, err)
	}
}

// TestEraseLeavesWhatWas calls pawl.erase itself, as a user does who wants another call to stay than there was.
func TestEraseLeavesWhatWas(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	s := open(t, database)
	endedOf(t, s, "row")
	inLog(t, s, "log")
	r, err := s.Call(t.Context(), "row")
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, database)
	at := store.Micros(time.Now())
	call := func(level store.Erasure, id, view, verdict string) error {
		e, err := audit.New(audit.SubjectRetention, "erased", at, audit.Erased{Calls: []string{id}, Rows: level == store.EraseRow, By: "ana"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), `SELECT pawl.erase($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			[]string{id}, []string{view}, []string{verdict}, int(level), e.Subject, e.Step, e.At, e.Salt, e.Leaf[:], []byte(e.Payload))
		return err
	}
	refused := func(name, part string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "has another "+part) {
			t.Errorf("%s: %v, want another %s", name, err, part)
		}
	}
	view, verdict, err := store.Tombstone(r, at)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(doc, from, to string) string {
		t.Helper()
		if !strings.Contains(doc, from) {
			t.Fatalf("%s holds no %s", doc, from)
		}
		return strings.Replace(doc, from, to, 1)
	}
	for name, c := range map[string]struct{ view, verdict, part string }{
		"another ID":          {changed(view, `"row"`, `"raw"`), verdict, "ID"},
		"no ID":               {`{}`, verdict, "ID"},
		"another tool":        {changed(view, `"search"`, `"read"`), verdict, "tool"},
		"another digest":      {changed(view, `"digest":"d`, `"digest":"D`), verdict, "digest"},
		"another status":      {changed(view, `"cancelled"`, `"executed"`), verdict, "status"},
		"a second status":     {changed(view, `"cancelled"`, `"cancelled","status":"executed"`), verdict, "status"},
		"a risk":              {changed(view, `{`, `{"risk":"low",`), verdict, "risk"},
		"another time":        {changed(view, `"created_at":"2`, `"created_at":"1`), verdict, "time"},
		"a start":             {changed(view, `{`, `{"started_at":"2026-01-01T00:00:00Z",`), verdict, "time"},
		"no end":              {changed(view, `"ended_at"`, `"end"`), verdict, "time"},
		"not erased":          {changed(view, `"erased_at"`, `"erased"`), verdict, "time"},
		"another verdict":     {view, changed(verdict, `"allow"`, `"deny"`), "verdict"},
		"no verdict":          {view, `{}`, "verdict"},
		"another policy":      {view, changed(verdict, `"policy":{`, `"policy":{"digest":"p"`), "verdict"},
		"a reason":            {changed(view, `{`, `{"reason":"I may",`), verdict, "extent"},
		"a field by its case": {changed(view, `{`, `{"Status":"executed",`), verdict, "extent"},
		"an execution":        {changed(view, `{`, `{"execution":"x",`), verdict, "extent"},
	} {
		refused(name, c.part, call(store.EraseRow, "row", c.view, c.verdict))
	}
	for name, c := range map[string]struct{ view, verdict string }{"a view": {"x", verdict}, "a verdict": {view, "x"}} {
		if err := call(store.EraseRow, "row", c.view, c.verdict); err == nil {
			t.Errorf("%s that is no JSON is taken", name)
		}
	}
	// Of a row that only entries filled, what they said stays.
	r, err = s.Call(t.Context(), "log")
	if err != nil {
		t.Fatal(err)
	}
	kept := func(change func(*store.Record)) string {
		said := r
		change(&said)
		doc, err := store.Encode([]any{said.View, said.Verdict})
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString([]byte(doc))
	}
	for part, change := range map[string]func(*store.Record){
		"ID":      func(r *store.Record) { r.View.ID = "other" },
		"digest":  func(r *store.Record) { r.View.Digest = "other" },
		"status":  func(r *store.Record) { r.View.Status = approval.StatusExpired },
		"verdict": func(r *store.Record) { r.Verdict.Kind = approval.VerdictDeny },
	} {
		refused("kept", part, call(store.ErasePayloads, "log", kept(change), ""))
	}
	// Whoever may write the row can't make its entries say the same.
	run(t, conn, `UPDATE pawl.calls SET status = 'executed' WHERE id = 'log'`)
	refused("an end", "status", call(store.ErasePayloads, "log", kept(func(r *store.Record) { r.View.Status = approval.StatusExecuted }), ""))
	e, err := audit.New(audit.SubjectRetention, "by Pawl", at, audit.Erased{Calls: []string{"log"}, By: "ana"})
	if err == nil {
		_, err = s.Erase(t.Context(), store.EraseParams{IDs: []string{"log"}, Erase: store.ErasePayloads, Entry: e})
	}
	if !errors.Is(err, store.ErrRefused) { // which stops no other
		t.Errorf("Pawl itself is told %v", err)
	}
	run(t, conn, `UPDATE pawl.calls SET status = 'cancelled' WHERE id = 'log'`)
	// What a worker said of an earlier workflow of the call, which a restored store lacked, is not its end.
	e, err = audit.New("log", "lost-end/run", at, audit.Ended{Outcome: approval.Outcome{ID: "log", Status: approval.StatusExecuted}})
	if err == nil {
		err = s.Append(t.Context(), e)
	}
	if err != nil {
		t.Fatal(err)
	}

	doc, _, err := remains(r, store.EraseParams{Erase: store.ErasePayloads})
	if err == nil {
		err = call(store.ErasePayloads, "log", doc, "")
	}
	if err != nil {
		t.Error(err)
	}
	if after, err := s.Call(t.Context(), "log"); err != nil || !reflect.DeepEqual(after.View, r.View) {
		t.Errorf("of %+v stays %+v, %v", r.View, after.View, err)
	}
	page, err := s.Entries(t.Context(), store.EntryQuery{Subject: "row"})
	if err != nil || slices.ContainsFunc(page.Items, func(e audit.Entry) bool { return e.Payload == nil }) {
		t.Errorf("something is erased: %+v, %v", page.Items, err)
	}
	if err := call(store.EraseRow, "row", view, verdict); err == nil || !strings.Contains(err.Error(), "duplicate key") {
		t.Errorf("under the same name: %v", err)
	}
}

// TestTokensGoOnRecord deletes tokens as a user does who wants to hide it.
func TestTokensGoOnRecord(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	s := open(t, database)
	conn := connect(t, database)
	past := time.Now().Add(-time.Hour)
	for _, id := range []string{"a", "b", "c"} {
		token := store.Token{Token: rest.Token{ID: id, Subject: "ana", CreatedAt: past, ExpiresAt: &past}, Hash: [32]byte{1}}
		if err := s.AddToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(name string, statements ...string) {
		t.Helper()
		tx, err := conn.Begin(t.Context())
		for _, statement := range statements {
			if err == nil {
				_, err = tx.Exec(t.Context(), statement)
			}
		}
		if err == nil {
			err = tx.Commit(t.Context())
		} else {
			_ = tx.Rollback(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), "no entry of the audit log says that the token") {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("by the function alone", `SELECT pawl.forget_tokens('{a}')`)
	refused("by the owner", `DELETE FROM pawl.tokens WHERE id = 'a'`)
	for name, e := range map[string]audit.Entry{
		"others": tokensPruned(t, "tokens/others", "b", "aa"), "of another kind": erasure(t, audit.Erased{Calls: []string{"a"}, By: "ana"}),
	} {
		run(t, conn, insertEntries, entryArgs([]audit.Entry{e})...)
		refused("with an entry about "+name, `SELECT pawl.forget_tokens('{a,b}')`)
	}
	if n, err := s.PruneTokens(t.Context(), time.Now()); err != nil || n != 3 {
		t.Errorf("%d tokens are pruned, %v", n, err)
	}
}

func tokensPruned(t *testing.T, step string, ids ...string) audit.Entry {
	t.Helper()
	e, err := audit.New(audit.SubjectRetention, step, time.Now(), audit.TokensPruned{Tokens: ids, Before: time.Now(), By: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// inLog has a call that has ended, of which its row says nothing that its entries say.
func inLog(t *testing.T, s *Store, id string) {
	t.Helper()
	a := admission(id, json.RawMessage(`{"text":"\u0001 1e21"}`))
	e, err := audit.New(id, "admit", a.View.CreatedAt, audit.Requested{Call: a.View, Verdict: a.Verdict, Run: a.Run})
	if err != nil {
		t.Fatal(err)
	}
	a.Entries = []audit.Entry{e}
	f := store.FinishParams{Outcome: approval.Outcome{ID: id, Tool: "search", Digest: "digest", Status: approval.StatusCancelled}, At: time.Now()}
	if e, err = audit.New(id, "end", f.At, audit.Ended{Outcome: f.Outcome, Run: a.Run}); err != nil {
		t.Fatal(err)
	}
	f.Entries = []audit.Entry{e}
	_, _, err = s.Admit(t.Context(), a)
	if err == nil {
		_, _, err = s.Finish(t.Context(), f)
	}
	var packed int
	if err == nil {
		err = s.pool.QueryRow(t.Context(), `SELECT octet_length(packed) FROM pawl.calls WHERE id = $1`, id).Scan(&packed)
	}
	if err != nil || packed != 1 {
		t.Fatalf("the row holds %d bytes, %v", packed, err)
	}
}

// endedOf has calls that have ended.
func endedOf(t *testing.T, s *Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		admit(t, s, id)
		f := ending(id)
		f.Outcome = approval.Outcome{ID: id, Digest: "digest", Status: approval.StatusCancelled}
		if _, _, err := s.Finish(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
}

func erasure(t *testing.T, what audit.Payload) audit.Entry {
	t.Helper()
	e, err := audit.New(audit.SubjectRetention, time.Now().Format(time.RFC3339Nano), time.Now(), what)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
