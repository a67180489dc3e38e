package policy_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/strictjson"
)

// An entry of allow holds for the whole call: one more text, path or argument spoils it. In deny one
// part suffices.
func TestAllowHoldsForTheWholeCall(t *testing.T) {
	const (
		allows = "allow"
		asks   = "require_approval"
		denies = "deny"
	)
	for name, c := range map[string]struct{ entry, args, want string }{
		"every text matches":        {"match_regex: ^(ls|pwd)$", `{"command":"ls","then":["pwd"]}`, allows},
		"another field":             {"match_regex: ^(ls|pwd)$", `{"command":"rm -fr /srv/data","note":"ls"}`, asks},
		"deeper":                    {"match_regex: ^(ls|pwd)$", `{"command":"ls","opts":{"env":["X=1"]}}`, asks},
		"an empty text":             {"match_regex: ^(ls|pwd)$", `{"command":"ls","note":""}`, asks},
		"each by one of two":        {"match_regex: [^ls$, ^pwd$]", `{"a":"ls","b":"pwd"}`, allows},
		"no text":                   {"match_regex: .*", `{"n":1}`, asks},
		"a word in every text":      {"contains: docs", `{"a":"the docs","b":{"c":"more DOCS"}}`, allows},
		"a word in one text":        {"contains: docs", `{"a":"the docs","b":"rm"}`, asks},
		"a word in a key":           {"contains: docs", `{"docs":"x"}`, asks},
		"deny by one word":          {"contains: docs", `{"a":"the docs","b":"rm"}`, denies},
		"deny by one text":          {"match_regex: ^ls$", `{"a":"ls","b":"rm"}`, denies},
		"only that field":           {"fields: {command: {match_regex: ^ls$}}", `{"command":"ls","note":"rm"}`, allows},
		"that field, else":          {"fields: {command: {match_regex: ^ls$}}", `{"command":"rm","note":"ls"}`, asks},
		"that field is a list":      {"fields: {command: {match_regex: ^ls$}}", `{"command":["ls","ls"]}`, allows},
		"that field, one of a list": {"fields: {command: {match_regex: ^ls$}}", `{"command":["ls","rm"]}`, asks},
		"that field is no text":     {"fields: {command: {match_regex: ^ls$}}", `{"command":{"x":"ls"}}`, asks},
		"that field is an empty list": {
			"fields: {command: {match_regex: ^ls$}}", `{"command":[]}`, asks},
		"that field is missing":    {"fields: {command: {match_regex: ^ls$}}", `{"note":"ls"}`, asks},
		"that field in other case": {"fields: {command: {match_regex: ^ls$}}", `{"Command":"ls"}`, asks},
		"a word in that field":     {"fields: {a: {contains: x}, b: {contains: y}}", `{"a":"xx","b":"yy","c":"z"}`, allows},
		"a word in one of two":     {"fields: {a: {contains: x}, b: {contains: y}}", `{"a":"xx","b":"xx"}`, asks},
		"a path in that field":     {"fields: {path: {path_prefix: /srv}}", `{"path":"/srv/a","content":"see /etc/x"}`, allows},
		"another path in it":       {"fields: {path: {path_prefix: /srv}}", `{"path":"/etc/a"}`, asks},
		"only these":               {"fields: {a: {match_regex: ^ls$}}, only_fields: true", `{"a":"ls"}`, allows},
		"others, too":              {"fields: {a: {match_regex: ^ls$}}, only_fields: true", `{"a":"ls","b":1}`, asks},
		"only what is compared":    {"amount_lte: 5, only_fields: true", `{"amount":1}`, allows},
		"and more":                 {"amount_lte: 5, only_fields: true", `{"amount":1,"to":"x"}`, asks},
		"deny by that field":       {"fields: {command: {match_regex: rm}}", `{"command":"rm x"}`, denies},
		"deny by no other field":   {"fields: {command: {match_regex: rm}}", `{"command":"ls","note":"rm"}`, asks},
		"deny without that field":  {"fields: {command: {match_regex: rm}}", `{"note":"ls"}`, denies},
		"deny by other case":       {"fields: {command: {match_regex: rm}}", `{"COMMAND":"rm"}`, denies},
		"deny by a number in it":   {"fields: {command: {contains: rm}}", `{"command":7}`, denies},

		"up to a bound":     {"amount_lte: 50", `{"amount":50}`, allows},
		"negative":          {"amount_lte: 50", `{"amount":-1000000}`, asks},
		"hardly negative":   {"amount_lt: 50", `{"amount":-0.01}`, asks},
		"zero":              {"amount_lt: 50", `{"amount":0}`, allows},
		"a negative label":  {"amount_lt: 50", `{"label":1}`, asks},
		"between bounds":    {"amount_lte: 50, amount_gte: -10", `{"amount":-5}`, allows},
		"another's bound":   {"amount_lte: 50, total_gte: -10", `{"amount":-5,"total":1}`, asks},
		"deny has no floor": {"amount_lte: 50", `{"amount":-5}`, denies},
	} {
		t.Run(name, func(t *testing.T) {
			sections := []string{"allow"}
			if c.want == denies || strings.HasPrefix(name, "deny") {
				sections = []string{"deny"}
			}
			for _, section := range sections {
				set := compile(t, file("p.yaml", section+": [{capability: t, "+c.entry+"}]"))
				if got, _, _ := strings.Cut(verdict(t, set, `{"tool":"t","args":`+c.args+`}`), " | "); got != c.want {
					t.Errorf("%s: got %s, want %s", section, got, c.want)
				}
			}
		})
	}
}

