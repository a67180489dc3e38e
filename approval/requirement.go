package approval

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Requirement is what must happen before a call may run. Everything in it must be met: each entry
// of Approvals, and each stage.
type Requirement struct {
	Approvals     []Approvals     `json:"approvals"`
	Stages        []Stage         `json:"stages,omitempty"`         // in this order, and then Approvals
	Decisions     Decisions       `json:"decisions,omitempty"`      // which ones count; empty means DecisionsAny
	DenyCount     int             `json:"deny_count,omitempty"`     // rejections that end the call; 0 means 1
	SelfApproval  bool            `json:"self_approval,omitempty"`  // the requester may be one of the reviewers
	RequireReason bool            `json:"require_reason,omitempty"` // an approval needs notes
	AllowEdit     bool            `json:"allow_edit,omitempty"`     // a reviewer may change the arguments
	Input         json.RawMessage `json:"input,omitempty"`          // JSON Schema of what the reviewer fills in
	Execution     Execution       `json:"execution,omitempty"`      // who runs the tool; empty means a worker
	RemindEvery   Duration        `json:"remind_every,omitempty"`
	Escalate      []Escalation    `json:"escalate,omitempty"`
	Grant         *Grant          `json:"grant,omitempty"`
	Validators    []string        `json:"validate,omitempty"` // tools that must succeed before people are asked
	Previews      []string        `json:"preview,omitempty"`  // tools whose results people are shown
}

// Approvals asks for Count distinct people, of Group if one is named.
type Approvals struct {
	Group string `json:"group,omitempty"`
	Count int    `json:"count"`
}

// Decisions says which decisions count.
type Decisions string

const (
	DecisionsAny    Decisions = "any"    // unauthenticated ones, too; but those never count for a group
	DecisionsSigned Decisions = "signed" // those that an API signed for an authenticated reviewer
)

// DecisionLevels lists what may count, the least strict first. An omitted level asks for nothing where
// one person's approval is enough; where several are asked, a worker asks for signed ones, unless it
// is told otherwise: names that nobody vouches for can't be counted.
var DecisionLevels = []Decisions{DecisionsAny, "", DecisionsSigned}

// ParseDecisions refuses anything else. The error's code is CodeInvalid.
func ParseDecisions(s string) (Decisions, error) {
	if d := Decisions(s); d == DecisionsAny || d == DecisionsSigned {
		return d, nil
	}
	return "", Errorf(CodeInvalid, "decisions %q are not known; use any or signed", Display(s, 40))
}

// Stage is one step of several. It begins when the one before it is met. One person's approval counts
// in one of them only.
type Stage struct {
	Name      string      `json:"name"` // no other stage of the requirement has it
	Approvals []Approvals `json:"approvals"`
}

// Escalation asks further people when a call has waited for so long.
type Escalation struct {
	After Duration `json:"after"`
	To    string   `json:"to"` // a group
}

// Grant lets a reviewer approve calls like this one ahead, for at most Max.
type Grant struct {
	Max Duration `json:"max"`
}

// Execution says who runs an approved tool.
type Execution string

const (
	ExecutionWorker   Execution = "worker"
	ExecutionCaller   Execution = "caller"
	ExecutionReviewer Execution = "reviewer"
)

// Executions lists who can run a tool, the least strict first.
var Executions = []Execution{ExecutionCaller, ExecutionWorker, ExecutionReviewer}

// Strictest is the one of a and b that comes later in levels, which begin with the least strict.
// What is not among them is the least strict.
func Strictest[T comparable](levels []T, a, b T) T {
	if slices.Index(levels, b) > slices.Index(levels, a) {
		return b
	}
	return a
}

// executed are the parts of a requirement that this version executes. A policy that needs another
// one is refused when it is loaded, and a verdict that carries one ends its call as blocked:
// ignoring a requirement would let through what it was meant to hold.
var executed = []string{
	"approvals", "stages", "decisions", "deny_count", "self_approval", "require_reason", "execution",
}

// ValidFor is how long an approval is good before the tool is started, unless the policy says so.
func (e Execution) ValidFor() Duration {
	if e == ExecutionCaller {
		return DefaultCallerValidFor
	}
	return DefaultValidFor
}

// Executed reports whether this version executes the part of a requirement with this name.
func Executed(name string) bool { return slices.Contains(executed, name) }

// Uses names the parts of r that ask for something, as its JSON does, in the order of the fields.
func (r Requirement) Uses() []string {
	// What these say holds without them, too.
	if r.Decisions == DecisionsAny {
		r.Decisions = ""
	}
	if r.DenyCount == 1 {
		r.DenyCount = 0
	}
	if r.Execution == ExecutionWorker {
		r.Execution = ""
	}
	var names []string
	parts := reflect.ValueOf(r)
	for i := range parts.NumField() {
		part := parts.Field(i)
		if part.IsZero() || part.Kind() == reflect.Slice && part.Len() == 0 {
			continue
		}
		name, _, _ := strings.Cut(parts.Type().Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// AsksSeveral reports whether r can't be met by one person.
func (r Requirement) AsksSeveral() bool {
	several := len(r.Stages) > 1 || len(r.Stages) == 1 && len(r.Approvals) > 0
	take := func(list []Approvals) {
		several = several || slices.ContainsFunc(list, func(a Approvals) bool { return a.Count > 1 })
	}
	take(r.Approvals)
	for _, s := range r.Stages {
		take(s.Approvals)
	}
	return several
}

// Unexecuted names the parts of r that this version does not execute.
func (r Requirement) Unexecuted() []string {
	return slices.DeleteFunc(r.Uses(), func(name string) bool {
		return Executed(name) && (name != "execution" || r.Execution != ExecutionReviewer)
	})
}

// OneApproval is the requirement that any one person satisfies.
func OneApproval() *Requirement { return &Requirement{Approvals: []Approvals{{Count: 1}}} }

// Validate refuses a requirement that asks for nothing.
func (r Requirement) Validate() error {
	if len(r.Approvals) == 0 && len(r.Stages) == 0 {
		return fmt.Errorf("requirement asks for no approvals")
	}
	if r.Decisions != "" {
		if _, err := ParseDecisions(string(r.Decisions)); err != nil {
			return fmt.Errorf("requirement: %w", err)
		}
	}
	if err := checkApprovals("requirement", r.Approvals); err != nil {
		return err
	}
	if r.DenyCount < 0 {
		return fmt.Errorf("requirement deny_count %d is below 1", r.DenyCount)
	}
	for i, s := range r.Stages {
		same := func(other Stage) bool { return other.Name == s.Name }
		if s.Name == "" || slices.IndexFunc(r.Stages, same) < i {
			return fmt.Errorf("requirement stages[%d] has no name of its own", i)
		}
		if len(s.Approvals) == 0 {
			return fmt.Errorf("requirement stages[%d] asks for no approvals", i)
		}
		if err := checkApprovals(fmt.Sprintf("requirement stages[%d]", i), s.Approvals); err != nil {
			return err
		}
	}
	return nil
}

func checkApprovals(of string, list []Approvals) error {
	for i, a := range list {
		if a.Count < 1 {
			return fmt.Errorf("%s approvals[%d]: count %d is below 1", of, i, a.Count)
		}
	}
	return nil
}
