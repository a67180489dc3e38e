package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// tokens is a store of tokens; a set err fails it.
type tokens struct {
	kept map[string]store.Token
	err  error
}

func (s *tokens) Token(_ context.Context, id string) (store.Token, error) {
	t, known := s.kept[id]
	if !known && s.err == nil {
		return t, store.ErrNotFound
	}
	return t, s.err
}

func (s *tokens) Tokens(context.Context, store.Paging) (store.Page[store.Token], error) {
	return store.Page[store.Token]{}, s.err
}

// agentSpec is a token for an agent, with everything in it.
func agentSpec() rest.TokenSpec {
	return rest.TokenSpec{
		Subject: "agent:billing", Owner: "ana", Roles: []rest.Role{rest.RoleAgent}, Groups: []string{"bots"}, Team: "finance",
		Agents: []string{"billing", "refunds"}, Note: "CI of billing",
	}
}

func issue(t testing.TB, s *tokens, spec rest.TokenSpec) (string, store.Token) {
	t.Helper()
	text, kept, err := auth.Issue(spec, "root", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	entry, err := kept.Entry()
	if err != nil {
		t.Fatal(err)
	}
	secret := text[strings.LastIndex(text, "_")+1:]
	row, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(row), secret) || strings.Contains(string(entry.Payload), secret) || strings.Contains(string(entry.Metadata), secret) {
		t.Error("the secret is kept, or on record")
	}
	s.kept[kept.ID] = kept
	return text, kept
}

