package policy

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// reader takes one file apart. What it returns is of use only if it noted no
// problem.
type reader struct {
	problems *yamlfile.Problems
	file     File
	names    map[string]string // of layers read before, to the place that gave it
}

const maxFieldName = 200 // bytes, of layer and redaction names

func (r *reader) layer() layer {
	root := yamlfile.Parse(r.file.Name, r.file.Data, r.problems)
	m := root.Mapping()
	l := layer{source: r.file, exact: map[string]*rule{}}
	l.name = r.layerName(m)
	timeout, _ := m.Field("default_timeout").Duration(approval.MaxTimeout)
	l.redact = r.redactFields(m)
	l.none = unmatched(timeout)
	l.rules = append(l.rules, l.none)

	places := map[string]string{} // tool to the place of its rule
	rules, _ := m.Need("rules", `write "rules:" and a list under it, or "rules: []" if there are none`).List()
	for _, v := range rules {
		r.rule(&l, v.Mapping(), timeout, places)
	}
	m.Later("remove it, and write what it says as rules for tools by name",
		"applies_to", "decisions", "deny", "require_approval", "allow", "approval_timeout_seconds")
	m.Done()
	return l
}

// layerName reads the layer's name, which no layer before may have.
func (r *reader) layerName(m *yamlfile.Mapping) string {
	given := m.Field("layer")
	from := given
	name, ok := given.Text()
	if !given.Present() {
		base := filepath.Base(r.file.Name)
		name, ok = strings.TrimSuffix(base, filepath.Ext(base)), m.Present()
		from = m.Value
	}
	if !ok {
		return ""
	}
	if message := nameProblem(name); message != "" {
		from.Problem("the layer's name "+message, `give it another with "layer: NAME"`)
		return ""
	}
	if first, taken := r.names[name]; taken {
		from.Problem(fmt.Sprintf("the layer %q is there already", name),
			fmt.Sprintf(`give each file its own with "layer: NAME"; the first is at %s`, first))
		return ""
	}
	r.names[name] = from.Where()
	return name
}

// nameProblem says what keeps a word from being a name, or nothing.
func nameProblem(name string) string {
	switch {
	case strings.TrimSpace(name) != name || name == "":
		return "is empty, or begins or ends with a space"
	case len(name) > maxFieldName:
		return fmt.Sprintf("is longer than %d bytes", maxFieldName)
	case approval.Display(name, 0) != name:
		return "holds characters that can't be seen"
	}
	return ""
}

func (r *reader) rule(l *layer, m *yamlfile.Mapping, timeout approval.Duration, places map[string]string) {
	need := m.Need("tool", `name the tool, or write "*" for every tool`)
	tool, ok := readTool(need)
	made := &rule{kind: readKind(m), timeout: timeout, layer: l.name}
	if t, given := m.Field("timeout").Duration(approval.MaxTimeout); given {
		made.timeout = t
	}
	made.risk = readRisk(m.Field("risk_level"))
	made.redact = r.redactFields(m)
	m.Later("remove it, and see that the rule still says what you mean",
		"when", "deny", "capability", "environment", "contains", "amount_gt", "approval_timeout_seconds")
	m.Done()
	if !ok {
		return
	}
	if first, taken := places[tool]; taken {
		need.Problem(fmt.Sprintf("a second rule for the tool %q can never match", tool), "keep one; the first is at "+first)
		return
	}
	places[tool] = need.Where()
	made.where = fmt.Sprintf("%s:%d tool %s", approval.Display(filepath.Base(r.file.Name), 100), m.Line(), tool)
	l.rules = append(l.rules, made)
	if tool == "*" {
		l.star = made
	} else {
		l.exact[tool] = made
	}
}

func readTool(v yamlfile.Value) (string, bool) {
	if v.IsList() {
		v.Problem("lists of tools are not offered by this version of Pawl", "write one rule for each tool")
		return "", false
	}
	tool, ok := v.Text()
	switch {
	case !ok:
		return "", false
	case tool == "*":
		return tool, true
	case strings.ContainsAny(tool, "*?[]{}"):
		v.Problem("patterns are not offered by this version of Pawl", `name the tool exactly, or write "*" for every tool`)
		return "", false
	case approval.CheckTool(tool) != nil:
		v.Problem("tool is not a tool name", "use at most 200 letters, digits and _ . : / -")
		return "", false
	}
	return tool, true
}

// readKind: see "Who may run without asking" in the package's documentation.
func readKind(m *yamlfile.Mapping) approval.VerdictKind {
	require, allow := m.Field("require_approval"), m.Field("auto_approve")
	required, requireOK := require.Bool()
	allowed, _ := allow.Bool()
	switch {
	case required && allowed:
		allow.Problem("the rule says both require_approval: true and auto_approve: true", "keep one")
	case requireOK && !required && !allowed:
		require.Problem("require_approval: false does not say that the tool may run",
			"write auto_approve: true if it may run without asking; else remove the line")
	case allowed:
		return approval.VerdictAllow
	}
	return approval.VerdictRequire
}

func readRisk(v yamlfile.Value) approval.Risk {
	text, ok := v.Text()
	if !ok {
		return ""
	}
	risk, err := approval.ParseRisk(text)
	if err != nil {
		v.Problem("risk_level is not a level", "use low, medium, high or critical")
	}
	return risk
}

func (r *reader) redactFields(m *yamlfile.Mapping) []string {
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
