package strictjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

func TestCheckFolded(t *testing.T) {
	for doc, want := range map[string]string{
		`{"amount":1,"AMOUNT":5000}`:           `at the top: the keys "amount" and "AMOUNT" differ in case only`,
		`{"items":[{"id":1},{"id":1,"Id":2}]}`: `at /items/1: the keys "id" and "Id" differ in case only`,
		`{"tasks":1,"ta\u017fks":2}`:           `the keys "tasks" and "taſks" differ in case only`,
		`{"key":1,"\u212aey":2}`:               `differ in case only`,
		`{"a":{"STRASSE":1,"straße":2}}`:       "", // no reader folds ß to two letters
		`{"a":1,"a":2}`:                        `the key "a" is given twice`,
		`{"a":{"b":1},"b":{"A":1}}`:            "",
		`{"AMOUNT":1}`:                         "",
		`[1]`:                                  "must be a JSON object",
	} {
		err := strictjson.CheckFolded("args", []byte(doc), 1000)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	for doc, want := range map[string]string{
		`{"a":[1,2.5,-3e10,true,null,"ü"]}`:  "",
		`9007199254740992`:                   "",
		`"\ud83d\ude00"`:                     "",
		`"\uFFFD"`:                           "",
		`{"a":1,"a":2}`:                      `the key "a" is given twice`,
		`{"x":{"a":1,"\u0061":2}}`:           `at /x: the key "a" is given twice`,
		`9007199254740993`:                   "beyond 2^53",
		`{"a":[-9007199254740993]}`:          "at /a/0: the integer is beyond 2^53",
		`123456789012345678901234567890`:     "beyond 2^53",
		`1e400`:                              "number is too large",
		`"a\u0000b"`:                         "NUL",
		`{"a\u0000":1}`:                      "NUL",
		`"\ud800"`:                           "surrogate",
		`{"a":"x\uDC00y"}`:                   "at /a: text holds half of a surrogate pair",
		"\"\xff\"":                           "UTF-8",
		`{"m":"\ud83d \"x\" y"}`:             "at /m: text holds half of a surrogate pair",
		`{"\udc00\"":1}`:                     "surrogate",
		`["\ud83d\u0041\\ude00"]`:            "surrogate",
		`["\ud83d\ud83d\ude00"]`:             "surrogate",
		"[\"\uFFFD \\ud83d\\uDE00\"]":        "",
		`["\\ud800 \uFFFD"]`:                 "",
		`{ "\ufffd" : [ "\ufffd" , "\\" ] }`: "",
		`9007199254740993.0`:                 "beyond 2^53",
		`9007199254740993e0`:                 "beyond 2^53",
		`90071992547409930e-1`:               "beyond 2^53",
		`-0.9007199254740993E16`:             "beyond 2^53",
		`9007199254740992.5`:                 "beyond 2^53",
		`9007199254740991.9`:                 "beyond 2^53",
		`9007199254740994.0`:                 "beyond 2^53",
		`123456789012345678901e0`:            "beyond 2^53",
		`[9007199254740992.0,-9007199254740992,9007199254740991.0,9.007199254740992e15]`: "",
		`[1e20,-1.50e300,12e0000000000000000000000021,0e999999999999,1e-999999999999]`:   "",
		`1e99999999999999999999`:               "number is too large",
		`{} {}`:                                "more after the end",
		`{"a":1`:                               "ends too early",
		``:                                     "ends too early",
		`{a:1}`:                                "not JSON",
		`[1,]`:                                 "not JSON",
		strings.Repeat("[", 200):               "nested deeper",
		strings.Repeat(`{"a":`, 150) + "1":     "nested deeper",
		`{"password":9007199254740993,"b":{}}`: "at /password",
	} {
		err := strictjson.Check([]byte(doc))
		switch {
		case want == "" && err != nil:
			t.Errorf("%.60s: %v", doc, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%.60s: %v, want %q", doc, err, want)
		case err != nil && approval.CodeOf(err) != approval.CodeInvalid:
			t.Errorf("%.60s: code %q", doc, approval.CodeOf(err))
		}
	}
}

// Whatever is taken has a digest.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{`{"m":"\ud83d \"x\" y"}`, `["\ud83d\ude00�"]`, `["\\ud800"]`, `[9007199254740993.0,1e20,-0,1e-400]`, `{"a":{"a":[]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if strictjson.Check(doc) != nil || !strings.ContainsAny(strings.TrimLeft(string(doc), " \t\r\n")[:1], "[{") {
			return
		}
		canonical, err := strictjson.Canonical(json.RawMessage(doc))
		if err != nil {
			t.Fatalf("taken, but %v: %s", err, doc)
		}
		if again, err := strictjson.Canonical(json.RawMessage(canonical)); err != nil || string(again) != string(canonical) {
			t.Fatalf("the canonical form has another: %v\n%s\n%s", err, canonical, again)
		}
	})
}

func TestDecode(t *testing.T) {
	for doc, want := range map[string]string{
		`{"tool":"x"}`:                        "",
		`{"tool":"x","require_aproval":true}`: `unknown field "require_aproval"`,
		`{"tool":"x","requireApproval":true}`: `did you mean "require_approval"?`,
		`{"Tool":"x"}`:                        `did you mean "tool"?`,
		`{"tool":7}`:                          "tool: is a number, must be a string",
		`{"tool":"x","labels":["a"]}`:         "labels: is a array, must be an object",
		`{"tool":"x","timeout":"soon"}`:       "not a length of time",
		`{"tool":"x","timeout":-1}`:           "not a length of time",
		`[]`:                                  "must be a JSON object",
		`null`:                                "must be a JSON object",
		`"tool"`:                              "must be a JSON object",
	} {
		var c approval.Call
		err := strictjson.Decode([]byte(doc), &c)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
	}
}

func TestDecodeKnown(t *testing.T) {
	for doc, want := range map[string]string{
		`{"tool":"x"}`:                                    "x",
		`{"tool":"<x>","colour":{"red":[1]}}`:             "<x>",
		`{"Tool":"y","tool":"x","TOOL":null,"agent":"a"}`: "x",
		`{"Tool":"y"}`:                                    "",
		`{"tool":7,"colour":1}`:                           "error",
		`{"tool":"x","colour":1,"colour":2}`:              "error",
		`["tool"]`:                                        "error",
	} {
		var c approval.Call
		err := strictjson.DecodeKnown([]byte(doc), &c)
		if (err != nil) != (want == "error") || err == nil && c.Tool != want {
			t.Errorf("%s: %+v, %v", doc, c, err)
		}
	}
	var kept struct {
		Doc json.RawMessage `json:"doc"`
	}
	if err := strictjson.DecodeKnown([]byte(`{"doc":{"b":"<>","a":1e2}, "more":1}`), &kept); err != nil || string(kept.Doc) != `{"b":"<>","a":1e2}` {
		t.Errorf("%s, %v", kept.Doc, err)
	}
}
