package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// first is the first of the rules that match the same calls.
type first struct {
	where string
	rule  *rule
}

// foreignRuleFields are words that other tools have in rule lists.
var foreignRuleFields = func() map[string]string {
	hints := map[string]string{
		"action":      "write require_approval: true, auto_approve: true or deny: true",
		"id":          "write it as a comment (# …)",
		"description": "write it as a comment (# …)",
	}
	for _, word := range slices.Concat(usualFields,
		[]string{"capability", "contains", "fields", "match_keywords", "match_regex", "only_fields",
			"path_prefix"}) {
		hints[word] = "write the rule as an entry of deny:, require_approval: or allow:, " +
			"or a condition: when: args.amount > 100"
	}
	return hints
}()

func (r *reader) readRule(m *yamlfile.Mapping) {
	tools := readTools(m.Need("tool", `name the tool, or write "*" for every tool`))
	made := r.newRule(m.Value, formTool, names(tools))
	readKind(m, made)
	r.readConditions(m, made)
	r.readTerms(m, made)
	m.Hint(foreignRuleFields)
	m.Done()
	for _, t := range tools {
		r.index(made, t)
		if t.name == "*" && made.kind == approval.VerdictAllow && !made.conditional() {
			m.Warn("every tool that no other rule names runs without asking",
				"name the tools that may, or hold those with a dangerous name by classify: true")
		}
	}
}

// readConditions reads what every form of rule can ask of a call.
func (r *reader) readConditions(m *yamlfile.Mapping, made *rule) {
	before := r.mistakes()
	made.match = readMatcher(m, false, made.kind != approval.VerdictAllow)
	when := m.Field("when")
	made.when = r.condition(when)
	if made.when != nil && made.kind == approval.VerdictAllow {
		for _, remark := range made.when.remarks {
			when.Warn(remark.message, remark.hint)
		}
	}
	if made.when != nil && made.kind != approval.VerdictAllow {
		for _, name := range made.when.caller {
			when.Warn("scrutiny hangs on exactly what the caller says in "+name+
				": who leaves it out, or writes it in another way, gets around this",
				fmt.Sprintf("write it as %s: beside when:, which also takes what is absent or in another spelling", name))
		}
	}
	made.broken = r.mistakes() > before
}

// mistakes is how many problems were found that are no warnings.
func (r *reader) mistakes() (n int) {
	for _, p := range *r.problems {
		if !p.Warning {
			n++
		}
	}
	return n
}

// readTerms reads what every form of rule can say beside whom it is for.
func (r *reader) readTerms(m *yamlfile.Mapping, made *rule) {
	own := m.Field("timeout")
	if own.IsZero() || !own.Present() && r.layer.noTime {
		r.denyAtOnce(own, made)
	} else if t, given := own.Duration(approval.MaxTimeout); given {
		made.timeout, made.ownTimeout = t, true
	}
	made.validFor, _ = m.Field("valid_for").Duration(approval.MaxTimeout)
	made.risk = readRisk(m.Field("risk_level"))
	made.redact = readRedactions(m)
	made.collapse = readCollapse(m.Field("collapse"), made.kind)
	r.readRequirement(m, made)
}

// denyAtOnce reads a timeout of 0, as other tools do: nobody has time to approve, so the rule
// denies.
func (r *reader) denyAtOnce(v yamlfile.Value, made *rule) {
	if made.kind != approval.VerdictRequire {
		return
	}
	made.kind = approval.VerdictDeny
	v.Warn("a timeout of 0 leaves nobody time to approve: such calls are denied",
		"write deny: true, which says so")
}

func readCollapse(v yamlfile.Value, kind approval.VerdictKind) bool {
	yes, _ := v.Bool()
	if yes && kind != approval.VerdictRequire {
		v.Problem("collapse is about calls that wait for people, but under this rule none does",
			"remove it, or write require_approval: true instead")
	}
	return yes
}

// index puts a rule of the list where its tool is looked up.
func (r *reader) index(made *rule, t toolName) {
	if !made.broken && r.shadowed(made, t) {
		return
	}
	if t.name == "*" {
		r.layer.star = append(r.layer.star, made)
		return
	}
	r.layer.list.add(t.name, made)
	if isGlob(t.name) {
		r.warnHidden(made, t)
	}
}

