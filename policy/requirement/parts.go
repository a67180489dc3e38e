package requirement

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/pawlhq/pawl/approval"
)

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
