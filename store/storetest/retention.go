package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

func erasing(t *testing.T, e store.Erasure, ids ...string) store.EraseParams {
	t.Helper()
	entry, err := audit.New(audit.SubjectRetention, fmt.Sprint(ids, e), after(9),
		audit.Erased{Calls: ids, Rows: e == store.EraseRow, By: "ana", Reason: "asked to"})
	if err != nil {
		t.Fatal(err)
	}
	return store.EraseParams{IDs: ids, Erase: e, Entry: entry}
}

func erase(t *testing.T, s store.Store, p store.EraseParams) []string {
	t.Helper()
	erased, err := s.Erase(t.Context(), p)
	if err != nil {
		t.Fatalf("Erase: %v", err)
	}
	return erased
}

const secret = "the one thing to forget"

// endedCalls are an allowed call that ran, and one that nobody answered, which say secret, and a call
// whose signed approval says it.
func endedCalls(t *testing.T, s store.Store) {
	ran, asked := allowed(t, "ran"), waiting(t, "asked")
	for _, a := range []*store.AdmitParams{&ran, &asked} {
		a.View.Reason, a.View.Agent, a.View.Requester = secret, secret, secret
		e, err := audit.New(a.View.ID, "more", after(1), Payload{Of: audit.KindRefused, Note: secret})
		if err != nil {
			t.Fatal(err)
		}
		a.Entries = append(a.Entries, e)
		admit(t, s, *a)
	}
	use(t, s, using(t, "ran"))
	f := ending(t, "ran", approval.StatusExecuted)
	f.Outcome.Result = []byte(`"` + secret + `"`)
	finish(t, s, f)
	finish(t, s, ending(t, "asked", approval.StatusExpired))

	admit(t, s, waiting(t, "signed"))
	c := claiming(t, "signed")
	c.Evidence = evidence
	claim(t, s, c)
	u := using(t, "signed")
	u.Verified = true
	use(t, s, u)
	finish(t, s, ending(t, "signed", approval.StatusExecuted))
}

// Forget writes calls that say some text and erases them: rows, payloads and evidence.
func Forget(t *testing.T, s store.Store) (text string) {
	t.Helper()
	endedCalls(t, s)
	for _, e := range []store.Erasure{store.ErasePayloads, store.EraseRow} {
		if erased := erase(t, s, erasing(t, e, "ran", "asked", "signed")); len(erased) != 3 {
			t.Fatalf("erased %q", erased)
		}
	}
	return secret
}

const evidence = `[{"payload":"` + secret + `"}]`

// restsOn fails unless the call signed has its permit, which rests on want.
func restsOn(t *testing.T, s store.Store, want string) {
	t.Helper()
	r, err := s.Call(t.Context(), "signed")
	if err != nil || r.Permit == nil || r.Permit.UsedAt.IsZero() || r.Permit.Evidence != want {
		t.Errorf("the permit is %+v, %v; want the evidence %q", r.Permit, err, want)
	}
}

