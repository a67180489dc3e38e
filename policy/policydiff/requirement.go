package policydiff

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/pawlhq/pawl/approval"
)

// requirement compares what people must do, field by field.
func (c *comparison) requirement(old, new approval.Requirement) {
	c.people(old, new)
	c.stages(old.Stages, new.Stages)
	signed := func(r approval.Requirement) bool { return r.Decisions == approval.DecisionsSigned }
	c.wish("decisions: signed", signed(old), signed(new))
	// 0 means 1. What takes more rejections goes on after the first.
	c.count("deny_count", max(1, old.DenyCount), max(1, new.DenyCount), true)
	c.freedom("self_approval", old.SelfApproval, new.SelfApproval)
	c.wish("require_reason", old.RequireReason, new.RequireReason)
	c.freedom("allow_edit", old.AllowEdit, new.AllowEdit)
	c.input(old.Input, new.Input)
	c.execution(old.Execution, new.Execution)
	c.escalate(old.Escalate, new.Escalate)
	c.grant(old.Grant, new.Grant)
	exactly := func(a, b string) bool { return a == b }
	c.list("validate", old.Checks, new.Checks, exactly)
	c.list("preview", old.Previews, new.Previews, exactly)
	// Reminders ask nobody else and change nothing about what counts, so
	// remind_every is neither.
}

func (c *comparison) count(field string, old, new int, moreIsLaxer bool) {
	if old != new {
		c.add(field, fmt.Sprint(old), fmt.Sprint(new), new > old == moreIsLaxer)
	}
}

// people compares how many people of which groups must approve, in any stage
// or at the end. A member of a group is a person, too, so "anyone" counts as
// met by the largest count of any group.
func (c *comparison) people(old, new approval.Requirement) {
	was, is := counts(old), counts(new)
	groups := maps.Clone(was)
	maps.Copy(groups, is)
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		field := "approvals"
		if group != anyone {
			field = "approvals by " + approval.Display(group, 80)
		}
		c.count(field, was[group], is[group], false)
	}
}

const anyone = "" // the group of those who may be anyone

func counts(r approval.Requirement) map[string]int {
	most := map[string]int{}
	take := func(list []approval.Approvals) {
		for _, a := range list {
			most[a.Group] = max(most[a.Group], a.Count)
			most[anyone] = max(most[anyone], a.Count)
		}
	}
	take(r.Approvals)
	for _, s := range r.Stages {
		take(s.Approvals)
	}
	return most
}

// stages compares stage by stage, since they come one after the other.
func (c *comparison) stages(old, new []approval.Stage) {
	c.count("stages", len(old), len(new), false)
	for i := range min(len(old), len(new)) {
		stage := comparison{}
		stage.people(approval.Requirement{Approvals: old[i].Approvals}, approval.Requirement{Approvals: new[i].Approvals})
		for _, s := range stage.shifts {
			s.Field = fmt.Sprintf("stage %d: %s", i+1, s.Field)
			c.shifts = append(c.shifts, s)
		}
	}
}

// input: two schemas can't be ranked, so another one counts as laxer.
func (c *comparison) input(old, new []byte) {
	switch {
	case bytes.Equal(old, new):
	case len(old) == 0:
		c.add("input", none, "a schema", false)
	case len(new) == 0:
		c.add("input", "a schema", none, true)
	default:
		c.add("input", "a schema", "another schema", true)
	}
}

func (c *comparison) execution(old, new approval.Execution) {
	if old == "" {
		old = approval.ExecutionWorker
	}
	if new == "" {
		new = approval.ExecutionWorker
	}
	c.ordered("execution", slices.Index(approval.Executions, old), slices.Index(approval.Executions, new), string(old), string(new))
}

// escalate: whoever is asked later may say yes later, so more people, or the
// same ones sooner, are laxer.
func (c *comparison) escalate(old, new []approval.Escalation) {
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
			c.add(field, none, after.Short(), true)
		case !has:
			c.add(field, before.Short(), none, false)
		case before != after:
			c.add(field, before.Short(), after.Short(), after < before)
		}
	}
}

func (c *comparison) grant(old, new *approval.Grant) {
	switch {
	case old == nil && new == nil:
	case old == nil:
		c.add("grant", none, new.Max.Short(), true)
	case new == nil:
		c.add("grant", old.Max.Short(), none, false)
	default:
		c.limit("grant", old.Max, new.Max)
	}
}
