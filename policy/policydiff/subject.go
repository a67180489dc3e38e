package policydiff

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
)

// subject is what one rule is about: its tools, and what its conditions name.
type subject struct {
	kind   kind
	place  string   // file:line
	text   string   // equal for rules that say the same
	tools  []string // names that the rule's patterns match
	fields []field

	// Of rules and layers, to tell how they differ; see edits.
	layer      string
	as         string // the layer's name in the other set
	list       string // the field that the rule stands in
	where      string // file:line:column of the rule
	patterns   string
	conditions string // beside when
	when       string
	terms      string // what else it says
	denies     bool
	observes   bool // the layer
}

type kind int

const (
	aName kind = iota // of a tool, in a list of them
	aLayer
	aRule
)

// conditional reports whether the rule or layer is for some calls only.
func (s *subject) conditional() bool { return s.conditions != "" || s.when != "" }

// field is one place in a call, and values to try there, besides none.
type field struct {
	path   path
	values []any
}

// path leads to a value of a call: "args" and keys, "labels" and one key, or
// one of the call's own fields; or "now".
type path struct {
	root string
	keys []string
}

func (p path) equal(other path) bool { return p.root == other.root && slices.Equal(p.keys, other.keys) }

// notConditions are the fields of rules that don't look at the call.
var notConditions = []string{
	"tool", "capability", "require_approval", "auto_approve", "deny", "audit", "collapse", "timeout", "approval_timeout_seconds",
	"risk_level", "redact_fields", "approvals", "decisions", "deny_count", "stages", "self_approval", "require_reason", "allow_edit",
	"input", "execution", "valid_for", "remind_every", "escalate", "grant", "validate", "preview", "reason", "description",
}

// unnamed are tools that hardly any rule is about.
var unnamed = []string{"unnamed_tool", "read_unnamed", "delete_unnamed"}

// ruleLists are the fields of a file that hold rules.
var ruleLists = []string{"rules", "deny", "require_approval", "allow"}

// subjects reads the rules off a set's sources: they were compiled, so there
// is nothing wrong with them.
func subjects(set *policy.Set) []subject {
	var out []subject
	names := set.Layers()
	for i, file := range set.Sources() {
		var none yamlfile.Problems
		root := yamlfile.Parse(file.Name, file.Data, &none).Mapping()
		applies := root.Field("applies_to")
		var all collector
		all.condition("", applies)
		own := layerTools(applies)
		layer := textOf(applies)
		// What the layer says by itself, of tools that no rule may be about.
		itself := subject{
			kind: aLayer, text: layer, tools: append(slices.Clone(unnamed), own...), fields: all.fields,
			layer: names[i], as: names[i], place: placeOf(file.Name, max(applies.Line(), 1)), conditions: unordered(applies),
		}
		if itself.observes, _ = root.Field("observe").Bool(); itself.observes {
			itself.conditions += "observe"
		}
		for _, e := range root.Entries() {
			if !slices.Contains(ruleLists, e.Name) {
				itself.text += e.Name + textOf(e.Value)
			}
		}
		out = append(out, itself)
		for _, name := range ruleLists {
			rules := root.Field(name)
			if !rules.IsList() {
				continue
			}
			entries, _ := rules.List()
			for _, entry := range entries {
				s := subject{
					kind: aRule, place: placeOf(file.Name, entry.Line()), tools: own,
					layer: names[i], as: names[i], list: name, where: entry.Where(), denies: name == "deny",
				}
				patterns := texts(entry) // a capability alone
				c := collector{fields: slices.Clone(all.fields)}
				var conditions, terms []string
				if entry.IsMapping() {
					m := entry.Mapping()
					patterns = append(texts(m.Field("tool")), texts(m.Field("capability"))...)
					for _, e := range m.Entries() {
						switch {
						case e.Name == "tool", e.Name == "capability":
							continue
						case slices.Contains(notConditions, e.Name):
							terms = append(terms, e.Name+"\x00"+textOf(e.Value))
							continue
						case e.Name == "when":
							s.when, _ = e.Value.Lines()
						default:
							conditions = append(conditions, e.Name+"\x00"+unordered(e.Value))
						}
						c.condition(e.Name, e.Value)
					}
					if deny, _ := m.Field("deny").Bool(); deny {
						s.denies = true
					}
				}
				s.patterns, s.conditions, s.terms = together(slices.Clone(patterns)), together(conditions), together(terms)
				s.text = layer + name + textOf(entry)
				for _, pattern := range patterns {
					if name := matching(pattern); approval.CheckTool(name) == nil {
						s.tools = append(slices.Clip(s.tools), name)
					}
				}
				s.fields = c.fields
				out = append(out, s)
			}
		}
		for _, name := range []string{"dangerous_tools", "safe_tools"} {
			for _, tool := range texts(root.Field(name)) {
				out = append(out, subject{text: layer + name + tool, tools: []string{matching(tool)}, fields: all.fields})
			}
		}
	}
	return out
}

// textOf is the same for values that say the same.
func textOf(v yamlfile.Value) string {
	if doc, ok := v.JSON(); ok {
		return string(doc)
	}
	return v.Where() // a number that JSON writes otherwise
}

func placeOf(file string, line int) string {
	return fmt.Sprintf("%s:%d", approval.Display(file, 300), line)
}

// unordered is textOf, and the same for lists and mappings in another order.
func unordered(v yamlfile.Value) string {
	var parts []string
	switch {
	case !v.Present():
		return ""
	case v.IsList():
		entries, _ := v.List()
		for _, e := range entries {
			parts = append(parts, unordered(e))
		}
	case v.IsMapping():
		for _, e := range v.Mapping().Entries() {
			parts = append(parts, e.Name+"\x00"+unordered(e.Value))
		}
	default:
		return textOf(v)
	}
	return together(parts)
}

