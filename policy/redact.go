package policy

import (
	"slices"
	"strings"

	"github.com/pawlhq/pawl/internal/yamlfile"
)

// redactionIndex holds the rules with redactions, by tool. They hide for every call of their tools,
// whether or not they count: a rule that is passed over for a missing argument, or stands behind
// one that denies, must not show its fields. A rule under "*" hides only where it counts.
type redactionIndex struct {
	exact map[string][]*rule
	globs []namedRule
}

func indexRedactions(rules []*rule) redactionIndex {
	h := redactionIndex{exact: map[string][]*rule{}}
	for _, r := range rules {
		if len(r.redact) == 0 {
			continue
		}
		for _, name := range r.names {
			switch {
			case name == "*":
			case isGlob(name):
				h.globs = append(h.globs, namedRule{glob(name), r})
			default:
				h.exact[name] = append(h.exact[name], r)
			}
		}
	}
	return h
}

// addRedactions adds what the layer hides for the tool, whichever of its rules count.
func (l *layer) addRedactions(tool string, lists [][]string) [][]string {
	for _, r := range l.redactions.exact[tool] {
		lists = append(lists, r.redact)
	}
	for _, g := range l.redactions.globs {
		if g.glob.match(tool) {
			lists = append(lists, g.rule.redact)
		}
	}
	return lists
}

// redactsAnyway reports whether the rule hides fields of the tool's calls though it does not count.
func (r *rule) redactsAnyway(tool string) bool {
	return len(r.redact) > 0 &&
		slices.ContainsFunc(r.names, func(n string) bool { return n != "*" && glob(n).match(tool) })
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
	s.redact, s.redacted = union(lists...), map[string]bool{}
	for _, name := range s.redact {
		s.redacted[redactKey(name)] = true
	}
}

// redactions are those for all calls, and those of lists.
func (s *Set) redactions(lists [][]string) []string {
	out := slices.Clone(s.redact)
	var added map[string]bool
	for _, names := range lists {
		for _, name := range names {
			key := redactKey(name)
			if s.redacted[key] || added[key] {
				continue
			}
			if added == nil {
				added = map[string]bool{}
			}
			added[key] = true
			out = append(out, name)
		}
	}
	if added != nil {
		slices.Sort(out)
	}
	return out
}

// union adds up field names, sorted.
func union(lists ...[]string) []string {
	var out []string
	seen := map[string]bool{}
	for _, names := range lists {
		for _, name := range names {
			if key := redactKey(name); !seen[key] {
				seen[key] = true
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// redactKey is the same for names that differ in case only: they are one to redact.Redactor.
func redactKey(name string) string { return strings.ToLower(name) }

func readRedactions(m *yamlfile.Mapping) []string {
	entries, _ := m.Field("redact_fields").List()
	var names []string
	for _, v := range entries {
		name, ok := v.Text()
		if !ok {
			continue
		}
		if message := nameProblem(name); message != "" {
			v.Problem("the field name "+message, "write the name as the tool's arguments have it")
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
