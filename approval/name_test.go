package approval_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/pawlhq/pawl/approval"
	"golang.org/x/text/unicode/norm"
)

func TestSamePerson(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"Rita", "rita", true},
		{"straße", "STRASSE", true},
		{"straße", "STRAẞE", true},
		{"Ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ", true}, // the final sigma
		{"K", "\u212a", true},          // the Kelvin sign
		{"ﬃ", "FFI", true},             // one character for three
		{"ŉ", "ʼN", true},
		{"ｒｉｔａ", "RITA", true},
		{"José", "JOSE\u0301", true},
		{"İ", "i\u0307", true}, // a capital with a dot keeps its dot
		{"İ", "i", false},
		{"ı", "i", false}, // a dotless i is a letter of its own
		{"ı", "I", false},
		{"rita", "rıta", false},
		{"ana", "аna", false}, // the first is Cyrillic
		{"ana", "anna", false},
		{"ana ", "ana", false},
		{"", "", true},
	} {
		if got := approval.SamePerson(tc.a, tc.b); got != tc.same {
			t.Errorf("%q and %q: %v", tc.a, tc.b, got)
		}
		if got := approval.SamePerson(tc.b, tc.a); got != tc.same {
			t.Errorf("%q and %q: %v", tc.b, tc.a, got)
		}
	}
	// Whoever was one person by simple case folding still is.
	for r := rune(1); r <= unicode.MaxRune; r++ {
		for f := unicode.SimpleFold(r); f > r; f = unicode.SimpleFold(f) {
			a, b := norm.NFKC.String("x"+string(r)), norm.NFKC.String("x"+string(f))
			if strings.EqualFold(a, b) && !approval.SamePerson("x"+string(r), "x"+string(f)) {
				t.Errorf("%q and %q are two people", a, b)
			}
		}
	}
}

func TestCheckID(t *testing.T) {
	for id, valid := range map[string]bool{
		"pawl-abc": true, "order 7/a:b_c~": true, " ": true, "a ": true, `a\u00fc"`: true, strings.Repeat("x", 1000): true,
		"": false, "ü-1": false, "a\x01b": false, "a\n": false, "\x7f": false, "a\x00": false, "🦀": false,
		"pawl-\u200b1": false, "\xff": false, strings.Repeat("x", 1001): false,
	} {
		err := approval.CheckID(id)
		if (err == nil) != valid || !valid && approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("%q: %v", id, err)
		}
	}
	seen := map[string]string{}
	for _, id := range []string{
		"ü-1", "u\u0308-1", "a\x01b", "a\x02b", "🦀", "\xff", "\ufffd", "a\nb",
		strings.Repeat("ü", 500), strings.Repeat("ü", 499) + "a", strings.Repeat("x", 1001), strings.Repeat("x", 1002),
	} {
		escaped := approval.EscapeID(id)
		if err := approval.CheckID(escaped); err != nil || len(escaped) > 200 {
			t.Errorf("%q is escaped as %q: %v", id, escaped, err)
		}
		if other, ok := seen[escaped]; ok {
			t.Errorf("%q and %q are both escaped as %q", id, other, escaped)
		}
		seen[escaped] = id
	}
	if got := approval.EscapeID("ü-\x01"); got != `\u00fc-\x01` {
		t.Errorf("it is escaped as %q", got)
	}
}