// together sorts parts and joins them.
func together(parts []string) string {
	slices.Sort(parts)
	return strings.Join(parts, "\x00")
}

// layerTools returns names, one of them dangerous, that the patterns of a
// layer's applies_to match.
func layerTools(applies yamlfile.Value) []string {
	var out []string
	for _, pattern := range texts(applies.Mapping().Field("tool")) {
		for _, name := range []string{matching(pattern), dangerous.Replace(pattern)} {
			if !slices.Contains(out, name) && approval.CheckTool(name) == nil {
				out = append(out, name)
			}
		}
	}
	return out
}

// texts reads text or a list of texts.
func texts(v yamlfile.Value) []string {
	if v.IsMapping() {
		return nil
	}
	if !v.IsList() {
		s, ok := v.Text()
		if !ok {
			return nil
		}
		return []string{s}
	}
	var out []string
	entries, _ := v.List()
	for _, e := range entries {
		if s, ok := e.Text(); ok {
			out = append(out, s)
		}
	}
	return out
}

var (
	wildcard  = strings.NewReplacer("**", "probe", "*", "probe", "?", "x")
	dangerous = strings.NewReplacer("**", "delete_probe", "*", "delete_probe", "?", "x")
)

// matching returns a name that a pattern matches.
func matching(pattern string) string { return wildcard.Replace(pattern) }

// collector gathers the fields that conditions name.
type collector struct{ fields []field }

func (c *collector) try(p path, values ...any) {
	i := slices.IndexFunc(c.fields, func(f field) bool { return f.path.equal(p) })
	if i < 0 {
		i = len(c.fields)
		c.fields = append(c.fields, field{path: p})
	}
	for _, v := range values {
		if !slices.Contains(c.fields[i].values, v) {
			// Clip: rules of a file share what their layer's condition names.
			c.fields[i].values = append(slices.Clip(c.fields[i].values), v)
		}
	}
}

var bound = regexp.MustCompile(`^(.+)_(gt|gte|lt|lte)$`)

// condition reads one condition of a rule by its name.
func (c *collector) condition(name string, v yamlfile.Value) {
	switch {
	case !v.Present():
	case name == "when":
		if text, ok := v.Lines(); ok {
			c.expression(text)
		}
	case name == "agent", name == "team", name == "session", name == "requester":
		for _, text := range texts(v) {
			c.try(path{root: name}, matching(text), "someone-else")
		}
	case name == "", name == "labels": // applies_to, and a rule's labels
		for _, e := range v.Mapping().Entries() {
			if name == "" {
				if e.Name != "tool" { // see layerTools
					c.condition(e.Name, e.Value)
				}
				continue
			}
			for _, value := range scalars(e.Value) {
				c.try(path{"labels", []string{e.Name}}, fmt.Sprint(value), "other")
			}
		}
	case name == "contains", name == "match_keywords":
		for _, value := range scalars(v) {
			c.try(path{"args", []string{"text"}}, fmt.Sprintf("with %v in it", value), "other")
		}
	case name == "match_regex":
		for _, expression := range texts(v) {
			for i, text := range samples(expression) {
				c.try(path{"args", []string{"text"}}, text)
				if i == 0 {
					c.try(path{"args", []string{"text"}}, "before "+text+" after", "other")
				}
			}
		}
	case name == "path_prefix":
		prefixes, in := texts(v), path{"args", []string{"path"}}
		for _, prefix := range prefixes { // first what tells one prefix from the others
			c.try(in, under(prefix)...)
		}
		c.try(in, "/elsewhere/probe", "probe")
		for _, prefix := range prefixes {
			c.try(in, prefix)
		}
	default:
		if m := bound.FindStringSubmatch(name); m != nil {
			name = m[1]
		}
		for _, value := range scalars(v) {
			c.try(path{"args", []string{name}}, around(value)...)
			if text, ok := value.(string); ok {
				c.try(path{"labels", []string{name}}, text)
			}
		}
	}
}

// under returns paths under a prefix. One that is relative, begins at
// somebody's home or has a drive could lead under any other prefix, so beside
// it there are whole paths that are under this one alone.
func under(prefix string) []any {
	at := strings.TrimRight(prefix, `/\`) + "/probe"
	slashed := strings.ReplaceAll(at, `\`, "/")
	user, rest, _ := strings.Cut(slashed, "/")
	switch {
	case user == "~":
		return []any{"/home/probe/" + rest, "/root/" + rest, at}
	case strings.HasPrefix(user, "~"):
		return []any{"/home/" + user[1:] + "/" + rest, at}
	case drive.MatchString(prefix):
		return []any{at, "/" + strings.TrimLeft(slashed[2:], "/")}
	case user != "": // relative
		return []any{"/elsewhere/" + strings.TrimPrefix(slashed, "./"), at}
	}
	return []any{at}
}

var drive = regexp.MustCompile(`^[A-Za-z]:`)

// scalars reads a text, number or boolean, or a list of them.
func scalars(v yamlfile.Value) []any {
	doc, ok := v.JSON()
	if !ok {
		return nil
	}
	var value any
	if json.Unmarshal(doc, &value) != nil {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	return slices.DeleteFunc(list, func(v any) bool {
		switch v.(type) {
		case string, float64, bool:
			return false
		}
		return true
	})
}

// around returns a value and its neighbours.
func around(value any) []any {
	switch v := value.(type) {
	case float64:
		return []any{v, v + 1, v - 1}
	case bool:
		return []any{v, !v}
	case string:
		return []any{matching(v), "other"}
	}
	return []any{value}
}
