package requirement

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

type requirement = approval.Requirement

// words is the table, in the order in which requirements are read, compared and described.
var words = []word{
	people(),
	row[approval.Decisions]{
		name: "decisions",
		part: func(r *requirement) *approval.Decisions { return &r.Decisions },
		join: func(a, b approval.Decisions) approval.Decisions {
			return approval.Strictest(approval.DecisionLevels, a, b)
		},
		compare: func(s *Shifts, name string, old, new approval.Decisions) {
			s.Flag(name+": signed", old == approval.DecisionsSigned, new == approval.DecisionsSigned, false)
		},
		describe: func(d approval.Decisions) []string {
			return lineIf(d == approval.DecisionsSigned,
				"signed decisions: from Pawl's API, by somebody who is authenticated")
		},
	}.word(),
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
		clone: cloneStages, join: concat[approval.Stage], compare: compareStages,
		describe: func([]approval.Stage) []string { return nil }, // people does
	}.word(),
	flag("self_approval", loosens, func(r *requirement) *bool { return &r.SelfApproval },
		"the requester may approve, too"),
	flag("require_reason", tightens, func(r *requirement) *bool { return &r.RequireReason },
		"a reason with each decision"),
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
