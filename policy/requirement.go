package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/tool"
)

// Bounds of what a rule may ask of people.
const (
	maxPeople      = 100 // of one group
	maxStages      = 20
	maxEscalations = 20
	maxInput       = 64 << 10 // bytes of JSON Schema
)

// requirementFields are the words that say how people approve.
var requirementFields = []string{
	"approvals", "decisions", "deny_count", "stages", "self_approval", "require_reason", "allow_edit", "input",
	"execution", "remind_every", "escalate", "grant", "validate", "preview",
}

// readRequirement reads how people approve what the rule holds. made.kind and
// made.timeout are known by then.
func (r *reader) readRequirement(m *yamlfile.Mapping, made *rule) {
	var req approval.Requirement
	stated := false
	for _, name := range requirementFields {
		v := m.Field(name)
		if !v.Present() {
			continue
		}
		stated = true
		if made.kind != approval.VerdictRequire {
			v.Problem(fmt.Sprintf("%s says how people approve, but under this rule they are not asked", name),
				"remove it, or write require_approval: true instead")
			continue
		}
		if r.readPart(name, v, &req, made); !plain(name, &req) && !approval.Executed(name) {
			r.unexecuted.Add(v.At(name+" is not executed by this version of Pawl",
				"remove it, and see that the rule still says what you mean"))
		}
	}
	if !stated || made.kind != approval.VerdictRequire {
		return
	}
	if len(req.Approvals) == 0 && len(req.Stages) == 0 {
		req.Approvals = approval.OneApproval().Approvals
	}
	made.requirement = &req
}

// plain reports whether a field says only what holds without it, too.
func plain(name string, req *approval.Requirement) bool { return !slices.Contains(req.Uses(), name) }

func (r *reader) readPart(name string, v yamlfile.Value, req *approval.Requirement, made *rule) {
	switch name {
	case "approvals":
		req.Approvals = r.readApprovals(v)
	case "decisions":
		req.Decisions = readDecisions(v)
	case "deny_count":
		req.DenyCount, _ = v.Int(1, maxPeople)
	case "stages":
		req.Stages = r.readStages(v)
	case "self_approval":
		req.SelfApproval, _ = v.Bool()
	case "require_reason":
		req.RequireReason, _ = v.Bool()
	case "allow_edit":
		req.AllowEdit, _ = v.Bool()
	case "input":
		req.Input = readInput(v)
	case "execution":
		req.Execution = readExecution(v)
	case "remind_every":
		req.RemindEvery = readWithin(v, made.timeout, "reminds")
	case "escalate":
		req.Escalate = r.readEscalations(v, made.timeout)
	case "grant":
		m := v.Mapping()
		longest, _ := m.Need("max", `write "grant: {max: 1h}"`).Duration(approval.MaxTimeout)
		m.Done()
		req.Grant = &approval.Grant{Max: longest}
	case "validate":
		req.Checks = readExact(v)
	case "preview":
		req.Previews = readExact(v)
	}
}

// readApprovals reads a number of people, or a list of groups with numbers.
func (r *reader) readApprovals(v yamlfile.Value) []approval.Approvals {
	if !v.IsList() {
		count, ok := v.Int(1, maxPeople)
		if !ok {
			return nil
		}
		return []approval.Approvals{{Count: count}}
	}
	var out []approval.Approvals
	seen := map[string]bool{}
	for _, e := range oneOrMore(v) {
		m := e.Mapping()
		a := approval.Approvals{Count: 1}
		group := m.Field("group")
		name, named := group.Text()
		if named {
			if message := nameProblem(name); message != "" {
				group.Problem("the group's name "+message, "write it as it is known")
			}
			a.Group = name
			if !approval.Executed("groups") {
				r.unexecuted.Add(group.At("groups are not executed by this version of Pawl",
					"ask for a number of people without a group, and see that the rule still says what you mean"))
			}
		}
		count := m.Field("count")
		if n, ok := count.Int(1, maxPeople); ok {
			a.Count = n
		}
		if m.Present() && !group.Present() && !count.Present() {
			m.Problem("neither a group nor a count", `write "{group: NAME, count: 2}", or "{count: 2}"`)
		}
		m.Done()
		if seen[a.Group] {
			m.Problem("the same group stands twice", "keep one, with the higher count")
		}
		seen[a.Group] = true
		if named {
			r.asked = append(r.asked, asked{name, a.Count, group})
		}
		out = append(out, a)
	}
	return out
}

// readDecisions reads which decisions count; any is empty.
func readDecisions(v yamlfile.Value) approval.Decisions {
	text, ok := v.Text()
	if !ok {
		return ""
	}
	d, err := approval.ParseDecisions(text)
	if err != nil {
		v.Problem("decisions is neither any nor signed", "write signed where only decisions that the API signed may count")
	}
	if d == approval.DecisionsAny {
		return ""
	}
	return d
}