func TestToken(t *testing.T) {
	s := &tokens{kept: map[string]store.Token{}}
	a := auth.NewTokens(s)
	before := time.Now()
	text, kept := issue(t, s, agentSpec())
	if !regexp.MustCompile("^" + auth.TokenPattern + "$").MatchString(text) {
		t.Errorf("the token %q does not have the form that scanners know", text)
	}
	if id, ok := auth.TokenID(text); !ok || id != kept.ID {
		t.Errorf("its ID is %q, want %q", id, kept.ID)
	}
	p, err := a.Authenticate(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	want := auth.Principal{
		Subject: "agent:billing", Kind: rest.KindAgent, Owner: "ana", Roles: []rest.Role{rest.RoleAgent}, Groups: []string{"bots"}, Team: "finance",
		Agents: []string{"billing", "refunds"}, Method: rest.MethodToken, TokenID: kept.ID, Expires: p.Expires,
	}
	if !reflect.DeepEqual(p, want) || !p.Authenticated() {
		t.Errorf("%+v, want %+v", p, want)
	}
	if life := p.Expires.Sub(before); life < auth.DefaultLife-time.Minute || life > auth.DefaultLife+time.Minute {
		t.Errorf("it works for %v", life)
	}

	again, _ := issue(t, s, agentSpec())
	if again == text {
		t.Error("two tokens are one")
	}
	person, _ := issue(t, s, rest.TokenSpec{Subject: "ana", Roles: []rest.Role{rest.RoleReviewer}, NeverExpires: true})
	if p, err := a.Authenticate(t.Context(), person); err != nil || p.Kind != rest.KindPerson || p.Owner != "ana" || !p.Expires.IsZero() {
		t.Errorf("a person: %+v, %v", p, err)
	}
}

func TestRefusedTokens(t *testing.T) {
	s := &tokens{kept: map[string]store.Token{}}
	a := auth.Any{Tokens: auth.NewTokens(s)}
	text, kept := issue(t, s, agentSpec())
	other, otherKept := issue(t, s, agentSpec())
	elsewhere, _ := issue(t, &tokens{kept: map[string]store.Token{}}, agentSpec())
	check := func(what, credential, code string) {
		t.Helper()
		_, err := a.Authenticate(t.Context(), credential)
		r := auth.Refused(err)
		if r == nil || r.Code != code {
			t.Errorf("%s: %v, want %s", what, err, code)
		} else if len(credential) > 30 && strings.Contains(r.Message, credential[20:30]) {
			t.Errorf("%s: the refusal repeats the token", what)
		}
	}
	for what, credential := range map[string]string{
		"nothing": "", "prefix": "pawl_", "cut": text[:len(text)-1], "longer": text + "0", "upper case": strings.ToUpper(text),
		"a letter changed": swap(text, len(text)-20), "its sum changed": swap(text, len(text)-1), "its ID changed": swap(text, len("pawl_agent_")),
		"another kind": strings.Replace(text, "agent", "person", 1), "quoted": `"` + text + `"`, "two": text + " " + other,
		"made elsewhere": elsewhere, "a JSON Web Token": "eyJhbGciOiJub25lIn0.e30.", "huge": "pawl_" + strings.Repeat("a", 1<<20),
		"not ASCII": "pawl_agent_ürgendwas",
	} {
		check(what, credential, rest.CodeTokenUnknown)
	}

	// The right ID and sum, and another secret.
	swapped := kept
	swapped.Hash = otherKept.Hash
	s.kept[kept.ID] = swapped
	check("another's hash", text, rest.CodeTokenUnknown)
	s.kept[kept.ID] = kept

	at := time.Now()
	revoked := kept
	revoked.RevokedAt = &at
	s.kept[kept.ID] = revoked
	check("revoked", text, rest.CodeTokenRevoked)
	s.kept[kept.ID] = kept
	if _, err := a.Authenticate(t.Context(), text); err != nil {
		t.Errorf("nothing of a refusal is remembered, yet %v", err)
	}
	expired := kept
	expired.ExpiresAt = &at
	s.kept[kept.ID] = expired
	check("expired", text, rest.CodeTokenExpired)

	for what, change := range map[string]func(*store.Token){
		"a role of a newer Pawl": func(k *store.Token) { k.Roles = []string{"owner"} },
		"an agent that reviews":  func(k *store.Token) { k.Roles = []string{"agent", "reviewer"} },
		"no kind":                func(k *store.Token) { k.Kind = "" },
		"nobody":                 func(k *store.Token) { k.Subject = "" },
		"an agent of nobody's":   func(k *store.Token) { k.Owner = "" },
		"Pawl's own name":        func(k *store.Token) { k.Subject = "local" },
	} {
		k := kept
		change(&k)
		s.kept[kept.ID] = k
		if p, err := a.Authenticate(t.Context(), text); err == nil || auth.Refused(err) != nil {
			t.Errorf("%s in the store: %+v, %v; want that it can't be told", what, p, err)
		}
	}
	s.err = errors.New("the database is away")
	if _, err := a.Authenticate(t.Context(), text); err == nil || auth.Refused(err) != nil {
		t.Errorf("without a store: %v, want that it can't be told", err)
	}
	check("without a store, what is certainly none", "pawl_x", rest.CodeTokenUnknown)
	if _, err := (auth.Any{}).Authenticate(t.Context(), text); auth.Refused(err) == nil {
		t.Errorf("nothing is taken, yet %v", err)
	}
}

// swap changes one character to another of the same kind.
func swap(s string, at int) string {
	c := byte('0')
	if s[at] == '0' {
		c = '1'
	}
	return s[:at] + string(c) + s[at+1:]
}

func TestSpecs(t *testing.T) {
	now := time.Now()
	atOnce := now.Truncate(time.Microsecond)
	past, later := now.Add(-time.Second), now.Add(time.Hour)
	person := func(change func(*rest.TokenSpec)) rest.TokenSpec {
		s := rest.TokenSpec{Subject: "ana", Roles: []rest.Role{rest.RoleReviewer}}
		change(&s)
		return s
	}
	for what, s := range map[string]rest.TokenSpec{
		"nobody":                   person(func(s *rest.TokenSpec) { s.Subject = "" }),
		"a name with a line break": person(func(s *rest.TokenSpec) { s.Subject = "ana\nben" }),
		"a name that hides":        person(func(s *rest.TokenSpec) { s.Subject = "a\u200bna" }),
		"a name with a space":      person(func(s *rest.TokenSpec) { s.Subject = "ana " }),
		"Pawl's own name":          person(func(s *rest.TokenSpec) { s.Subject = "Pawl" }),
		"no role":                  person(func(s *rest.TokenSpec) { s.Roles = nil }),
		"an unknown role":          person(func(s *rest.TokenSpec) { s.Roles = []rest.Role{"root"} }),
		"a role twice":             person(func(s *rest.TokenSpec) { s.Roles = []rest.Role{"admin", "admin"} }),
		"a person's other owner":   person(func(s *rest.TokenSpec) { s.Owner = "ben" }),
		"an unknown kind":          person(func(s *rest.TokenSpec) { s.Kind = "service" }),
		"an agent that reviews":    person(func(s *rest.TokenSpec) { s.Kind, s.Owner = rest.KindAgent, "ben" }),
		"an agent of nobody's":     person(func(s *rest.TokenSpec) { s.Roles = []rest.Role{rest.RoleAgent} }),
		"a group twice":            person(func(s *rest.TokenSpec) { s.Groups = []string{"a", "a"} }),
		"a group without a name":   person(func(s *rest.TokenSpec) { s.Groups = []string{""} }),
		"a note with a line break": person(func(s *rest.TokenSpec) { s.Note = "a\nb" }),
		"expired":                  person(func(s *rest.TokenSpec) { s.ExpiresAt = &past }),
		"expired in year 1":        person(func(s *rest.TokenSpec) { s.ExpiresAt = &time.Time{} }),
		"expired just now":         person(func(s *rest.TokenSpec) { s.ExpiresAt = &atOnce }),
		"for ever and an hour":     person(func(s *rest.TokenSpec) { s.ExpiresAt, s.NeverExpires = &later, true }),
	} {
		text, _, err := auth.Issue(s, "root", now)
		if approval.CodeOf(err) != approval.CodeInvalid || text != "" {
			t.Errorf("%s: %q, %v", what, text, err)
		}
	}
}

func FuzzTokens(f *testing.F) {
	s := &tokens{kept: map[string]store.Token{}}
	text, kept := issue(f, s, agentSpec())
	a := auth.Any{Tokens: auth.NewTokens(s)}
	for _, seed := range []string{"", "pawl_", text[:40], swap(text, 30), "a.b.c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, credential string) {
		if credential == text {
			return
		}
		if p, err := a.Authenticate(t.Context(), credential); auth.Refused(err) == nil {
			t.Errorf("%q passes for %+v, %v", credential, p, err)
		}
		if id, ok := auth.TokenID(credential); ok && len(id) != len(kept.ID) {
			t.Errorf("%q has the ID %q", credential, id)
		}
	})
}

// What a request's token costs beside the look into the store.
func BenchmarkTokens(b *testing.B) {
	s := &tokens{kept: map[string]store.Token{}}
	text, _ := issue(b, s, agentSpec())
	a := auth.Any{Tokens: auth.NewTokens(s)}
	for b.Loop() {
		if _, err := a.Authenticate(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
}