// shadowed notes that an earlier rule takes every such call, so that this one never has its turn.
func (r *reader) shadowed(made *rule, t toolName) bool {
	when := made.conditionKey()
	for _, condition := range []string{"", when} {
		before, taken := r.first[t.name+"\x00"+condition]
		if !taken {
			continue
		}
		message := fmt.Sprintf("a second rule for the tool %q can never match", t.name)
		switch {
		case before.rule == made:
			message = fmt.Sprintf("the tool %q is given twice in the list", t.name)
		case condition != "":
			message = fmt.Sprintf("a second rule for the tool %q under the same conditions can never match",
				t.name)
		}
		t.at.Problem(message, "keep one; the first is at "+before.where)
		return true
	}
	r.first[t.name+"\x00"+when] = first{t.at.Where(), made}
	return false
}

// conditionKey tells apart rules for the same tool. It is empty for one that is for every call.
func (r *rule) conditionKey() string {
	key := r.match.key()
	if r.when != nil {
		key += "\x00when " + r.when.source
	}
	return key
}

// maxPatterns bounds how many earlier patterns one is compared with.
const maxPatterns = 500

// warnHidden warns of a pattern that an earlier one takes every call from.
func (r *reader) warnHidden(made *rule, t toolName) {
	globs := r.layer.list.globs
	for _, before := range globs[:min(len(globs)-1, maxPatterns)] {
		if before.rule != made && !before.rule.conditional() &&
			before.glob.covers(glob(t.name), &r.compareSteps) {
			t.at.Warn(fmt.Sprintf(
				"the rule for %q can never match: the earlier one for %q takes every such call", t.name, before.glob),
				"put the narrower pattern first")
			return
		}
	}
}

// toolName is a tool's name or pattern, and its place.
type toolName struct {
	name string
	at   yamlfile.Value
}

func names(tools []toolName) []string {
	out := make([]string, len(tools))
	for i, t := range tools {
		out[i] = t.name
	}
	return out
}

// readTools reads one tool or a list of them: exact names and patterns.
func readTools(v yamlfile.Value) []toolName {
	var tools []toolName
	for _, e := range oneOrMore(v) {
		if tool, ok := readTool(e); ok {
			tools = append(tools, toolName{tool, e})
		}
	}
	return tools
}

func readTool(v yamlfile.Value) (string, bool) {
	tool, ok := v.Text()
	if !ok {
		return "", false
	}
	// Where a pattern has a wildcard, a name could have any character.
	name := strings.NewReplacer("*", "x", "?", "x").Replace(tool)
	switch {
	case strings.ContainsAny(tool, "[]{}!^"):
		v.Problem("the pattern has more than * and ?",
			"* stands for any run of characters, ? for one; write alternatives as a list: [a, b]")
		return "", false
	case len(tool) > maxFieldName || approval.CheckTool(name) != nil:
		v.Problem("tool is not a tool name",
			"use at most 200 letters, digits and _ . : / -, or * for any run of characters and ? for one")
		return "", false
	}
	if everyTool(tool) {
		tool = "*"
	}
	return tool, true
}

// everyTool reports whether a pattern is "*" in other words, as "**" and "?*" are: no tool's name
// is empty.
func everyTool(pattern string) bool {
	return strings.Trim(pattern, "*?") == "" && strings.Contains(pattern, "*") &&
		strings.Count(pattern, "?") <= 1
}

// readKind: see "Who may run without asking" in the package's documentation.
func readKind(m *yamlfile.Mapping, made *rule) {
	made.kind = approval.VerdictRequire
	require := m.Field("require_approval")
	said := ""
	for _, word := range []struct {
		name  string
		value yamlfile.Value
		kind  approval.VerdictKind
	}{
		{"require_approval", require, approval.VerdictRequire},
		{"auto_approve", m.Field("auto_approve"), approval.VerdictAllow},
		{"audit", m.Field("audit"), approval.VerdictAllow},
		{"deny", m.Field("deny"), approval.VerdictDeny},
	} {
		if yes, _ := word.value.Bool(); !yes {
			continue
		}
		if said != "" && made.kind != word.kind {
			word.value.Problem(fmt.Sprintf("the rule says both %s: true and %s: true", said, word.name),
				"keep one")
		}
		said, made.kind = word.name, word.kind
		made.audited = made.audited || word.name == "audit"
	}
	switch asks, ok := require.Bool(); {
	case !ok || asks || said != "":
	case m.Has("auto_approve"):
		require.Problem("the rule says both require_approval: false and auto_approve: false", "keep one")
	default:
		made.kind = approval.VerdictAllow
		require.Warn("require_approval: false lets the tool run without asking",
			"write auto_approve: true, which says so; or remove the line, and people are asked")
	}
}

func readRisk(v yamlfile.Value) approval.Risk {
	text, ok := v.Text()
	if !ok {
		return ""
	}
	risk, err := approval.ParseRisk(strings.ToLower(text))
	if err != nil {
		v.Problem("risk_level is not a level", "use low, medium, high or critical")
	}
	return risk
}
