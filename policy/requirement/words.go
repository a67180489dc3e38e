package requirement

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

type requirement = approval.Requirement

// words is the table, in the order in which requirements are read, compared and described.
var words = []word{
	people(),
	decisions(),
	row[int]{
		name: "deny_count",
		part: func(r *requirement) *int { return &r.DenyCount },
		join: joinDenyCounts,
		// What takes more rejections goes on after the first.
		compare: func(s *Shifts, name string, old, new int) {
			s.Count(name, max(1, old), max(1, new), true)
		},
		describe: func(n int) []string { return lineIf(n > 1, "%d rejections before the call is denied", n) },
	}.word(),
	row[[]approval.Stage]{
		name:  "stages",
		part:  func(r *requirement) *[]approval.Stage { return &r.Stages },
		clone: cloneStages, join: joinStages, compare: compareStages,
		describe: func([]approval.Stage) []string { return nil }, // people does
	}.word(),
	flag("self_approval", loosens, func(r *requirement) *bool { return &r.SelfApproval },
		"the requester may approve, too"),
	flag("require_reason", tightens, func(r *requirement) *bool { return &r.RequireReason },
		"a reason with each approval"),
	flag("allow_edit", loosens, func(r *requirement) *bool { return &r.AllowEdit },
		"reviewers may change the arguments"),
	row[json.RawMessage]{
		name:  "input",
		part:  func(r *requirement) *json.RawMessage { return &r.Input },
		clone: slices.Clone[json.RawMessage], join: joinSchemas, compare: compareSchemas,
		describe: func(schema json.RawMessage) []string {
			return lineIf(len(schema) > 0, "input from the reviewer")
		},
	}.word(),
	row[approval.Execution]{
		name: "execution",
		part: func(r *requirement) *approval.Execution { return &r.Execution },
		join: joinExecutions, compare: compareExecutions,
		describe: func(e approval.Execution) []string {
			return lineIf(e != "" && e != approval.ExecutionWorker, "the %s runs the tool", e)
		},
	}.word(),
	row[approval.Duration]{ // a reminder asks nobody else and changes nothing about what counts
		name: "remind_every",
		part: func(r *requirement) *approval.Duration { return &r.RemindEvery },
		join: approval.Shorter,
		describe: func(d approval.Duration) []string {
			return lineIf(d > 0, "a reminder every %s", d.Short())
		},
	}.word(),
	row[[]approval.Escalation]{
		name:  "escalate",
		part:  func(r *requirement) *[]approval.Escalation { return &r.Escalate },
		clone: slices.Clone[[]approval.Escalation], join: concat[approval.Escalation],
		compare: compareEscalations, describe: describeEscalations,
	}.word(),
	row[*approval.Grant]{
		name:  "grant",
		part:  func(r *requirement) **approval.Grant { return &r.Grant },
		clone: cloneGrant, join: joinGrants, compare: compareGrants, describe: describeGrant,
	}.word(),
	tools("validate", func(r *requirement) *[]string { return &r.Validators },
		"these tools must succeed before"),
	tools("preview", func(r *requirement) *[]string { return &r.Previews },
		"people see what these tools return"),
}

// What a flag does to a requirement in which it is set.
const (
	loosens  = true
	tightens = false
)

// flag is the row of a word that is true or false. Of two rules all must permit what loosens, and
// any may demand what tightens.
func flag(name string, loosens bool, part func(*requirement) *bool, says string) word {
	return row[bool]{
		name: name, part: part,
		join: func(a, b bool) bool {
			if loosens {
				return a && b
			}
			return a || b
		},
		compare:  func(s *Shifts, name string, old, new bool) { s.Flag(name, old, new, loosens) },
		describe: func(set bool) []string { return lineIf(set, "%s", says) },
	}.word()
}

// tools is the row of a word that names tools, all of which must run.
func tools(name string, part func(*requirement) *[]string, says string) word {
	return row[[]string]{
		name: name, part: part, clone: slices.Clone[[]string],
		join: func(a, b []string) []string {
			for _, tool := range b {
				if !slices.Contains(a, tool) {
					a = append(a, tool)
				}
			}
			return a
		},
		compare: func(s *Shifts, name string, old, new []string) {
			s.Names(name, old, new, func(a, b string) bool { return a == b })
		},
		describe: func(list []string) []string {
			return lineIf(len(list) > 0, "%s: %s", says, strings.Join(list, ", "))
		},
	}.word()
}

func concat[T any](a, b []T) []T { return append(a, b...) }

// lineIf is one line, if the condition holds.
func lineIf(holds bool, format string, args ...any) []string {
	if !holds {
		return nil
	}
	return []string{fmt.Sprintf(format, args...)}
}

// joinDenyCounts takes the lower count. 0 means 1.
func joinDenyCounts(a, b int) int {
	if n := min(max(a, 1), max(b, 1)); n > 1 {
		return n
	}
	return 0
}

