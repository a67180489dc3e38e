package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Where several rules ask something of people, all of it is asked.

// clone shares nothing with r.
func clone(r *approval.Requirement) *approval.Requirement {
	c := *r
	c.Approvals, c.Input, c.Escalate = slices.Clone(r.Approvals), slices.Clone(r.Input), slices.Clone(r.Escalate)
	c.Checks, c.Previews = slices.Clone(r.Checks), slices.Clone(r.Previews)
	c.Stages = slices.Clone(r.Stages)
	for i := range c.Stages {
		c.Stages[i].Approvals = slices.Clone(c.Stages[i].Approvals)
	}
	if r.Grant != nil {
		c.Grant = &approval.Grant{Max: r.Grant.Max}
	}
	return &c
}

// sum is what meets both a and b: everything either demands, and nothing that
// one of them does not permit. It shares nothing with b.
func sum(a, b *approval.Requirement) *approval.Requirement {
	b = clone(b)
	s := &approval.Requirement{
		Approvals:     sumApprovals(a.Approvals, b.Approvals),
		Stages:        slices.Concat(a.Stages, b.Stages),
		Decisions:     max(a.Decisions, b.Decisions), // signed, or empty
		DenyCount:     min(max(a.DenyCount, 1), max(b.DenyCount, 1)),
		SelfApproval:  a.SelfApproval && b.SelfApproval,
		RequireReason: a.RequireReason || b.RequireReason,
		AllowEdit:     a.AllowEdit && b.AllowEdit,
		Input:         bothSchemas(a.Input, b.Input),
		Execution:     strictest(a.Execution, b.Execution),
		RemindEvery:   shorter(a.RemindEvery, b.RemindEvery),
		Escalate:      slices.Concat(a.Escalate, b.Escalate),
		Checks:        distinct(a.Checks, b.Checks),
		Previews:      distinct(a.Previews, b.Previews),
	}
	if s.DenyCount == 1 {
		s.DenyCount = 0
	}
	if a.Grant != nil && b.Grant != nil {
		s.Grant = &approval.Grant{Max: min(a.Grant.Max, b.Grant.Max)}
	}
	return s
}

// sumApprovals asks each group for the higher of the counts.
func sumApprovals(a, b []approval.Approvals) []approval.Approvals {
	out := slices.Clone(a)
	for _, one := range b {
		i := slices.IndexFunc(out, func(other approval.Approvals) bool { return other.Group == one.Group })
		if i < 0 {
			out = append(out, one)
		} else {
			out[i].Count = max(out[i].Count, one.Count)
		}
	}
	slices.SortStableFunc(out, func(a, b approval.Approvals) int { return strings.Compare(a.Group, b.Group) })
	return out
}

func bothSchemas(a, b json.RawMessage) json.RawMessage {
	switch {
	case len(a) == 0:
		return slices.Clone(b)
	case len(b) == 0 || string(a) == string(b):
		return slices.Clone(a)
	}
	return json.RawMessage(fmt.Sprintf(`{"type":"object","allOf":[%s,%s]}`, a, b))
}

// strictest puts the worker, who is meant where nobody is named, before the
// caller.
func strictest(a, b approval.Execution) approval.Execution {
	rank := func(e approval.Execution) int {
		if e == "" {
			e = approval.ExecutionWorker
		}
		return slices.Index(approval.Executions, e)
	}
	if rank(b) > rank(a) {
		a = b
	}
	if a == approval.ExecutionWorker {
		return ""
	}
	return a
}

func distinct(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
