package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy/requirement"
	"github.com/pawlhq/pawl/tool"
)

// Bounds of what a rule may ask of people.
const (
	maxPeople      = 100 // of one group
	maxStages      = 20
	maxEscalations = 20
	maxInput       = 64 << 10 // bytes of JSON Schema
)

// requirementWords are the words that say how people approve.
var requirementWords = requirement.Names()

// readRequirement reads how people approve what the rule holds. made.kind and made.timeout are
// known by then.
func (r *reader) readRequirement(m *yamlfile.Mapping, made *rule) {
	var req approval.Requirement
	stated := false
	for _, word := range requirementWords {
		v := m.Field(word)
		if !v.Present() {
			continue
		}
		stated = true
		if made.kind != approval.VerdictRequire {
			v.Problem(fmt.Sprintf("%s says how people approve, but under this rule they are not asked", word),
				"remove it, or write require_approval: true instead")
			continue
		}
		r.readPart(v, requirement.Part(&req, word), made)
		if slices.Contains(req.Unexecuted(), word) {
			r.unexecuted.Add(v.At(word+" is not executed by this version of Pawl",
				"remove it, and see that the rule still says what you mean"))
		}
	}
	if !stated || made.kind != approval.VerdictRequire {
		return
	}
	if len(req.Stages) > 0 && len(req.Approvals) > 0 {
		m.Field("approvals").Problem("approvals and stages in one rule",
			"write the approvals as a stage of their own")
	}
	if len(req.Approvals) == 0 && len(req.Stages) == 0 {
		req.Approvals = approval.OneApproval().Approvals
	}
	made.requirement = &req
}

// readPart reads a value into a part of a requirement, by the part's type.
func (r *reader) readPart(v yamlfile.Value, part any, made *rule) {
	switch part := part.(type) {
	case *bool:
		*part, _ = v.Bool()
	case *int:
		*part, _ = v.Int(1, maxPeople)
	case *approval.Duration:
		*part = readWithin(v, made.timeout, "reminds")
	case *[]string:
		*part = readExact(v)
	case *[]approval.Approvals:
		*part = r.readApprovals(v)
	case *[]approval.Stage:
		*part = r.readStages(v)
	case *approval.Decisions:
		*part = readDecisions(v)
	case *json.RawMessage:
		*part = readInput(v)
	case *approval.Execution:
		*part = readExecution(v)
	case *[]approval.Escalation:
		*part = r.readEscalations(v, made.timeout)
	case **approval.Grant:
		m := v.Mapping()
		longest, _ := m.Need("max", `write "grant: {max: 1h}"`).Duration(approval.MaxTimeout)
		m.Done()
		*part = &approval.Grant{Max: longest}
	default:
		panic(fmt.Sprintf("policy: nothing reads a %T", part))
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
			badName(group, "the group's name", name, "write it as it is known")
			a.Group = name
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
			m.Problem("the same group is given twice", "keep one, with the higher count")
		}
		seen[a.Group] = true
		if named {
			r.groupUses = append(r.groupUses, groupUse{name, a.Count, group, r.layer})
		}
		out = append(out, a)
	}
	return out
}

// readDecisions reads which decisions count.
func readDecisions(v yamlfile.Value) approval.Decisions {
	text, ok := v.Text()
	if !ok {
		return ""
	}
	d, err := approval.ParseDecisions(text)
	if err != nil {
		v.Problem("decisions is neither any nor signed",
			"write signed where only decisions that the API signed may count")
	}
	return d
}

func (r *reader) readStages(v yamlfile.Value) []approval.Stage {
	list, _ := v.List()
	if v.IsList() && (len(list) == 0 || len(list) > maxStages) {
		v.Problem(approval.Plural(len(list), "stage"), fmt.Sprintf("write 1 to %d", maxStages))
		return nil
	}
	var out []approval.Stage
	for _, e := range list {
		m := e.Mapping()
		s := approval.Stage{}
		name := m.Need("name", "name the stage; stages of one name add up across rules and layers")
		s.Name, _ = name.Text()
		if name.Present() {
			badName(name, "the stage's name", s.Name, "write it as it is known")
		}
		if slices.ContainsFunc(out, func(other approval.Stage) bool { return other.Name == s.Name }) {
			name.Problem("the same stage is given twice", "keep one, or name the other differently")
		}
		s.Approvals = r.readApprovals(m.Need("approvals",
			"write how many people, or which groups, the stage waits for"))
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
			badName(to, "the group's name", name, "write it as it is known")
			esc.To = name
			r.groupUses = append(r.groupUses, groupUse{name, 1, to, r.layer})
		}
		m.Done()
		out = append(out, esc)
	}
	return out
}

// readWithin reads a length of time that is of use only before the deadline.
func readWithin(v yamlfile.Value, timeout approval.Duration, does string) approval.Duration {
	d, ok := v.Duration(approval.MaxTimeout)
	timeout = cmp.Or(timeout, approval.DefaultTimeout)
	if ok && d >= timeout {
		v.Warn(fmt.Sprintf("it never %s: the call expires after %v", does, timeout),
			"write a shorter time, or a longer timeout")
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
		v.Problem("the schema is not one of an object",
			`write "type: object" and what is filled in under "properties"`)
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
