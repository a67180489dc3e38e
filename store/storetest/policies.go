package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
)

// applying replaces the version expect by a policy of one layer.
func applying(expect int64, text string) store.ApplyParams {
	sum := sha256.Sum256([]byte(text))
	return store.ApplyParams{
		Set: store.PolicySet{
			Digest: hex.EncodeToString(sum[:]),
			Layers: []store.PolicyLayer{{Name: "org.yaml", Text: text}},
		},
		Expect: expect, At: after(int(expect)), By: "ana", Channel: "cli", Note: "<ümlaut> & 🦀\n\t\u2028",
	}
}

func apply(t *testing.T, s store.Store, a store.ApplyParams) store.PolicyVersion {
	t.Helper()
	v, fresh, err := s.ApplyPolicy(t.Context(), a)
	if err != nil || !fresh {
		t.Fatalf("ApplyPolicy over version %d: fresh %v, %v; want it to be applied", a.Expect, fresh, err)
	}
	return v
}

// active fails unless version v is active, and says all that was given.
func active(t *testing.T, s store.Store, a store.ApplyParams) {
	t.Helper()
	got, err := s.ActivePolicy(t.Context())
	if err != nil {
		t.Fatalf("ActivePolicy: %v", err)
	}
	same(t, "the active version", got, a.Version())
}

func policiesApplied(t *testing.T, s store.Store) {
	_, err := s.ActivePolicy(t.Context())
	fails(t, "ActivePolicy of a fresh store", err, store.ErrNotFound)

	first := applying(0, "rules: [] # "+awkward+"\r\n\t\u2028")
	first.Set.Layers = append(first.Set.Layers, store.PolicyLayer{Name: "team.yaml"}, first.Set.Layers[0])
	same(t, "the answer", apply(t, s, first), first.Version())
	active(t, s, first)
	second := applying(1, "another")
	second.By, second.Channel, second.Authenticated, second.Note = "béa", "api", true, ""
	second.At = second.At.In(time.FixedZone("x", 3600)).Add(789)
	apply(t, s, second)
	active(t, s, second)
	third := first // once more
	third.Expect = 2
	apply(t, s, third)
	active(t, s, third)

	for _, a := range []store.ApplyParams{first, second} {
		set, err := s.Policy(t.Context(), a.Set.Digest)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the set", set, a.Set)
	}
	wrote(t, s, audit.SubjectPolicy, "version/1", "version/2", "version/3")
	page := entries(t, s, store.EntryQuery{Kind: audit.KindPolicyApplied})
	if len(page.Items) != 3 || !strings.Contains(string(page.Items[1].Payload), second.Set.Digest) ||
		!strings.Contains(string(page.Items[1].Payload), "béa") {
		t.Errorf("the log says %+v", page.Items)
	}
}

func policiesRepeated(t *testing.T, s store.Store) {
	first := applying(0, "a")
	apply(t, s, first)
	for _, expect := range []int64{0, 1, 7} {
		again := first
		again.Expect, again.By = expect, "bob"
		v, fresh, err := s.ApplyPolicy(t.Context(), again)
		if err != nil || fresh {
			t.Fatalf("a repeat over version %d: fresh %v, %v", expect, fresh, err)
		}
		same(t, "the answer to a repeat", v, first.Version())
	}
	active(t, s, first)
	wrote(t, s, audit.SubjectPolicy, "version/1")
}

