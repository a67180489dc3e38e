package policytest_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy/policytest"
)

func TestReadCases(t *testing.T) {
	cases, err := policytest.ReadCases("calls.ndjson", strings.NewReader(`
{"tool":"a","args":{"n":1},"labels":{"env":"prod"}}

{"id":"pawl-1","tool":"b","args":{"pin":"[redacted]"},"digest":"d","status":"pending","agent":"x","created_at":"2026-03-01T12:00:00Z"}
{"call_id":"pawl-2","kind":"call.requested","payload":{"call":{"id":"pawl-2","tool":"c","status":"executed","created_at":"2026-03-02T12:00:00Z"},"verdict":{}}}
{"call_id":"pawl-2","kind":"call.ended","payload":{"outcome":{}}}
{"call_id":"pawl-3","kind":"call.blocked","payload":{"call":{"id":"pawl-3","tool":"","status":"blocked"}}}
{"call_id":"pawl-4","kind":"call.requested","payload":null}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range cases {
		got = append(got, c.Place+" "+c.Call.Tool+" "+string(c.Call.Args)+" "+c.At.Format("01-02"))
	}
	want := []string{`calls.ndjson:2 a {"n":1} 01-05`, `calls.ndjson:4 b {"pin":"[redacted]"} 03-01`, `calls.ndjson:5 c {} 03-02`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if cases[0].Redacted() || !cases[1].Redacted() {
		t.Error("what was hidden is not told from what was not")
	}
	for args, hidden := range map[string]bool{
		`{"pin":"[redacted]"}`:                      true,
		`{"cmd":"curl -u ann:[redacted]"}`:          true,
		`{"to":"[same as a redacted field]"}`:       true,
		`{"note":"the names were redacted"}`:        false,
		`{"redacted":true,"Redacted":"redacted"}`:   false,
		`{"note":"(redacted)","list":["redacted"]}`: false,
	} {
		c := policytest.Case{Call: approval.Call{Tool: "t", Args: json.RawMessage(args)}}
		if c.Redacted() != hidden {
			t.Errorf("%s: something is hidden: %v", args, !hidden)
		}
	}
}

func TestReadCasesRefuses(t *testing.T) {
	_, err := policytest.ReadCases("f", strings.NewReader("{\"tool\":\"a\"}\nsecret-value\n{\"tool\":\"b c\"}\n[1]\n{\"tool\":\"a\",\"argz\":{}}\n{\"tool\":\"a\",\"tool\":\"b\"}\n{\"tool\":7,\"status\":\"x\"}\n"))
	want := []string{"f:2:1: not JSON", "f:3:1: tool is not a tool name", "f:4:1: is not a JSON object", `f:5:1: unknown field "argz"`, `f:6:1: at the top: the key "tool" is given twice`, "f:7:1: is not a call as the API shows it"}
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, w := range want {
		if len(lines) != len(want) || !strings.HasPrefix(lines[i], w) {
			t.Fatalf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Error("the error quotes the file")
	}
	long := append([]byte(`{"tool":"a","reason":"`), bytes.Repeat([]byte("x"), 3<<20)...)
	if _, err := policytest.ReadCases("f", bytes.NewReader(long)); err == nil || !strings.Contains(err.Error(), "f:1:1: can't be read on: the line is longer than") {
		t.Errorf("a long line: %v", err)
	}
}

func TestLoadCases(t *testing.T) {
	dir := write(t, map[string]string{
		"a_test.yaml":  "policy: [org.yaml]\ncalls:\n  - {name: from a suite, call: {tool: mail}}\n",
		"calls.ndjson": `{"tool":"a"}`,
	})
	for name, want := range map[string]string{"a_test.yaml": "from a suite", "calls.ndjson": "a"} {
		if cases, err := policytest.LoadCases(filepath.Join(dir, name)); err != nil || len(cases) != 1 || cases[0].Name != want {
			t.Errorf("%s: %+v, %v", name, cases, err)
		}
	}
	for _, name := range []string{"no.yaml", "no.ndjson"} {
		if _, err := policytest.LoadCases(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), "can't be read") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever the text: no panic, and either calls that could be started, or problems.
func FuzzReadCases(f *testing.F) {
	f.Add([]byte("{\"tool\":\"a\"}\n{\"status\":\"x\",\"tool\":\"b\"}\n{\"payload\":{\"call\":{\"tool\":\"c\"}}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cases, err := policytest.ReadCases("f", bytes.NewReader(data))
		if err != nil && cases != nil {
			t.Fatalf("cases %v, error %v", cases, err)
		}
		for _, c := range cases {
			if err := c.Call.Validate(); err != nil {
				t.Errorf("call %+v: %v", c.Call, err)
			}
		}
	})
}
