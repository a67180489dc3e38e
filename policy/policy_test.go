package policy_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
)

func compile(t testing.TB, files ...policy.File) *policy.Set {
	t.Helper()
	set, err := policy.Compile(files...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func file(name, text string) policy.File { return policy.File{Name: name, Data: []byte(text)} }

// said is a verdict without its digest and requirement, which every test checks alike.
type said struct {
	kind    approval.VerdictKind
	timeout time.Duration
	risk    approval.Risk
	redact  string // joined by a space
	layer   string
	rule    string // and, behind a bar, why
}

func evaluate(t *testing.T, set *policy.Set, c approval.Call) said {
	t.Helper()
	v := set.Evaluate(c, now)
	if err := v.Validate(); err != nil {
		t.Errorf("invalid verdict: %v", err)
	}
	if v.Policy.Digest != set.Digest() {
		t.Errorf("the verdict names policy %s, the set is %s", v.Policy.Digest, set.Digest())
	}
	if v.ValidFor != approval.DefaultValidFor {
		t.Errorf("valid for %v, want %v", v.ValidFor, approval.DefaultValidFor)
	}
	if want := approval.OneApproval(); v.Kind == require && !reflect.DeepEqual(v.Requirement, want) {
		t.Errorf("requirement %v, want %v", v.Requirement, want)
	}
	if v.Kind == allow && (v.Requirement != nil || v.Timeout != 0) {
		t.Errorf("allowed, but with requirement %v and timeout %v", v.Requirement, v.Timeout)
	}
	rule := v.Policy.Rule
	if v.Policy.Why != "" {
		rule += " | " + v.Policy.Why
	}
	return said{v.Kind, v.Timeout.Std(), v.Risk, strings.Join(v.Redact, " "), v.Policy.Layer, rule}
}

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

const (
	allow   = approval.VerdictAllow
	require = approval.VerdictRequire
)

func TestOneLayer(t *testing.T) {
	set := compile(t, file("dir/policy.yaml", `
default_timeout: 30m
redact_fields: [password]
rules:
  - tool: "*"
    redact_fields: [anything]
    risk_level: low
    timeout: 2h
  - tool: send_email
    require_approval: true
    timeout: 90
    risk_level: high
    redact_fields: [Body, PASSWORD]
  - tool: read_docs
    auto_approve: true
  - tool: plain
  - tool: not_by_itself
    auto_approve: false
  - tool: doubly_allowed
    auto_approve: true
    require_approval: false
    timeout: 5m
`))
	for name, c := range map[string]struct {
		call approval.Call
		want said
	}{
		"exact name":               {approval.Call{Tool: "send_email"}, said{require, 90 * time.Second, "high", "Body password", "policy", "policy.yaml:9 tool send_email"}},
		"allowed":                  {approval.Call{Tool: "read_docs"}, said{allow, 0, "", "password", "policy", "policy.yaml:14 tool read_docs"}},
		"neither flag":             {approval.Call{Tool: "plain"}, said{require, 30 * time.Minute, "", "password", "policy", "policy.yaml:16 tool plain"}},
		"auto_approve false":       {approval.Call{Tool: "not_by_itself"}, said{require, 30 * time.Minute, "", "password", "policy", "policy.yaml:17 tool not_by_itself"}},
		"require_approval false":   {approval.Call{Tool: "doubly_allowed"}, said{allow, 0, "", "password", "policy", "policy.yaml:19 tool doubly_allowed"}},
		"star":                     {approval.Call{Tool: "rm"}, said{require, 2 * time.Hour, "low", "anything password", "policy", "policy.yaml:5 tool *"}},
		"names keep their case":    {approval.Call{Tool: "Read_docs"}, said{require, 2 * time.Hour, "low", "anything password", "policy", "policy.yaml:5 tool *"}},
		"a call shortens":          {approval.Call{Tool: "send_email", Timeout: approval.Duration(time.Minute)}, said{require, time.Minute, "high", "Body password", "policy", "policy.yaml:9 tool send_email"}},
		"a call can't lengthen":    {approval.Call{Tool: "send_email", Timeout: approval.Duration(time.Hour)}, said{require, 90 * time.Second, "high", "Body password", "policy", "policy.yaml:9 tool send_email"}},
		"a negative wait is none":  {approval.Call{Tool: "send_email", Timeout: -1}, said{require, 90 * time.Second, "high", "Body password", "policy", "policy.yaml:9 tool send_email"}},
		"a call asks for approval": {approval.Call{Tool: "read_docs", RequireApproval: true}, said{require, 30 * time.Minute, "", "password", "policy", "policy.yaml:14 tool read_docs | the call asks for approval"}},
		"and gets the rule's wait": {approval.Call{Tool: "doubly_allowed", RequireApproval: true}, said{require, 5 * time.Minute, "", "password", "policy", "policy.yaml:19 tool doubly_allowed | the call asks for approval"}},
		"asking changes no more":   {approval.Call{Tool: "plain", RequireApproval: true}, said{require, 30 * time.Minute, "", "password", "policy", "policy.yaml:16 tool plain"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := evaluate(t, set, c.call); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestNothingMatches(t *testing.T) {
	for name, c := range map[string]struct {
		files []policy.File
		want  said
	}{
		"no files":         {nil, said{require, time.Hour, "", "", "", "no rule matches"}},
		"no rules":         {[]policy.File{file("p", "rules: []")}, said{require, time.Hour, "", "", "", "no rule matches"}},
		"the file's own":   {[]policy.File{file("p", "{default_timeout: 24h, redact_fields: [pin], rules: []}")}, said{require, 24 * time.Hour, "", "pin", "", "no rule matches"}},
		"the shortest one": {[]policy.File{file("a", "{default_timeout: 3h, rules: []}"), file("b", "{default_timeout: 2h, rules: []}"), file("c", "rules: []")}, said{require, 2 * time.Hour, "", "", "", "no rule matches"}},
		"thirty days":      {[]policy.File{file("p", "{default_timeout: 720h, rules: []}")}, said{require, 720 * time.Hour, "", "", "", "no rule matches"}},
	} {
		t.Run(name, func(t *testing.T) {
			set := compile(t, c.files...)
			if got := evaluate(t, set, approval.Call{Tool: "any"}); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if len(set.Digest()) != 64 {
				t.Errorf("digest %q", set.Digest())
			}
		})
	}
}

func TestLayers(t *testing.T) {
	const orgText = `
layer: org
redact_fields: [ssn, Token]
rules:
  - {tool: deploy, timeout: 24h, risk_level: medium, redact_fields: [env]}
  - {tool: read, auto_approve: true, timeout: 10s, risk_level: critical}
  - {tool: strict}
  - {tool: push, auto_approve: true, timeout: 1m}
`
	const teamText = `
layer: team
default_timeout: 2h
redact_fields: [token]
rules:
  - {tool: deploy, auto_approve: true, timeout: 1m, risk_level: high, redact_fields: [region]}
  - {tool: read, auto_approve: true}
  - {tool: strict, timeout: 3h}
  - {tool: build, auto_approve: true}
  - {tool: own, risk_level: low}
  - {tool: push, timeout: 4h}
`
	org, team := file("org.yaml", orgText), file("team.yaml", teamText)
	for name, c := range map[string]struct {
		call approval.Call
		want said
	}{
		"the strictest wins, with its wait":      {approval.Call{Tool: "deploy"}, said{require, 24 * time.Hour, "high", "Token env region ssn", "org", "org.yaml:5 tool deploy"}},
		"whichever layer it is in":               {approval.Call{Tool: "push"}, said{require, 4 * time.Hour, "", "Token ssn", "team", "team.yaml:11 tool push"}},
		"all allow":                              {approval.Call{Tool: "read"}, said{allow, 0, "critical", "Token ssn", "org", "org.yaml:6 tool read"}},
		"all allow, the call asks":               {approval.Call{Tool: "read", RequireApproval: true}, said{require, 10 * time.Second, "critical", "Token ssn", "org", "org.yaml:6 tool read | the call asks for approval"}},
		"an unstated wait is no wait of an hour": {approval.Call{Tool: "strict"}, said{require, 3 * time.Hour, "", "Token ssn", "org", "org.yaml:7 tool strict"}},
		"a silent layer has no say":              {approval.Call{Tool: "build"}, said{allow, 0, "", "Token ssn", "team", "team.yaml:9 tool build"}},
		"one layer decides alone":                {approval.Call{Tool: "own"}, said{require, 2 * time.Hour, "low", "Token ssn", "team", "team.yaml:10 tool own"}},
		"nothing matches anywhere":               {approval.Call{Tool: "other"}, said{require, 2 * time.Hour, "", "Token ssn", "", "no rule matches"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, files := range [][]policy.File{{org, team}, {team, org}} {
				if got := evaluate(t, compile(t, files...), c.call); got != c.want {
					t.Errorf("%s first:\ngot  %+v\nwant %+v", files[0].Name, got, c.want)
				}
			}
		})
	}
	if a, b := compile(t, org, team), compile(t, team, org); a.Digest() != b.Digest() || !reflect.DeepEqual(a.Sources(), b.Sources()) {
		t.Error("the order of the files makes a difference")
	}
	star := file("floor.yaml", `rules: [{tool: "*", require_approval: true}]`)
	if got := evaluate(t, compile(t, team, star), approval.Call{Tool: "build"}); got.kind != require {
		t.Errorf("a layer with a star has no last word: %+v", got)
	}
}

func TestLayerNames(t *testing.T) {
	for name, c := range map[string]struct {
		files []policy.File
		want  string
	}{
		"same base name": {
			[]policy.File{file("a/policy.yaml", "rules: []"), file("b/policy.yaml", "rules: []")},
			`b/policy.yaml:1:1: the layer "policy" exists already; give each file its own with "layer: NAME"; the first is at a/policy.yaml:1:1`,
		},
		"same given name": {
			[]policy.File{file("org.yaml", "rules: []"), file("b.yaml", "rules: []\nlayer: org")},
			`b.yaml:2:8: the layer "org" exists already; give each file its own with "layer: NAME"; the first is at org.yaml:1:1`,
		},
		"no base name":     {[]policy.File{file(".yaml", "rules: []")}, `.yaml:1:1: the layer's name is empty, or begins or ends with a space; give it another with "layer: NAME"`},
		"hidden in a name": {[]policy.File{file("a\u200b.yaml", "rules: []")}, `a\u{200B}.yaml:1:1: the layer's name holds characters that can't be seen; give it another with "layer: NAME"`},
		"too long":         {[]policy.File{file("p", "rules: []\nlayer: "+strings.Repeat("x", 201))}, `p:2:8: the layer's name is longer than 200 bytes; give it another with "layer: NAME"`},
		"empty files": {
			[]policy.File{file("a", ""), file("b", "")},
			"a:1:1: the file is empty; fill it in, or leave the file out\nb:1:1: the file is empty; fill it in, or leave the file out",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := policy.Compile(c.files...); err == nil || err.Error() != c.want {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	for path, text := range map[string]string{good: "rules: [{tool: a, auto_approve: true}]", bad: "rules: 1"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set, err := policy.Load(good)
	if err != nil {
		t.Fatal(err)
	}
	if got := evaluate(t, set, approval.Call{Tool: "a"}); got.kind != allow || got.layer != "good" {
		t.Errorf("loaded: %+v", got)
	}
	_, err = policy.Load(filepath.Join(dir, "absent.yaml"), good, bad)
	problems, ok := errors.AsType[yamlfile.Problems](err)
	if !ok || len(problems) != 2 || !strings.Contains(err.Error(), "absent.yaml: can't be read") || !strings.Contains(err.Error(), "bad.yaml:1:8") {
		t.Errorf("problems of every file: %v", err)
	}
	if set, err := policy.Load(); err != nil || set.Digest() == "" {
		t.Errorf("no paths: %v, %v", set, err)
	}
}

func TestDigest(t *testing.T) {
	base := file("p.yaml", "rules: []")
	same := file("elsewhere/p.yaml", "rules: []")
	named := file("q.yaml", "rules: []")
	reformatted := file("p.yaml", "rules:  []")
	digest := compile(t, base).Digest()
	// Stored verdicts and audit entries name this digest: it never changes.
	if want := "db305f883452a5778b912afa160e86566565bb3cf8a6e8519a69cd5129340f59"; digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	if got := compile(t, same).Digest(); got != digest {
		t.Error("the directory makes a difference")
	}
	for _, other := range []policy.File{named, reformatted} {
		if compile(t, other).Digest() == digest {
			t.Errorf("%+v has the same digest as %+v", other, base)
		}
	}
	if compile(t).Digest() == digest {
		t.Error("no files have the same digest as one")
	}
}

// Neither what Compile was given nor what a set gives out changes the set.
func TestSetsDoNotChange(t *testing.T) {
	f := file("p.yaml", "rules: [{tool: a, redact_fields: [x, y]}]")
	set := compile(t, f)
	want := set.Evaluate(approval.Call{Tool: "a"}, now)
	digest := set.Digest()
	f.Data[0] = 'X'
	set.Sources()[0].Data[0] = 'X'
	v := set.Evaluate(approval.Call{Tool: "a"}, now)
	v.Redact[0], v.Requirement.Approvals[0].Count = "changed", 7
	if got := set.Evaluate(approval.Call{Tool: "a"}, now); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if again := compile(t, set.Sources()...); again.Digest() != digest {
		t.Error("the sources compile to another set")
	}
}

func TestExplainSaysWhereTheTimeoutIsFrom(t *testing.T) {
	for name, c := range map[string]struct{ text, call, want string }{
		"a rule's":              {"rules: [{tool: a, timeout: 4h}]", `{"tool":"a"}`, "by p.yaml:1 tool a"},
		"the layer's":           {"{default_timeout: 4h, rules: [{tool: a}]}", `{"tool":"a"}`, "the default of layer p, for p.yaml:1 tool a"},
		"a broken condition's":  {"{default_timeout: 30m, rules: [{tool: a, when: args.n > 1, auto_approve: true}, {tool: a, timeout: 4h}]}", `{"tool":"a"}`, "the default of layer p, for p.yaml:1 tool a; the shortest of 2 rules that count"},
		"no rule's":             {"{default_timeout: 4h, rules: []}", `{"tool":"a"}`, "the shortest default of the layers"},
		"nobody's":              {"rules: [{tool: a}]", `{"tool":"a"}`, "as nothing states one"},
		"the call's":            {"rules: [{tool: a, timeout: 4h}]", `{"tool":"a","timeout":"5m"}`, "the call asks for it"},
		"an allowed call's":     {"rules: [{tool: a, timeout: 4h, auto_approve: true}]", `{"tool":"a","require_approval":true}`, "by p.yaml:1 tool a"},
		"none of a denied call": {"rules: [{tool: a, deny: true}]", `{"tool":"a"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			call, err := approval.ParseCall([]byte(c.call))
			if err != nil {
				t.Fatal(err)
			}
			if got := compile(t, file("p.yaml", c.text)).Explain(call, now).TimeoutFrom; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestObservedSayWhatTheyWouldAskFor(t *testing.T) {
	set := compile(t, file("p.yaml", "{observe: true, rules: [{tool: a, risk_level: high, approvals: 2}]}"))
	o := set.Evaluate(approval.Call{Tool: "a"}, now).Observed
	if len(o) != 1 || o[0].Risk != approval.RiskHigh || o[0].Requirement == nil || o[0].Requirement.Approvals[0].Count != 2 {
		t.Errorf("%+v", o)
	}
}