// A path is looked for under every name, at any depth.
func TestPathsUnderEveryName(t *testing.T) {
	for args, c := range map[string]struct{ allowed, denied bool }{ // under /srv/work; by /etc
		`{"path":"/srv/work/a"}`:                                        {true, false},
		`{"path":"/srv/work/a","mode":"rw","n":3}`:                      {true, false},
		`{"path":"/srv/work/a","destination":"/etc/cron.d/x"}`:          {false, true},
		`{"path":"/srv/work/a","destination":"/srv/work/b"}`:            {true, false},
		`{"path":"/srv/work/a","new_path":"/etc/x"}`:                    {false, true},
		`{"path":"/srv/work/a","newPath":"x"}`:                          {false, true}, // relative to who knows what
		`{"path":"/srv/work/a","paths":["/srv/work/b","/etc/x"]}`:       {false, true},
		`{"path":"/srv/work/a","ops":[{"path":"/etc/x"}]}`:              {false, true},
		`{"path":"/srv/work/a","ops":[{"deep":{"x":["/etc/x"]}}]}`:      {false, true},
		`{"path":"/srv/work/a","uri":"file:///etc/x"}`:                  {false, true},
		`{"path":"/srv/work/a","x":"../../etc/passwd"}`:                 {false, true},
		`{"path":"/srv/work/a","x":"%2fetc%2fpasswd"}`:                  {false, true},
		`{"path":"/srv/work/a","x":"~/.ssh/id"}`:                        {false, true},
		`{"path":"/srv/work/a","x":"$HOME"}`:                            {false, false}, // no place is named
		`{"path":"/srv/work/a","x":"／etc／passwd"}`:                      {false, true},
		`{"path":"/srv/work/a","x":"\\etc\\passwd"}`:                    {false, true},
		`{"path":"/srv/work/a","content":"first\n/etc/passwd\n"}`:       {false, true},
		`{"path":"/srv/work/a","content":"read it and/or write it"}`:    {false, false},
		`{"path":"/srv/work/a","url":"https://example.com/etc/x"}`:      {false, false},
		`{"path":"/srv/work/a","source":"https://example.com/etc/x"}`:   {false, false},
		`{"path":"/srv/work/a","content":"plain words, 3.5 and a@b.c"}`: {true, false},
		`{"path":"/srv/work/a","OUTPUT":"x"}`:                           {false, true},
		`{"path":"/srv/work/a","Path":"/srv/work/b"}`:                   {false, true},
		`{"destination":"/srv/work/b"}`:                                 {false, true}, // none of the usual names
		`{"x":"/etc/passwd"}`:                                           {false, true},
		`{"path":"/srv/work/a","ops":[{"file":7}]}`:                     {false, true},
		`{"path":"/srv/work/a","edits":{"/etc/x":"hi"}}`:                {false, true}, // the name is the path
		`{"path":"/srv/work/a","ops":[{"x":{"../x":[1]}}]}`:             {false, true},
		`{"path":"/srv/work/a","files":{"etc/x":1}}`:                    {false, true},
		`{"path":"/srv/work/a","edits":{"/srv/work/b":"hi"}}`:           {true, false},
		`{"path":"/srv/work/a","file_options":{"mode":7}}`:              {true, false},
	} {
		allowed := entryTakes(t, "allow", "/srv/work", []byte(args))
		denied := entryTakes(t, "deny", "/etc", []byte(args))
		if allowed != c.allowed || denied != c.denied {
			t.Errorf("%s: allowed %v, denied %v; want %+v", args, allowed, denied, c)
		}
	}
}