func joinSchemas(a, b json.RawMessage) json.RawMessage {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0 || string(a) == string(b):
		return a
	}
	return json.RawMessage(fmt.Sprintf(`{"type":"object","allOf":[%s,%s]}`, a, b))
}

// compareSchemas counts another schema as laxer, since two can't be ranked.
func compareSchemas(s *Shifts, name string, old, new json.RawMessage) {
	switch {
	case bytes.Equal(old, new):
	case len(old) == 0:
		s.Add(name, none, "a schema", false)
	case len(new) == 0:
		s.Add(name, "a schema", none, true)
	default:
		s.Add(name, "a schema", "another schema", true)
	}
}

// joinExecutions takes the strictest. A worker, who is meant where nobody is named, is left out.
func joinExecutions(a, b approval.Execution) approval.Execution {
	e := approval.Strictest(approval.Executions, executor(a), executor(b))
	if e == approval.ExecutionWorker {
		return ""
	}
	return e
}

func compareExecutions(s *Shifts, name string, old, new approval.Execution) {
	old, new = executor(old), executor(new)
	rank := func(e approval.Execution) int { return slices.Index(approval.Executions, e) }
	s.Rank(name, rank(old), rank(new), string(old), string(new))
}

func executor(e approval.Execution) approval.Execution { return cmp.Or(e, approval.ExecutionWorker) }

// compareEscalations: whoever is asked later may say yes later, so more people, or the same ones
// sooner, are laxer.
func compareEscalations(s *Shifts, _ string, old, new []approval.Escalation) {
	first := func(list []approval.Escalation) map[string]approval.Duration {
		m := map[string]approval.Duration{}
		for _, e := range list {
			if at, ok := m[e.To]; !ok || e.After < at {
				m[e.To] = e.After
			}
		}
		return m
	}
	was, is := first(old), first(new)
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, to := range slices.Sorted(maps.Keys(all)) {
		field := "escalate to " + approval.Display(to, 80)
		before, had := was[to]
		after, has := is[to]
		switch {
		case !had:
			s.Add(field, none, after.Short(), true)
		case !has:
			s.Add(field, before.Short(), none, false)
		case before != after:
			s.Add(field, before.Short(), after.Short(), after < before)
		}
	}
}

func describeEscalations(list []approval.Escalation) []string {
	var lines []string
	for _, e := range list {
		lines = append(lines, fmt.Sprintf("%s is asked after %s", e.To, e.After.Short()))
	}
	return lines
}

func cloneGrant(g *approval.Grant) *approval.Grant {
	if g == nil {
		return nil
	}
	return &approval.Grant{Max: g.Max}
}

func joinGrants(a, b *approval.Grant) *approval.Grant {
	if a == nil || b == nil {
		return nil
	}
	return &approval.Grant{Max: min(a.Max, b.Max)}
}

func compareGrants(s *Shifts, name string, old, new *approval.Grant) {
	switch {
	case old == nil && new == nil:
	case old == nil:
		s.Add(name, none, new.Max.Short(), true)
	case new == nil:
		s.Add(name, old.Max.Short(), none, false)
	default:
		s.Limit(name, old.Max, new.Max)
	}
}

func describeGrant(g *approval.Grant) []string {
	if g == nil {
		return nil
	}
	return lineIf(true, "reviewers may approve calls like this one in advance, for at most %s", g.Max.Short())
}

// decisions is the row of which decisions count. It also looks at how many people are asked: what is
// left out asks for nothing of one person, and keeps one person from being two.
func decisions() word {
	w := row[approval.Decisions]{
		name: "decisions",
		part: func(r *requirement) *approval.Decisions { return &r.Decisions },
	}.word()
	level := func(r *requirement) int {
		if r.Decisions == "" && !r.AsksSeveral() {
			return slices.Index(approval.DecisionLevels, approval.DecisionsAny)
		}
		return slices.Index(approval.DecisionLevels, r.Decisions)
	}
	w.join = func(sum, other *requirement) {
		if a, b := level(sum), level(other); b > a || a == b && sum.Decisions == "" {
			sum.Decisions = other.Decisions
		}
	}
	text := func(d approval.Decisions) string { return cmp.Or(string(d), "not said") }
	w.compare = func(s *Shifts, old, new *requirement) {
		if old.Decisions != new.Decisions { // else the number of people says it all
			s.Rank(w.name, level(old), level(new), text(old.Decisions), text(new.Decisions))
		}
	}
	w.describe = func(r *requirement) []string {
		switch {
		case r.Decisions == approval.DecisionsSigned:
			return []string{"signed decisions: from Pawl's API, by somebody who is authenticated"}
		case r.Decisions == "" && r.AsksSeveral():
			return []string{"signed decisions, since it takes several people, unless the worker says otherwise"}
		}
		return nil
	}
	return w
}
