package policy

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// layer is one file.
type layer struct {
	name    string
	source  File
	applies *matcher // nil: to every call
	observe bool     // it decides nothing
	timeout approval.Duration
	noTime  bool // the file's timeout is 0; see denyAtOnce
	redact  []string
	shows   bool // well-known secrets are not hidden for its part
	groups  bool // it says who is in groups
	// decisions says which count for any call that the layer takes in, if that is signed ones, and
	// else for what its own rules ask.
	decisions approval.Decisions

	rules      []*rule     // all of them, in the file's order
	list       index       // of the rule list, but for "*"
	star       []*rule     // of the rule list, for "*"
	sections   [3]section  // deny, require_approval, allow
	unmatched  *rule       // nil: no say where nothing matches
	classifier *classifier // nil: names are not looked at
	// redactions are the rules with redactions, but for those under "*". They hide for every call of
	// their tools, whether or not they count: a rule that is passed over for a missing argument, or
	// stands behind one that denies, must not show its fields.
	redactions index
}

// section is a list of capabilities, all of which count.
type section struct {
	index
	form form
}

// reader takes the files of one set apart, one after the other. What it returns is of use only if
// it noted no problem.
type reader struct {
	problems     *yamlfile.Problems
	unexecuted   *yamlfile.Problems
	names        map[string]string // of layers, to the place that gave it
	conditions   map[string]*condition
	patterns     map[string]*pattern
	regexes      int // how many instructions patterns have together
	groups       map[string]group
	groupUses    []groupUse
	observing    []yamlfile.Value // where layers say that they only observe
	compareSteps int              // what is left for comparing patterns

	layer *layer           // of the file that is being read
	base  string           // of that file's name, as verdicts show it
	first map[string]first // of its rule list's rules, by what they match
}

// foreignFields stand at the top of other tools' policies.
var foreignFields = map[string]string{
	"actor":            `to keep the file to some agents or teams write "applies_to: {agent: NAME}"`,
	"actors":           `to keep the file to some agents or teams write "applies_to: {agent: NAME}"`,
	"extends":          "give Pawl the other file, too: each is a layer, and the strictest counts",
	"enforcement_mode": `to see what the file would decide, without deciding, write "observe: true"`,
	"risk_levels": `write risk_level in each rule under "rules:", with require_approval, auto_approve ` +
		`or deny`,
}

const maxFieldName = 200 // bytes, of names of layers, fields, groups and the like

func (r *reader) readLayer(f File) *layer {
	l := &layer{source: f}
	r.layer, r.base = l, approval.Display(filepath.Base(f.Name), 100)
	m := yamlfile.Parse(f.Name, f.Data, r.problems).Mapping()
	l.name = r.layerName(m)
	for _, name := range []string{"version", "policy_name", "description"} { // for people only
		if v := m.Field(name); v.IsList() || v.IsMapping() {
			v.Problem(name+" must be one value", "write it on one line, or remove it")
		}
	}
	if v := m.Field("applies_to"); v.Present() {
		l.applies = appliesTo(v)
	}
	if v := m.Field("observe"); v.Present() {
		if l.observe, _ = v.Bool(); l.observe {
			r.observing = append(r.observing, v)
		}
	}
	l.readTimeout(m)
	l.redact = readRedactions(m)
	l.shows = readRedactValues(m.Field("redact_values"))
	r.readGroups(m.Field("groups"))
	r.readClassifier(m)
	r.readUnmatched(m.Field("unmatched"))
	noteUnmatched(m)
	r.first = map[string]first{}
	list, _ := m.Field("rules").List()
	for _, entry := range list {
		r.readRule(entry.Mapping())
	}
	r.readSections(m)
	l.decisions = readDecisions(m.Field("decisions"))
	for _, made := range l.rules {
		if made.requirement != nil && made.requirement.Decisions == "" {
			made.requirement.Decisions = l.decisions
		}
		for _, name := range made.names {
			if len(made.redact) > 0 && name != "*" {
				l.redactions.add(name, made)
			}
		}
	}
	says := []string{"rules", "deny", "require_approval", "allow", "classify", "unmatched"}
	if m.Present() && !slices.ContainsFunc(says, m.Has) {
		m.Problem("the file has no rules",
			`write "rules:" and a list under it, or "rules: []" if there are none`)
	}
	m.Hint(foreignFields)
	m.Done()
	return l
}