func says(t *testing.T, s store.Store) (entries, rows bool) {
	t.Helper()
	for _, id := range []string{"ran", "asked"} {
		for _, e := range entriesOf(t, s, id) {
			entries = entries || bytes.Contains(e.Payload, []byte(secret))
		}
		r, err := s.Call(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := store.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		rows = rows || strings.Contains(doc, secret)
	}
	return entries, rows
}

func entriesOf(t *testing.T, s store.Store, id string) []audit.Entry {
	return entries(t, s, store.EntryQuery{Subject: id}).Items // and checks them
}

func eraseInSteps(t *testing.T, s store.Store) {
	endedCalls(t, s)
	before := entriesOf(t, s, "ran")
	ran, err := s.Call(t.Context(), "ran")
	if err != nil {
		t.Fatal(err)
	}
	if entries, rows := says(t, s); !entries || !rows {
		t.Fatal("nothing is there to be erased")
	}
	restsOn(t, s, evidence)
	got := erase(t, s, erasing(t, store.ErasePayloads, "asked", "none", "ran", "signed"))
	if !slices.Equal(got, []string{"asked", "ran", "signed"}) {
		t.Errorf("erased %q", got)
	}
	restsOn(t, s, "")
	if entries, rows := says(t, s); entries || !rows {
		t.Errorf("after the payloads: entries say it %v, rows %v", entries, rows)
	}
	for i, e := range entriesOf(t, s, "ran") {
		b := before[i]
		if e.Payload != nil || e.Salt != nil || e.Leaf != b.Leaf || !bytes.Equal(e.Metadata, b.Metadata) ||
			e.Damage != "" {
			t.Errorf("entry %s is %+v", e.Step, e)
		}
	}
	if got := erase(t, s, erasing(t, store.EraseRow, "asked", "ran")); len(got) != 2 {
		t.Errorf("erased rows %q", got)
	}
	if entries, rows := says(t, s); entries || rows {
		t.Errorf("after the rows: entries say it %v, rows %v", entries, rows)
	}
	after, err := s.Call(t.Context(), "ran")
	if err != nil {
		t.Fatal(err)
	}
	v, was := after.View, ran.View
	if v.ID != "ran" || v.Digest != was.Digest || v.Status != was.Status || v.Tool != was.Tool ||
		v.ErasedAt == nil || !v.CreatedAt.Equal(was.CreatedAt) || !v.EndedAt.Equal(*was.EndedAt) {
		t.Errorf("the tombstone is %+v", v)
	}
	if after.Permit == nil || after.Permit.UsedAt.IsZero() || after.Verdict.Kind != ran.Verdict.Kind {
		t.Errorf("the tombstone's permit is %+v, its verdict %+v", after.Permit, after.Verdict)
	}
	// Its key never runs again, and nothing of it comes back.
	if r, fresh, err := s.Admit(t.Context(), allowed(t, "ran")); err != nil || fresh || r.View.ErasedAt == nil {
		t.Errorf("admitted again: %+v, %v, %v", r.View, fresh, err)
	}
	fails(t, "a second use", s.Use(t.Context(), using(t, "ran")), store.ErrNoPermit)
	if got := erase(t, s, erasing(t, store.EraseRow, "asked", "ran")); len(got) != 0 {
		t.Errorf("erased once more: %q", got)
	}
	log := entries(t, s, store.EntryQuery{Kind: audit.KindErased})
	if len(log.Items) != 2 || !bytes.Contains(log.Items[0].Payload, []byte("asked to")) {
		t.Errorf("on record: %d", len(log.Items))
	}
}

func eraseOpen(t *testing.T, s store.Store) {
	for id, a := range map[string]store.AdmitParams{"waits": waiting(t, "waits"), "runs": allowed(t, "runs")} {
		before := admit(t, s, a)
		if got := erase(t, s, erasing(t, store.EraseRow, id)); len(got) != 0 {
			t.Errorf("erased %q", got)
		}
		isStored(t, s, before)
	}
	wrote(t, s, audit.SubjectRetention)
	endedCalls(t, s)
	p := erasing(t, store.EraseRow, "ran", "waits", "asked", "runs")
	if got := erase(t, s, p); !slices.Equal(got, []string{"asked", "ran"}) {
		t.Errorf("of four calls these are erased: %q", got)
	}
	for name, spoil := range map[string]func(*store.EraseParams){
		"nothing":      func(p *store.EraseParams) { p.Erase = 0 },
		"too much":     func(p *store.EraseParams) { p.Erase = 3 },
		"no entry":     func(p *store.EraseParams) { p.Entry = audit.Entry{} },
		"another kind": func(p *store.EraseParams) { p.Entry = entry(t, "a", "1", audit.KindEnded) },
		"a bad entry":  func(p *store.EraseParams) { p.Entry.Leaf[0]++ },
		"one unnamed":  func(p *store.EraseParams) { p.IDs = append(p.IDs, "more") },
		"rows unsaid":  func(p *store.EraseParams) { p.Entry = erasing(t, store.ErasePayloads, p.IDs...).Entry },
	} {
		bad := p
		spoil(&bad)
		_, err := s.Erase(t.Context(), bad)
		invalid(t, "Erase with "+name, err)
	}
}

func erasableByAge(t *testing.T, s store.Store) {
	endAt := func(id string, status approval.Status, at time.Time) {
		a := waiting(t, id)
		admit(t, s, a)
		if status.NeedsPermit() {
			claim(t, s, claiming(t, id))
		}
		f := ending(t, id, status)
		f.At = at
		finish(t, s, f)
	}
	endAt("young", approval.StatusExpired, after(8))
	endAt("old", approval.StatusExpired, after(3))
	endAt("older", approval.StatusRejected, after(2))
	endAt("unknown", approval.StatusOutcomeUnknown, after(1))
	admit(t, s, waiting(t, "open"))
	look := func(e store.Erasure, before, limit int, want ...string) {
		t.Helper()
		got, err := s.Erasable(t.Context(), e, after(before), limit)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("erasable are %q, %v; want %q", got, err, want)
		}
	}
	look(store.ErasePayloads, 5, 10, "older", "old")
	look(store.ErasePayloads, 5, 1, "older")
	look(store.ErasePayloads, 2, 10)
	erase(t, s, erasing(t, store.ErasePayloads, "old"))
	look(store.ErasePayloads, 5, 10, "older")
	look(store.EraseRow, 5, 10, "older", "old")
	look(store.EraseRow, 5, 1, "older")
	erase(t, s, erasing(t, store.EraseRow, "older", "old"))
	look(store.EraseRow, 5, 10)
	look(store.EraseRow, 9, 10, "young")
}

