package policy

import (
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/redact"
)

// redactsAnyway reports whether the rule hides fields of the tool's calls though it does not count.
func (r *rule) redactsAnyway(tool string) bool {
	return len(r.redact) > 0 &&
		slices.ContainsFunc(r.names, func(n string) bool { return n != "*" && r.takes(glob(n), tool) })
}

// addHitRedactions adds what rules that count hide.
func addHitRedactions(hits []hit, lists [][]string) [][]string {
	for _, h := range hits {
		if len(h.rule.redact) > 0 {
			lists = append(lists, h.rule.redact)
		}
	}
	return lists
}

// redactAlways gathers the redactions that are for all calls.
func (s *Set) redactAlways() {
	var lists [][]string
	for _, l := range s.layers {
		if l.applies.all() {
			lists = append(lists, l.redact)
		}
	}
	s.redact = union(lists...)
}

// union adds up field names, sorted.
func union(lists ...[]string) []string {
	var out []string
	seen := map[string]bool{}
	for _, names := range lists {
		for _, name := range names {
			if key := redact.Key(name); !seen[key] {
				seen[key] = true
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// readRedactValues reports whether the layer would show well-known secrets.
func readRedactValues(v yamlfile.Value) bool {
	text, given := v.Text()
	if given && text != "default" && text != string(approval.RedactNone) {
		v.Problem("redact_values is neither default nor none",
			"write default to hide well-known secrets wherever they stand, as if it were left out, or none")
	}
	return text == string(approval.RedactNone)
}

func readRedactions(m *yamlfile.Mapping) []string {
	entries, _ := m.Field("redact_fields").List()
	var names []string
	for _, v := range entries {
		name, ok := v.Text()
		if !ok {
			continue
		}
		if badName(v, "the field name", name, "write the name as the tool's arguments have it") {
			continue
		}
		// A path or pattern taken for a name would hide nothing.
		if strings.ContainsAny(name, ".*[]") || strings.HasPrefix(name, "/") {
			v.Problem("redact_fields takes names, not paths or patterns",
				"a name matches at any depth: write only the last part of the path")
			continue
		}
		names = append(names, name)
	}
	return union(names)
}
