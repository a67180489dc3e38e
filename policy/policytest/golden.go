package policytest

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

const goldenHead = "# Verdicts of a policy. 'pawl policy test --golden FILE --update' writes this file.\n"

// Golden writes what the policy says to each test as text that only changes where a verdict does,
// or the rule it comes from: no lines, no digests. dir is the folder that the text will lie in:
// suites are named as seen from there.
func Golden(dir string, results []Result) []byte {
	var b strings.Builder
	b.WriteString(goldenHead)
	for _, r := range results {
		fmt.Fprintf(&b, "\n%s%s: %s\n", goldenMark, approval.Display(seenFrom(dir, r.Suite), 0),
			approval.Display(r.Name, 0))
		field := func(name, value string) {
			if value != "" {
				fmt.Fprintf(&b, "%s: %s\n", name, approval.Display(value, 0))
			}
		}
		v := r.Explanation.Verdict
		field("verdict", string(v.Kind))
		if v.Audited {
			field("audited", "true")
		}
		field("risk", string(v.Risk))
		if v.Kind == approval.VerdictRequire {
			field("timeout", v.Timeout.Short())
			requirement, _ := json.Marshal(v.Requirement) // texts, numbers and JSON that was read from a file
			field("requirement", string(requirement))
			if v.Collapse {
				field("collapse", "true")
			}
		}
		field("redact", strings.Join(v.Redact, ", "))
		field("redact_values", string(v.RedactValues))
		field("layer", v.Policy.Layer)
		field("rule", RuleText(r.Explanation))
		field("why", withoutLines(v.Policy.Why, r.Explanation.Layers))
		for _, o := range v.Observed {
			field("observed", fmt.Sprintf("%s: %s", o.Layer, o.Kind))
		}
	}
	return []byte(b.String())
}

// goldenMark begins the line that names a test.
const goldenMark = "== "

func seenFrom(dir, path string) string {
	if from, err := filepath.Abs(dir); err == nil {
		if to, err := filepath.Abs(path); err == nil {
			if rel, err := filepath.Rel(from, to); err == nil {
				return filepath.ToSlash(rel)
			}
		}
	}
	return filepath.ToSlash(path)
}

// RuleText is what the rule that decided says, without its place.
func RuleText(e policy.Explanation) string {
	for _, l := range e.Layers {
		if l.Layer == e.Policy.Layer && l.Rule != nil {
			return l.Rule.Text
		}
	}
	return e.Policy.Rule
}

// withoutLines takes the lines out of the rules' places in a remark.
func withoutLines(text string, layers []policy.LayerSays) string {
	for _, l := range layers {
		place := regexp.MustCompile(regexp.QuoteMeta(approval.Display(filepath.Base(l.File), 100)) + `:\d+`)
		text = place.ReplaceAllLiteralString(text, filepath.Base(l.File))
	}
	return text
}

// GoldenChange is a test whose verdict is not the golden file's.
type GoldenChange struct {
	Test string `json:"test"` // its suite and name
	Old  string `json:"old"`  // the golden file's lines; empty: it does not hold the test
	New  string `json:"new"`  // the lines now; empty: the test is gone
}

// CompareGolden returns what is different between two golden texts, in the order of the new one,
// and then what only the old one holds.
func CompareGolden(old, new []byte) []GoldenChange {
	was, before := blocks(old)
	is, after := blocks(new)
	var out []GoldenChange
	for _, test := range after {
		if was[test] != is[test] {
			out = append(out, GoldenChange{test, was[test], is[test]})
		}
	}
	for _, test := range before {
		if _, there := is[test]; !there {
			out = append(out, GoldenChange{test, was[test], ""})
		}
	}
	return out
}

// blocks takes a golden text apart: what stands under each test, and the tests in order. Line ends
// of Windows are no difference.
func blocks(text []byte) (under map[string]string, tests []string) {
	under = map[string]string{}
	test := ""
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\r\n", "\n")) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, goldenMark); ok {
			test = name
			tests = append(tests, test)
			continue
		}
		if test != "" && line != "" {
			under[test] += line + "\n"
		}
	}
	return under, tests
}

// Coverage says which rules of a policy no test reaches: what they say is not tested by anything.
type Coverage struct {
	Policy []string          `json:"policy"` // its files
	Digest string            `json:"digest"`
	Rules  int               `json:"rules"`
	Missed []policy.RuleInfo `json:"missed"` // never the rule that counted in its layer
}

// Percent is how many of the rules are reached, rounded down; 100 if there are none.
func (c Coverage) Percent() int {
	if c.Rules == 0 {
		return 100
	}
	return (c.Rules - len(c.Missed)) * 100 / c.Rules
}

// spot tells the rules of a policy apart, wherever its files lie: suites may know the same files by
// different paths.
func spot(layer string, r policy.RuleRef) string {
	at := r.Where
	for range 2 { // line and column
		at = at[:max(0, strings.LastIndexByte(at, ':'))]
	}
	return layer + r.Where[len(at):]
}

// covered is which rules of a policy, by their spots, no test reaches. Reached are the rules that
// decided in their layers, and those whose conditions could not be evaluated.
func covered(paths []string, set *policy.Set, results []Result) Coverage {
	hit := map[string]bool{}
	for _, r := range results {
		if r.Explanation.Policy.Digest != set.Digest() {
			continue
		}
		for _, l := range r.Explanation.Layers {
			if l.Rule != nil {
				hit[spot(l.Layer, *l.Rule)] = true
			}
			for _, counted := range l.Counted {
				hit[spot(l.Layer, counted)] = true
			}
		}
	}
	rules := set.Rules()
	made := Coverage{Policy: paths, Digest: set.Digest(), Rules: len(rules), Missed: []policy.RuleInfo{}}
	for _, r := range rules {
		if !hit[spot(r.Layer, r.RuleRef)] {
			made.Missed = append(made.Missed, r)
		}
	}
	return made
}