func tokensPruned(t *testing.T, s store.Store) {
	for id, change := range map[string]func(*store.Token){
		"good": func(*store.Token) {}, "revoked": func(*store.Token) {},
		"ended": func(k *store.Token) { at := after(2); k.ExpiresAt = &at },
		"ends":  func(k *store.Token) { at := time.Now().Add(time.Hour); k.ExpiresAt = &at },
	} {
		k := store.Token{Token: rest.Token{ID: id, Subject: "ana", CreatedAt: after(1)}, Hash: [32]byte{1}}
		change(&k)
		if err := s.AddToken(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	revoke := store.RevokeParams{ID: "revoked", By: "ana", At: after(3)}
	if _, _, err := s.RevokeToken(t.Context(), revoke); err != nil {
		t.Fatal(err)
	}
	for before, want := range map[int]int{1: 0, 5: 2} {
		if n, err := s.PruneTokens(t.Context(), after(before)); err != nil || n != want {
			t.Errorf("before %d: %d tokens, %v", before, n, err)
		}
	}
	page, err := s.Tokens(t.Context(), store.Paging{})
	if err != nil || len(page.Items) != 2 {
		t.Errorf("%d tokens stay, %v", len(page.Items), err)
	}
	wrote(t, s, audit.SubjectToken+"revoked", "created", "revoked")
	wrote(t, s, audit.SubjectRetention, "tokens/ended")
}

func restoredVoids(t *testing.T, s store.Store) {
	admit(t, s, allowed(t, "unused"))
	admit(t, s, allowed(t, "used"))
	use(t, s, using(t, "used"))
	waits := admit(t, s, waiting(t, "waits"))
	admit(t, s, waiting(t, "approved"))
	claim(t, s, claiming(t, "approved"))
	for i, want := range []int{2, 0} {
		e, err := audit.New(audit.SubjectStore, fmt.Sprint("restored/", i), after(5), audit.Restored{By: "ana"})
		if err != nil {
			t.Fatal(err)
		}
		if voided, err := s.Restored(t.Context(), e); err != nil || voided != want {
			t.Errorf("%d permits are void, %v; want %d", voided, err, want)
		}
	}
	for _, id := range []string{"unused", "approved"} {
		fails(t, "Use of "+id, s.Use(t.Context(), using(t, id)), store.ErrNoPermit)
	}
	finish(t, s, ending(t, "used", approval.StatusExecuted)) // what ran has its end
	isStored(t, s, waits)
	if r := claim(t, s, claiming(t, "waits")); r.Permit == nil || r.Permit.Void {
		t.Errorf("a call that waited has the permit %+v", r.Permit)
	}
	wrote(t, s, audit.SubjectStore, "restored/0", "restored/1")
	bad := entry(t, "a", "1", audit.KindEnded)
	bad.Leaf[0]++
	_, err := s.Restored(t.Context(), bad)
	invalid(t, "Restored with a bad entry", err)
}

// erasedStays writes entries about a call whose payloads were erased before, or are at that moment.
func erasedStays(t *testing.T, s store.Store) {
	endedCalls(t, s)
	erase(t, s, erasing(t, store.ErasePayloads, "ran"))
	late := func(id, step string, kind audit.Kind) audit.Entry {
		e, err := audit.New(id, step, after(7), Payload{Of: kind, Note: secret})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	written := []audit.Entry{
		late("ran", "late report", audit.KindReported), late("ran", "ended again", audit.KindEnded),
		late("ran", "refused late", audit.KindRefused),
	}
	appendAll(t, s, written...)
	appendAll(t, s, written...)
	appendAll(t, s, late("asked", "kept", audit.KindRefused), late("ran", "refused", audit.KindRefused))
	kept := 0
	for _, id := range []string{"ran", "asked"} {
		for _, e := range entriesOf(t, s, id) {
			for _, w := range written {
				if e.Step == w.Step && e.Leaf != w.Leaf {
					t.Errorf("entry %s has another leaf hash", e.Step)
				}
			}
			if e.Payload != nil && id == "ran" || e.Damage != "" {
				t.Errorf("entry %s is kept: %+v", e.Step, e)
			}
			if e.Step == "kept" && bytes.Contains(e.Payload, []byte(secret)) {
				kept++
			}
		}
	}
	if kept != 1 {
		t.Errorf("%d entries of a call that was not erased are kept", kept)
	}

	var writing sync.WaitGroup
	for n := range 8 {
		writing.Go(func() {
			for i := range 10 {
				if err := s.Append(t.Context(), late("asked", fmt.Sprint("while ", n, i), audit.KindRefused)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	erase(t, s, erasing(t, store.EraseRow, "asked"))
	writing.Wait()
	if entries, _ := says(t, s); entries {
		t.Error("an entry that was written while its call was erased still says it")
	}
}