func (r *reader) readStages(v yamlfile.Value) []approval.Stage {
	list, _ := v.List()
	if v.IsList() && (len(list) == 0 || len(list) > maxStages) {
		v.Problem(fmt.Sprintf("%d stages", len(list)), fmt.Sprintf("write 1 to %d", maxStages))
		return nil
	}
	var out []approval.Stage
	for _, e := range list {
		m := e.Mapping()
		s := approval.Stage{}
		s.Name, _ = m.Field("name").Text()
		s.Approvals = r.readApprovals(m.Need("approvals", "write how many people, or which groups, the stage waits for"))
		m.Done()
		out = append(out, s)
	}
	return out
}

func (r *reader) readEscalations(v yamlfile.Value, timeout approval.Duration) []approval.Escalation {
	list := oneOrMore(v)
	if len(list) > maxEscalations {
		v.Problem(fmt.Sprintf("%d escalations", len(list)), fmt.Sprintf("write at most %d", maxEscalations))
	}
	var out []approval.Escalation
	for _, e := range list {
		m := e.Mapping()
		var esc approval.Escalation
		esc.After = readWithin(m.Need("after", `write "{after: 30m, to: GROUP}"`), timeout, "escalates")
		to := m.Need("to", "name the group that is asked, too")
		if name, ok := to.Text(); ok {
			if message := nameProblem(name); message != "" {
				to.Problem("the group's name "+message, "write it as it is known")
			}
			esc.To = name
			r.asked = append(r.asked, asked{name, 1, to})
		}
		m.Done()
		out = append(out, esc)
	}
	return out
}

// readWithin reads a length of time that is of use only before the deadline.
func readWithin(v yamlfile.Value, timeout approval.Duration, does string) approval.Duration {
	d, ok := v.Duration(approval.MaxTimeout)
	if timeout == 0 {
		timeout = approval.DefaultTimeout
	}
	if ok && d >= timeout {
		v.Warn(fmt.Sprintf("it never %s: the call expires after %v", does, timeout), "write a shorter time, or a longer timeout")
	}
	return d
}

func readExecution(v yamlfile.Value) approval.Execution {
	text, ok := v.Text()
	if ok && !slices.Contains(approval.Executions, approval.Execution(text)) {
		v.Problem("execution names nobody who can run a tool", "use worker, caller or reviewer")
		return ""
	}
	return approval.Execution(text)
}

func readInput(v yamlfile.Value) json.RawMessage {
	m := v.Mapping()
	if !m.Present() {
		return nil
	}
	doc, ok := m.JSON()
	kind, _ := m.Field("type").Text()
	switch {
	case !ok:
		return nil
	case len(doc) > maxInput:
		v.Problem(fmt.Sprintf("the schema is larger than %d KiB", maxInput>>10), "make it smaller")
	case kind != "object":
		v.Problem("the schema is not one of an object", `write "type: object" and what is filled in under "properties"`)
	default:
		if err := tool.CheckSchema(doc); err != nil {
			v.Problem("input: "+approval.Display(err.Error(), 300), "write JSON Schema 2020-12")
		}
	}
	return doc
}

// readExact reads one tool or a list of them, without patterns.
func readExact(v yamlfile.Value) []string {
	var out []string
	for _, t := range readTools(v) {
		if isGlob(t.name) {
			t.at.Problem("a pattern names no tool to run", "name each tool exactly")
			continue
		}
		out = append(out, t.name)
	}
	return out
}

// group is a group whose members a file knows.
type group struct {
	members int
	where   string
}

// asked is a use of a group.
type asked struct {
	group string
	count int
	at    yamlfile.Value
}

// readGroups reads who is in which group, as far as the policy knows.
func (r *reader) readGroups(v yamlfile.Value) {
	for _, e := range v.Mapping().Entries() {
		if message := nameProblem(e.Name); message != "" {
			e.Key.Problem("the group's name "+message, "write it as rules name it")
			continue
		}
		if first, taken := r.groups[e.Name]; taken {
			e.Key.Problem(fmt.Sprintf("the group %q is there already", e.Name), "keep one; the first is at "+first.where)
			continue
		}
		members := map[string]bool{}
		list, ok := e.Value.List()
		for _, member := range list {
			name, ok := member.Text()
			if ok && members[name] {
				member.Problem("the member stands twice", "keep one")
			}
			members[name] = true
		}
		if ok && len(list) == 0 {
			e.Value.Problem(fmt.Sprintf("the group %q is empty", e.Name), "name its members, or remove it")
		}
		r.groups[e.Name] = group{len(list), e.Key.Where()}
	}
}

// maxSuggested bounds for how many unknown groups a known one is suggested.
const maxSuggested = 100

// checkGroups compares what rules ask of groups with who is in them.
func (c *compiler) checkGroups() {
	names := slices.Sorted(maps.Keys(c.groups))
	suggested := 0
	for _, a := range c.asked {
		g, known := c.groups[a.group]
		if known && a.count > g.members {
			a.at.Problem(fmt.Sprintf("the rule asks %d of the group %q, which has %d: it can never be met", a.count, a.group, g.members),
				"ask for fewer, or add members; the group is at "+g.where)
		}
		if known || suggested >= maxSuggested {
			continue
		}
		suggested++
		if near := yamlfile.Nearest(a.group, names); near != "" {
			a.at.Warn(fmt.Sprintf("the files do not say who is in the group %q", a.group), fmt.Sprintf("did you mean %q?", near))
		}
	}
}

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