// layerName reads the layer's name, which no layer before may have.
func (r *reader) layerName(m *yamlfile.Mapping) string {
	given := m.Field("layer")
	from := given
	name, ok := given.Text()
	if !given.Present() {
		base := filepath.Base(r.layer.source.Name)
		name, ok = strings.TrimSuffix(base, filepath.Ext(base)), m.Present()
		from = m.Value
	}
	if !ok {
		return ""
	}
	if badName(from, "the layer's name", name, `give it another with "layer: NAME"`) {
		return ""
	}
	if first, taken := r.names[name]; taken {
		from.Problem(fmt.Sprintf("the layer %q exists already", name),
			fmt.Sprintf(`give each file its own with "layer: NAME"; the first is at %s`, first))
		return ""
	}
	r.names[name] = from.Where()
	return name
}

// badName notes what keeps a word, which what calls "the layer's name", from being a name.
func badName(v yamlfile.Value, what, name, hint string) bool {
	problem := ""
	switch {
	case strings.TrimSpace(name) != name || name == "":
		problem = "is empty, or begins or ends with a space"
	case len(name) > maxFieldName:
		problem = fmt.Sprintf("is longer than %d bytes", maxFieldName)
	case approval.Display(name, 0) != name:
		problem = "holds characters that can't be seen"
	default:
		return false
	}
	v.Problem(what+" "+problem, hint)
	return true
}

func appliesTo(v yamlfile.Value) *matcher {
	m := v.Mapping()
	if !m.Present() {
		return nil
	}
	out := readMatcher(m, true, true)
	m.Done()
	if len(m.Entries()) == 0 {
		v.Problem("applies_to names nothing", "name an agent, team, tool or labels, or remove it")
	}
	return out
}

// readTimeout reads the layer's timeout under either of its names.
func (l *layer) readTimeout(m *yamlfile.Mapping) {
	own, other := m.Field("default_timeout"), m.Field("approval_timeout_seconds")
	if own.Present() && other.Present() {
		other.Problem("approval_timeout_seconds and default_timeout mean the same", "keep one")
	}
	if !own.Present() {
		own = other
	}
	if l.noTime = own.IsZero(); l.noTime {
		own.Warn("a timeout of 0 leaves nobody time to approve: rules that ask, and state none, deny",
			"write how long people have: 30m")
		return
	}
	l.timeout, _ = own.Duration(approval.MaxTimeout)
}

// noteUnmatched tells those who bring a file along from a tool that denies what no entry matches.
func noteUnmatched(m *yamlfile.Mapping) {
	sections := slices.ContainsFunc([]form{formDeny, formRequire, formAllow},
		func(f form) bool { return m.Has(string(f)) })
	if sections && m.Has("policy_name") && !m.Has("unmatched") {
		m.Warn("what no entry matches asks people; the tools that this form comes from deny it",
			`write "unmatched: deny" to deny it, too, or "unmatched: require_approval"`)
	}
}

func (r *reader) readUnmatched(v yamlfile.Value) {
	text, ok := v.Text()
	if !ok {
		return
	}
	kind := approval.VerdictKind(text)
	if !slices.Contains(approval.VerdictKinds, kind) {
		v.Problem("unmatched is not a verdict", "use allow, require_approval or deny")
		return
	}
	if kind == approval.VerdictAllow && r.layer.classifier == nil {
		v.Warn("every tool that no rule of this layer is about runs without asking",
			`write "classify: true" beside it, to hold those with a dangerous name, or `+
				`"unmatched: require_approval"`)
	}
	r.layer.unmatched = r.newRule(v, formUnmatched, []string{text})
	r.layer.unmatched.kind = kind
}

// newRule makes a rule of the layer.
func (r *reader) newRule(at yamlfile.Value, f form, names []string) *rule {
	made := &rule{
		layer: r.layer, line: at.Line(), where: at.Where(), form: f, names: names, timeout: r.layer.timeout,
	}
	made.short = fmt.Sprintf("%s:%d %s %s", r.base, made.line, f, firstFew(names))
	r.layer.rules = append(r.layer.rules, made)
	return made
}

// firstFew shows a list's first entries.
func firstFew[S ~string](list []S) string {
	const most = 3
	var b strings.Builder
	for i, s := range list {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(list)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(s))
	}
	return b.String()
}
