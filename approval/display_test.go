package approval_test

import (
	"testing"

	"github.com/pawlhq/pawl/approval"
)

func TestDisplay(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünï 漢字":        "plain ünï 漢字",
		"a\x1b[31mb":          `a\u{001B}[31mb`,
		"a\u202eb":            `a\u{202E}b`,
		"zero\u200bwidth":     `zero\u{200B}width`,
		"two\nlines":          `two\u{000A}lines`,
		"nb\u00a0sp":          `nb\u{00A0}sp`,
		"bad\xffbyte":         `bad\u{FFFD}byte`,
		"tag\U000E0041":       `tag\u{E0041}`,
		"hangul filler\u3164": `hangul filler\u{3164}`,
		"csi\u009b31m":        `csi\u{009B}31m`,
		"variation\ufe0f":     `variation\u{FE0F}`,
		"line\u2028separator": `line\u{2028}separator`,
		"isolate\u2066\u2069": `isolate\u{2066}\u{2069}`,
		"carriage\rreturn":    `carriage\u{000D}return`,
	} {
		if got := approval.Display(in, 0); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for n, want := range map[int]string{0: "0 rules", 1: "1 rule", 2: "2 rules", -1: "-1 rules", 1001: "1001 rules"} {
		if got := approval.Plural(n, "rule"); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	for s, want := range map[string]string{
		"abcd": "abc… (1 byte more)", "abcde": "abc… (2 bytes more)", "abcé": "abc… (2 bytes more)", "abc": "abc",
	} {
		if got := approval.Display(s, 3); got != want {
			t.Errorf("%s: %s", s, got)
		}
	}
	if got := approval.Display("abcdef", 3); got != "abc… (3 bytes more)" {
		t.Errorf("cut: %q", got)
	}
	if got := approval.DisplayLines("a\n\tb\x1b", 0); got != "a\n\tb"+`\u{001B}` {
		t.Errorf("lines: %q", got)
	}
}
