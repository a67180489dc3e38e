package postgres

import (
	"errors"
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
	endedOf(t, owner, "a", "b")
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
	for _, query := range []string{
		`UPDATE pawl.entries SET payload = NULL, salt = NULL`, `DELETE FROM pawl.entries`,
		`DELETE FROM pawl.tokens`, `DELETE FROM pawl.calls`, `DELETE FROM pawl.claims`,
	} {
		if _, err := connect(t, his).Exec(t.Context(), query); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", query, err)
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
