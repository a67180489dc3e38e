package redact_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/redact"
)

func TestRedactor(t *testing.T) {
	r := redact.New([]string{"password", "Card", "pin"}, approval.RedactNone)
	args := r.Args(json.RawMessage(`{
		"user":"ann","PASSWORD":"hunter2 long","pin":7,"n":7,"m":17,
		"list":[{"password":["s3cret",{"deep":"d33per"}]},"say hunter2 long twice: hunter2 long"],
		"card":{"number":"4111","holder":"Ann \"A\" Lee"},
		"note":"pin: 1234, card=5555; password \"p w\" ok 7 and 77"}`))
	for _, secret := range []string{"hunter2", "s3cret", "d33per", "4111", "Lee", "1234", "5555"} {
		if strings.Contains(string(args), secret) {
			t.Errorf("%q shows in %s", secret, args)
		}
	}
	for _, kept := range []string{`"user":"ann"`, `"m":17`, `"n":7`, "77", `"say [same as a redacted field] twice: [same as a redacted field]"`} {
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
		`password=n3w rest`:                     `password=[redacted]`,
		"password=n3w rest; x\npin: a b\nend":   "password=[redacted]; x\npin: [redacted]\nend",
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
	if labels["pin"] != redact.Mark || labels["env"] != "prod" || labels["hint"] != redact.Mark {
		t.Errorf("labels: %v", labels)
	}
	if got := r.JSON(json.RawMessage(`{broken`)); string(got) != `"[redacted]"` {
		t.Errorf("what can't be read is shown: %s", got)
	}
}

func TestRedactorWithoutFields(t *testing.T) {
	r := redact.New(nil, approval.RedactNone)
	doc := json.RawMessage(`{"password":"x"}`)
	if got := r.JSON(doc); string(got) != string(doc) || r.Text("password=x") != "password=x" {
		t.Errorf("nothing was to be hidden: %s", got)
	}
}

// An agent picks the values under redacted names, and must not pick with them what reviewers see of
// the other arguments.
func TestRedactorArgs(t *testing.T) {
	for doc, want := range map[string]string{
		`{"secret":"prod","env":"prod","p":1,"x":["on prod!"]}`: `{"env":"[same as a redacted field]","p":1,"secret":"[redacted]","x":["on [same as a redacted field]!"]}`,
		`{"secret":[5000,"5000"],"amount":5000,"n":"50001"}`:    `{"amount":5000,"n":"[same as a redacted field]1","secret":"[redacted]"}`,
		`{"secret":5000,"n":"50001 5000 x5000y 5000."}`:         `{"n":"50001 [same as a redacted field] x[same as a redacted field]y [same as a redacted field].","secret":"[redacted]"}`,
		`{"secret":["all","rm"],"cmd":"rm all"}`:                `{"cmd":"rm all","secret":"[redacted]"}`,
		`{"secret":{"to":{"amount":1}},"note":"the amount"}`:    `{"note":"the [same as a redacted field]","secret":"[redacted]"}`,
		`{"secret":"delete all","cmd":"delete"}`:                `{"cmd":"delete","secret":"[redacted]"}`,
		`{"cmd":"sql --secret=x1y2 drop all"}`:                  `{"cmd":"sql --secret=[redacted] drop all"}`,
		`{"cmd":"Secret: Bearer sk-1 -X DELETE"}`:               `{"cmd":"Secret: [redacted] -X DELETE"}`,
		`{"body":"{\"secret\":\"a b\",\"n\":1}"}`:               `{"body":"{\"secret\":[redacted],\"n\":1}"}`,
		`{"secret":"abcd","x":"abcabcd secret=abcd"}`:           `{"secret":"[redacted]","x":"abc[same as a redacted field] secret=[redacted]"}`,
		`{"secret":["abcdef","defghi"],"x":"abcdefghi-"}`:       `{"secret":"[redacted]","x":"[same as a redacted field]-"}`,
	} {
		if got := redact.New([]string{"secret"}, approval.RedactNone).Args(json.RawMessage(doc)); string(got) != want {
			t.Errorf("%s\n got %s\nwant %s", doc, got, want)
		}
	}
}

func TestRedactorResult(t *testing.T) {
	for doc, want := range map[string]string{
		`{"aaaa":1,"bbbb":2,"[redacted]":3,"[redacted] #2":4}`: `{"[redacted]":3,"[redacted] #2":4,"[redacted] #3":1,"[redacted] #4":2}`,
		`{"x aaaa":1,"x bbbb":2}`:                              `{"x [redacted]":1,"x [redacted] #2":2}`,
		`{"n":[7,-7,7.0,77,1000,1e3]}`:                         `{"n":["[redacted]","[redacted]","[redacted]",77,"[redacted]","[redacted]"]}`,
		`["7 77 a7 1000 1000. 11000 x-1000"]`:                  `["[redacted] 77 a7 [redacted] [redacted]. 11000 x-[redacted]"]`,
		`["ö! ö!x xö! y"]`:                                     `["[redacted] [redacted]x xö! y"]`,
		`["k3yname","aaa"]`:                                    `["[redacted]","aaa"]`,
		`{"secret":{"n3w":"n4wn4w"},"x":"n3w n4wn4w"}`:         `{"secret":"[redacted]","x":"[redacted] [redacted]"}`,
	} {
		r := redact.New([]string{"secret"}, approval.RedactNone)
		r.Args(json.RawMessage(`{"secret":[{"k3yname":null},"aaaa","bbbb",7,1e3,"ö!"]}`))
		if got := r.JSON(json.RawMessage(doc)); string(got) != want {
			t.Errorf("%s\n got %s\nwant %s", doc, got, want)
		}
	}
}

func TestRedactorText(t *testing.T) {
	r := redact.New([]string{"secret", "Authorization"}, approval.RedactNone)
	r.Args(json.RawMessage(`{"secret":["päss <w>/1","two\nlines","nb\u00a0space","😀😀😀😀"," trimmed  ",{"k":41112222}]}`))
	for in, want := range map[string]string{
		`Authorization: Bearer sk-1 2`:            `Authorization: [redacted]`,
		"authorization: Bearer sk-1\nnext":        "authorization: [redacted]\nnext",
		`{"authorization":"Bearer sk-1","x":1}`:   `{"authorization":[redacted],"x":1}`,
		`it said p\u00e4ss \u003cw>\/1 there`:     `it said [redacted] there`,
		`it said p\u00E4ss \u003Cw\u003E/1 there`: `it said [redacted] there`,
		`it said p\\u00e4ss \\u003cw>/1 there`:    `it said [redacted] there`,
		`it said two\nlines there`:                `it said [redacted] there`,
		`it said \ud83d\ude00😀\uD83D\uDE00😀 so`:   `it said [redacted] so`,
		`shown as nb\u{00A0}space there`:          `shown as [redacted] there`,
		`a trimmed one`:                           `a [redacted] one`,
		`cut: päss`:                               `cut: [redacted]`,
		`cut: päs`:                                `cut: päs`,
		`cut: päss <… (cut)`:                      `cut: [redacted]… (cut)`,
		`cut: päss <… (12 bytes more), then`:      `cut: [redacted]… (12 bytes more), then`,
		`cut: two\nl… (12 bytes mo… (cut)`:        `cut: [redacted]… (12 bytes mo… (cut)`,
		`cut: p\u00e4ss \u00… (cut)`:              `cut: [redacted]… (cut)`,
		`cut: 😀😀😀\ud83d\ude00`:                    `cut: [redacted]`,
		`cut: 😀😀😀😀\ud8`:                           `cut: [redacted]`,
		`cut: nb\u{00A0}sp\u{FFFD}`:               `cut: [redacted]\u{FFFD}`,
		"cut: päss <w\uFFFD\uFFFD":                "cut: [redacted]\uFFFD\uFFFD",
		`cut: 41112`:                              `cut: [redacted]`,
		`not cut: päss <, 41112, and C:\new\u12`:  `not cut: päss <, 41112, and C:\new\u12`,
	} {
		if got := r.Text(in); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestRedactorLearnsLabels(t *testing.T) {
	r := redact.New([]string{"pin", "token"}, approval.RedactNone)
	labels := r.Labels(map[string]string{"pin": "007", "token": "tok-99", "a": "has tok-99", "z": "has 007"})
	if labels["a"] != "has [redacted]" || labels["z"] != "has [redacted]" {
		t.Errorf("labels: %v", labels)
	}
	if got := r.Text("by 007 with tok-99."); got != "by [redacted] with [redacted]." {
		t.Errorf("text: %s", got)
	}
}

// Values that make a plain search walk far at every byte must not make this one slow.
func TestRedactorManyValues(t *testing.T) {
	many := make([]any, 0, 50_000)
	for i := range cap(many) / 2 {
		many = append(many, fmt.Sprintf("%06x", i*599), i)
	}
	var nested []any
	for i := range 700 {
		nested = append(nested, strings.Repeat("a", i+4)+"b")
	}
	for name, secrets := range map[string][]any{
		"many": many, "nested": nested, "one": {strings.Repeat("a", 200_000)}, "escapes": {strings.Repeat(`\`, 100_000)},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := json.Marshal(map[string]any{"secret": secrets, "x": strings.Repeat("a", 200_000) + strings.Repeat(`\u0061`, 10_000)})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			r := redact.New([]string{"secret"}, approval.RedactNone)
			r.Args(doc)
			r.JSON(doc)
			r.Text(string(doc))
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v for %d KiB", took, len(doc)>>10)
			}
		})
	}
}

func FuzzRedactor(f *testing.F) {
	f.Add(`{"secret":"planted-value","a":["planted-value",{"b":"x planted-value y"}]}`, "err planted-value secret: planted-value", 9)
	f.Add(`{"a":{"SECRET":{"k":["planted-value"]}}}`, `{"secret":"planted-value"}`, 4)
	f.Add(`{"planted-value":1,"planted-valu\u0065":"pl\u0061nted-value","[redacted]":"\\u0070lanted-value"}`, `\u0070lanted-value \`, 1)
	f.Add(`[{"secret":"b","b":"secret=planted-value b"},7,"\\uD83D"]`, "planted-\uFFFD", 12)
	f.Fuzz(func(t *testing.T, doc, text string, cut int) {
		const planted = "planted-value"
		r := redact.New([]string{"secret"}, approval.RedactNone)
		// The planted value is learnt, then may stand anywhere.
		r.Args(json.RawMessage(`{"secret":"` + planted + `"}`))
		cut = min(max(cut, 4), len(planted))
		for _, mark := range []string{"", "… (cut)", "… (7 bytes more)"} {
			if out := r.Text(text + planted[:cut] + mark); strings.HasSuffix(out, planted[:cut]+mark) {
				t.Fatalf("a cut secret shows in %q", out)
			}
		}
		if out := r.Text(text); strings.Contains(out, planted) {
			t.Fatalf("shows in %s", out)
		}
		var before, args, result any
		if json.Unmarshal([]byte(doc), &before) != nil {
			return
		}
		first := r.Args(json.RawMessage(doc))
		if json.Unmarshal(first, &args) != nil {
			t.Fatalf("not JSON: %s", first)
		}
		sameShape(t, before, args, planted)
		if again := r.Args(json.RawMessage(doc)); string(again) != string(first) {
			t.Fatalf("differs from time to time\n%s\n%s", first, again)
		}
		out := r.JSON(json.RawMessage(doc))
		if json.Unmarshal(out, &result) != nil || strings.Contains(string(out), planted) {
			t.Fatalf("shows in, or is not JSON: %s", out)
		}
		if again := r.JSON(json.RawMessage(doc)); string(again) != string(out) {
			t.Fatalf("differs from time to time\n%s\n%s", out, again)
		}
		if a, b := size(args), size(result); a != b {
			t.Fatalf("%d entries became %d in %s", a, b, out)
		}
	})
}

// sameShape checks that arguments keep all that no agent may hide.
func sameShape(t *testing.T, before, after any, planted string) {
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		if !ok || len(a) != len(b) {
			t.Fatalf("%v became %v", before, after)
		}
		for k, v := range b {
			shown, there := a[k]
			switch {
			case strings.ToLower(k) == "secret" && shown != redact.Mark:
				t.Fatalf("%q is not hidden: %v", k, shown)
			case strings.Contains(k, planted) && there:
				t.Fatalf("%q shows as a name", k)
			case there && shown != redact.Mark: // else its value, or one with it, is hidden, or its name is
				sameShape(t, v, shown, planted)
			}
		}
	case []any:
		a, ok := after.([]any)
		if !ok || len(a) != len(b) {
			t.Fatalf("%v became %v", before, after)
		}
		for i := range b {
			if a[i] != redact.Mark {
				sameShape(t, b[i], a[i], planted)
			}
		}
	case string:
		if a, ok := after.(string); !ok || strings.Contains(a, planted) {
			t.Fatalf("%q became %v", before, after)
		}
	default:
		if before != after {
			t.Fatalf("%v became %v", before, after)
		}
	}
}

func size(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n += size(e)
		}
	case []any:
		for _, e := range v {
			n += size(e)
		}
	}
	return n
}