func policiesAtOnce(t *testing.T, s store.Store) {
	apply(t, s, applying(0, "first"))
	won := make([]bool, many)
	together(many, func(i int) {
		v, fresh, err := s.ApplyPolicy(t.Context(), applying(1, fmt.Sprint("policy ", i)))
		switch {
		case fresh && err == nil && v.Version == 2:
			won[i] = true
		case errors.Is(err, store.ErrPolicyChanged) && !fresh && v.Version == 2:
		default:
			t.Errorf("ApplyPolicy: %+v, %v, %v", v, fresh, err)
		}
	})
	now, err := s.ActivePolicy(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	winners := 0
	for i, w := range won {
		if w {
			winners++
			active(t, s, applying(1, fmt.Sprint("policy ", i)))
		}
	}
	if winners != 1 || now.Version != 2 {
		t.Errorf("%d of %d replaced the version, and %d is active", winners, many, now.Version)
	}
	wrote(t, s, audit.SubjectPolicy, "version/1", "version/2")

	// All want the same: it happens once, and everybody is content.
	fresh := make([]bool, many)
	together(many, func(i int) {
		v, f, err := s.ApplyPolicy(t.Context(), applying(2, "third"))
		if fresh[i] = f; err != nil || v.Version != 3 {
			t.Errorf("ApplyPolicy: %+v, %v", v, err)
		}
	})
	if n := strings.Count(fmt.Sprint(fresh), "true"); n != 1 {
		t.Errorf("%d of %d who wanted the same applied it", n, many)
	}
	wrote(t, s, audit.SubjectPolicy, "version/1", "version/2", "version/3")

	for expect, text := range map[int64]string{0: "x", 1: "y", 2: "first", 4: "z"} {
		v, fresh, err := s.ApplyPolicy(t.Context(), applying(expect, text))
		fails(t, fmt.Sprint("ApplyPolicy over version ", expect), err, store.ErrPolicyChanged)
		if v.Version != 3 || fresh {
			t.Errorf("the conflict is with %+v, fresh %v", v, fresh)
		}
	}
	_, err = s.Policy(t.Context(), applying(0, "x").Set.Digest)
	fails(t, "a set that was not applied", err, store.ErrNotFound)
}

// policiesRecorded: no call can write where a policy's entry belongs.
func policiesRecorded(t *testing.T, s store.Store) {
	forged := entry(t, audit.SubjectPolicy, "version/1", audit.KindRefused)
	invalid(t, "Append for a policy", s.Append(t.Context(), forged))
	a := waiting(t, audit.SubjectPolicy)
	_, _, err := s.Admit(t.Context(), a)
	invalid(t, "Admit of a call with a reserved ID", err)
	b := waiting(t, "b")
	b.Entries = append(b.Entries, forged)
	_, _, err = s.Admit(t.Context(), b)
	invalid(t, "Admit with an entry of a policy", err)
	wrote(t, s, audit.SubjectPolicy)
	apply(t, s, applying(0, "a"))
	wrote(t, s, audit.SubjectPolicy, "version/1")
}

func policiesByDigest(t *testing.T, s store.Store) {
	_, err := s.Policy(t.Context(), "a")
	fails(t, "Policy of a fresh store", err, store.ErrNotFound)
	const a, b = "ab00", "ab01"
	for i, begin := range []string{a, b, "ff"} {
		p := applying(int64(i), begin)
		p.Set.Digest = begin + p.Set.Digest[len(begin):]
		apply(t, s, p)
	}
	for digest, want := range map[string]error{
		"": store.ErrNotFound, "ab": store.ErrAmbiguous, "ab02": store.ErrNotFound, "aa": store.ErrNotFound,
		"%": store.ErrNotFound, "AB00": store.ErrNotFound, "ab\x00": store.ErrNotFound, "\xff": store.ErrNotFound,
	} {
		_, err := s.Policy(t.Context(), digest)
		fails(t, fmt.Sprintf("Policy(%q)", digest), err, want)
	}
	for _, digest := range []string{a, b, "f", "ff"} {
		set, err := s.Policy(t.Context(), digest)
		if err != nil || !strings.HasPrefix(set.Digest, digest) || len(set.Layers) != 1 {
			t.Errorf("Policy(%q) = %+v, %v", digest, set, err)
		}
	}
}

func policiesPaged(t *testing.T, s store.Store) {
	page, err := s.PolicyVersions(t.Context(), store.Paging{})
	if err != nil || len(page.Items) != 0 || page.Total != 0 || page.Next != "" {
		t.Fatalf("a fresh store: %+v, %v", page, err)
	}
	const n = 7
	for i := range int64(n) {
		apply(t, s, applying(i, fmt.Sprint(i)))
	}
	want, total := int64(n), n
	walk(t, func(cursor string) string {
		page, err := s.PolicyVersions(t.Context(), store.Paging{Cursor: cursor, Limit: 3})
		if err != nil || len(page.Items) > 3 || page.Total != total {
			t.Fatalf("a page has %d versions of %d, %v", len(page.Items), page.Total, err)
		}
		for _, v := range page.Items {
			same(t, "a version", v, applying(want-1, fmt.Sprint(want-1)).Version())
			want--
		}
		if total == n { // one is applied while others read
			apply(t, s, applying(n, "more"))
			total++
		}
		return page.Next
	})
	if want != 0 {
		t.Errorf("the pages end before version %d", want)
	}
	for _, q := range []store.Paging{
		{Cursor: "calls-1"}, {Cursor: "policy_versions-0"}, {Limit: -1}, {Limit: store.MaxPage + 1},
	} {
		_, err := s.PolicyVersions(t.Context(), q)
		invalid(t, fmt.Sprintf("%+v", q), err)
	}
}

func policiesInvalid(t *testing.T, s store.Store) {
	for what, spoil := range map[string]func(*store.ApplyParams){
		"no digest":              func(a *store.ApplyParams) { a.Set.Digest = "" },
		"a digest cut short":     func(a *store.ApplyParams) { a.Set.Digest = a.Set.Digest[1:] },
		"a digest in capitals":   func(a *store.ApplyParams) { a.Set.Digest = strings.Repeat("AB", 32) },
		"no layers":              func(a *store.ApplyParams) { a.Set.Layers = nil },
		"a layer without a name": func(a *store.ApplyParams) { a.Set.Layers[0].Name = "" },
		"a name of two lines":    func(a *store.ApplyParams) { a.Set.Layers[0].Name = "a\nb" },
		"a text with a NUL":      func(a *store.ApplyParams) { a.Set.Layers[0].Text = "a\x00" },
		"a text not UTF-8":       func(a *store.ApplyParams) { a.Set.Layers[0].Text = "\xff" },
		"a negative version":     func(a *store.ApplyParams) { a.Expect = -1 },
		"no time":                func(a *store.ApplyParams) { a.At = time.Time{} },
		"nobody":                 func(a *store.ApplyParams) { a.By = "" },
		"no channel":             func(a *store.ApplyParams) { a.Channel = "" },
		"somebody with a NUL":    func(a *store.ApplyParams) { a.By = "a\x00" },
		"a note without end":     func(a *store.ApplyParams) { a.Note = strings.Repeat("n", approval.MaxNotes+1) },
	} {
		a := applying(0, "a")
		spoil(&a)
		_, _, err := s.ApplyPolicy(t.Context(), a)
		invalid(t, what, err)
	}
	_, err := s.ActivePolicy(t.Context())
	fails(t, "after all of these", err, store.ErrNotFound)
	wrote(t, s, audit.SubjectPolicy)
}
