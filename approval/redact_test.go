package approval_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

func TestRedactor(t *testing.T) {
	r := approval.NewRedactor([]string{"password", "Card", "pin"})
	args := r.JSON(json.RawMessage(`{
		"user":"ann","PASSWORD":"hunter2 long","pin":7,"n":7,"m":17,
		"list":[{"password":["s3cret",{"deep":"d33per"}]},"say hunter2 long twice: hunter2 long"],
		"card":{"number":"4111","holder":"Ann \"A\" Lee"},
		"note":"pin: 1234, card=5555; password \"p w\" ok 7 and 77"}`))
	for _, secret := range []string{"hunter2", "s3cret", "d33per", "4111", "Lee", "1234", "5555"} {
		if strings.Contains(string(args), secret) {
			t.Errorf("%q shows in %s", secret, args)
		}
	}
	for _, kept := range []string{`"user":"ann"`, `"m":17`, "77"} {
		if !strings.Contains(string(args), kept) {
			t.Errorf("%q is missing in %s", kept, args)
		}
	}

	result := r.JSON(json.RawMessage(`{"echo":"sent hunter2 long","password":"fresh99","x":"fresh99","hunter2 long":1}`))
	if s := string(result); strings.Contains(s, "hunter2") || strings.Contains(s, "fresh99") {
		t.Errorf("secrets show in the result: %s", s)
	}
	for in, want := range map[string]string{
		`login of ann with hunter2 long failed`: `login of ann with [redacted] failed`,
		`bad {"password":"n3w"}`:                `bad {"password":[redacted]}`,
		`password=n3w rest`:                     `password=[redacted] rest`,
		`password=[redacted] rest`:              `password=[redacted] rest`,
		`mypassword=visible`:                    `mypassword=visible`,
		`code 7 of 77`:                          `code [redacted] of 77`,
		``:                                      ``,
	} {
		if got := r.Text(in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
	labels := r.Labels(map[string]string{"pin": "0000", "env": "prod", "hint": "hunter2 long"})
	if labels["pin"] != approval.Redacted || labels["env"] != "prod" || labels["hint"] != approval.Redacted {
		t.Errorf("labels: %v", labels)
	}
	if got := r.JSON(json.RawMessage(`{broken`)); string(got) != `"[redacted]"` {
		t.Errorf("what can't be read is shown: %s", got)
	}
}

func TestRedactorWithoutFields(t *testing.T) {
	r := approval.NewRedactor(nil)
	doc := json.RawMessage(`{"password":"x"}`)
	if got := r.JSON(doc); string(got) != string(doc) || r.Text("password=x") != "password=x" {
		t.Errorf("nothing was to be hidden: %s", got)
	}
}

func FuzzRedactor(f *testing.F) {
	f.Add(`{"secret":"planted-value","a":["planted-value",{"b":"x planted-value y"}]}`, "err planted-value secret: planted-value")
	f.Add(`{"a":{"SECRET":{"k":["planted-value"]}}}`, `{"secret":"planted-value"}`)
	f.Fuzz(func(t *testing.T, doc, text string) {
		r := approval.NewRedactor([]string{"secret"})
		// The planted value is learnt, then may stand anywhere.
		r.JSON(json.RawMessage(`{"secret":"planted-value"}`))
		if out := r.JSON(json.RawMessage(doc)); strings.Contains(string(out), "planted-value") {
			t.Fatalf("shows in %s", out)
		}
		if out := r.Text(text); strings.Contains(out, "planted-value") {
			t.Fatalf("shows in %s", out)
		}
	})
}

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
	if got := approval.Display("abcdef", 3); got != "abc… (3 bytes more)" {
		t.Errorf("cut: %q", got)
	}
	if got := approval.DisplayLines("a\n\tb\x1b", 0); got != "a\n\tb"+`\u{001B}` {
		t.Errorf("lines: %q", got)
	}
}
