package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/tool"
)

func answer(t *testing.T, text string) (*policy.Answer, error) {
	t.Helper()
	var problems yamlfile.Problems
	m := yamlfile.Parse("t", []byte(text), &problems).Mapping()
	a := policy.ReadAnswer(m.Field("success"), m.Field("error"))
	m.Done()
	return a, problems.Err()
}

func TestAnswers(t *testing.T) {
	large, _ := json.Marshal(map[string]any{"a": strings.Split(strings.Repeat("x ", 100_000), " ")})
	for name, c := range map[string]struct{ success, failure, result, end, says string }{
		"true":               {`result.ok`, ``, `{"ok":true}`, "ran", ""},
		"false":              {`result.ok`, ``, `{"ok":false}`, "failed", "success: is false"},
		"why":                {`result.ok`, `result.error.message`, `{"ok":false,"error":{"message":"no money"}}`, "failed", "no money"},
		"made of parts":      {`result.code == 0`, `"code " + string(result.code)`, `{"code":7}`, "failed", "code 7"},
		"a large number":     {`result.n > 9007199254740000.0`, ``, `{"n":9007199254740995}`, "ran", ""},
		"whole numbers":      {`result.code == 0`, ``, `{"code":0}`, "ran", ""},
		"a text":             {`result == "OK"`, `result`, `"no"`, "failed", "no"},
		"a list":             {`result.all(r, r.status == "done")`, ``, `[{"status":"done"},{"status":"lost"}]`, "failed", ""},
		"may be absent":      {`!has(result.error)`, `result.error`, `{"a":1}`, "ran", ""},
		"control":            {`false`, `result`, `"a\u001bb"`, "failed", `a\u{001B}b`},
		"MCP is not asked":   {`true`, ``, `{"isError":true}`, "ran", ""},
		"missing":            {`result.ok`, ``, `{"a":1}`, "unknown", "ok is missing"},
		"null":               {`result.ok`, ``, `null`, "unknown", "can't be evaluated"},
		"another type":       {`result.n > 1`, ``, `{"n":"2"}`, "unknown", "another type"},
		"neither":            {`result.ok`, ``, `{"ok":"true"}`, "unknown", "neither true nor false"},
		"null is no bool":    {`result.ok`, ``, `{"ok":null}`, "unknown", "neither true nor false"},
		"read in two ways":   {`result.ok`, ``, `{"ok":true,"ok":false}`, "unknown", "a field of the result is there twice"},
		"too much":           {`result.a.all(x, result.a.exists(y, y != x && y + x != ""))`, ``, string(large), "unknown", "takes too long"},
		"why is missing":     {`result.ok`, `result.why`, `{"ok":false}`, "failed", "error: can't be evaluated: why is missing"},
		"why is a number":    {`result.ok`, `result.why`, `{"ok":false,"why":7}`, "failed", "error: gives no text"},
		"why is blank":       {`result.ok`, `result.why`, `{"ok":false,"why":" "}`, "failed", "error: gives no text"},
		"why takes too long": {`result.a.size() == 0`, `result.a.exists(x, result.a.exists(y, x + y == "z")) ? "a" : "b"`, string(large), "failed", "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			text := fmt.Sprintf("success: %q\n", c.success)
			if c.failure != "" {
				text += fmt.Sprintf("error: %q\n", c.failure)
			}
			a, err := answer(t, text)
			if err != nil {
				t.Fatal(err)
			}
			err = a.Judge(json.RawMessage(c.result))
			end := "ran"
			switch {
			case tool.IsUnknown(err):
				end = "unknown"
			case err != nil:
				end = "failed"
			}
			if end != c.end || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s (%v), want %s with %q", end, err, c.end, c.says)
			}
		})
	}
}

func TestAnswersAreCheckedAtLoad(t *testing.T) {
	for text, want := range map[string]string{
		`success: reslt.ok`:                   `t:1:10: the condition knows no "reslt"; did you mean "result"?`,
		`success: ok`:                         `conditions are CEL over result; a field is result.ok`,
		`success: args.ok`:                    `the condition knows no "args"`,
		`success: result.ok = true`:           `use == to compare`,
		`success: result.size()`:              `the condition gives int, must give true or false`,
		`success: '"yes"'`:                    `the condition gives string, must give true or false`,
		`success: result.ok &&`:               `the condition ends too early`,
		`success: true`:                       `success is true or false, must be text`,
		`success: result.a.matches("(")`:      `the pattern of matches is not a regular expression`,
		`success: result.a.matches(result.b)`: `the pattern of matches is not written out`,
		`success: timestamp(result.t).getHours("Europe/Berln") > 1`: `the time zone "Europe/Berln" is not known`,
		"success: result.ok\nerror: size(result)":                   `t:2:8: the expression gives int, must give a text`,
		"success: result.ok\nerror: resul.x":                        `t:2:8: the expression knows no "resul"`,
		"error: result.why":                                         `t:1:8: error says why success is false, but there is no success`,
		"success: result" + strings.Repeat(".a", 2500):              `longer than 4096 bytes`,
	} {
		if _, err := answer(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s\n got %v\nwant %s", text, err, want)
		}
	}
}