// Entries that allow nothing, or say less than they seem to.
func TestFieldsAreChecked(t *testing.T) {
	for entry, want := range map[string]string{
		"deny: [{capability: t, only_fields: true, fields: {a: {contains: x}}}]": "only_fields is for allow",
		"allow: [{capability: t, only_fields: true}]":                            "names no field",
		"allow: [{capability: t, fields: {}}]":                                   "fields names no argument",
		"allow: [{capability: t, fields: {a: {}}}]":                              "nothing is said about the argument a",
		"allow: [{capability: t, fields: {a: {match: x}}}]":                      `unknown field "match"`,
		"allow: [{capability: t, fields: command}]":                              "fields is text, must be a mapping",
		"allow: [{capability: t, fields: {a: {match_regex: '('}}}]":              "the regular expression is not valid",
		"allow: [{capability: t, amount_lt: 0}]":                                 "warning: amount_lt 0 allows nothing",
		"allow: [{capability: t, amount_lte: -5}]":                               "write a lower bound, too: amount_gte",
		"allow: [{capability: t, amount_lte: -5, amount_gte: -9}]":               "",
		"deny: [{capability: t, amount_lte: -5}]":                                "",
	} {
		got := policy.Check(file("p.yaml", entry)).Error()
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", entry, got, want)
		}
	}
}

// Whatever the arguments: allow holds only where a slow and obvious reading says so of all of them.
func FuzzAllow(f *testing.F) {
	for _, args := range []string{
		`{"command":"abc"}`, `{"command":"abc","x":true,"y":[null,7,{}]}`, `{"command":"abc","x":["abx",{"y":"/srv/a"}]}`, `{"path":"/srv/a","x":"abx"}`, `{"amount":5}`,
		`{"amount":-5}`, `{"environment":"dev"}`, `{"environment":[3],"Environment":3}`, `{"command":"x","path":"/srv/a"}`, `{"command":"abx","amount":1,"n":{"AMOUNT":7}}`, `{"path":["/srv/a","/etc/b"]}`, `{"path":"/srv/a","to":"/etc"}`,
	} {
		f.Add([]byte(args))
	}
	var texts, others func(v any) []string // what says something, by whether it is text
	gather := func(v any, from func(any) []string) (all []string) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				all = append(all, from(e)...)
			}
		case map[string]any:
			for _, e := range v {
				all = append(all, from(e)...)
			}
		}
		return all
	}
	texts = func(v any) []string {
		if s, ok := v.(string); ok {
			return []string{s}
		}
		return gather(v, texts)
	}
	others = func(v any) []string {
		switch v.(type) {
		case nil, bool, float64:
			doc, _ := json.Marshal(v)
			return []string{string(doc)}
		}
		return gather(v, others)
	}
	each := func(args map[string]any, is func(string) bool) bool {
		all := texts(args)
		for _, text := range append(all, others(args)...) {
			if !is(text) {
				return false
			}
		}
		return len(all) > 0
	}
	letters := regexp.MustCompile(`^[a-z]+$`)
	entries := map[string]func(map[string]any) bool{
		"match_regex: '^[a-z]+$'": func(args map[string]any) bool { return each(args, letters.MatchString) },
		"contains: x": func(args map[string]any) bool {
			return each(args, func(s string) bool { return strings.Contains(strings.ToLower(s), "x") })
		},
		"amount_lte: 50": func(args map[string]any) bool {
			n, ok := args["amount"].(float64)
			return ok && n >= 0 && n <= 50
		},
		"fields: {command: {match_regex: '^[a-z]+$'}}, only_fields: true": func(args map[string]any) bool {
			return len(args) == 1 && args["command"] != nil && each(args, letters.MatchString)
		},
		"environment: [dev, 3]": func(args map[string]any) bool {
			return args["environment"] == "dev" || args["environment"] == 3.0
		},
		"fields: {command: {contains: x}, path: {path_prefix: /srv/}}": func(args map[string]any) bool {
			if text, ok := args["path"].(string); ok && !strings.HasPrefix(strings.TrimLeft(text, "/."), "srv/") {
				return false
			}
			return each(map[string]any{"c": args["command"]}, func(s string) bool { return strings.Contains(strings.ToLower(s), "x") })
		},
		"path_prefix: /srv/": func(args map[string]any) bool {
			for _, text := range texts(args) {
				if strings.ContainsAny(text, `/\`) && !strings.HasPrefix(strings.TrimLeft(text, "/"), "srv/") &&
					!strings.HasPrefix(text, "/./") {
					return false
				}
			}
			return true
		},
	}
	sets := map[string]*policy.Set{}
	for entry := range entries {
		set, err := policy.Compile(file("p.yaml", "allow: [{capability: t, "+entry+"}]"))
		if err != nil {
			f.Fatal(err)
		}
		sets[entry] = set
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var args map[string]any
		if strictjson.CheckFolded("args", doc, 1<<12) != nil || json.Unmarshal(doc, &args) != nil {
			return
		}
		for entry, reference := range entries {
			v := sets[entry].Evaluate(approval.Call{Tool: "t", Args: doc}, now)
			if v.Kind == approval.VerdictAllow && !reference(args) {
				t.Errorf("%s allows %s", entry, doc)
			}
		}
	})
}
