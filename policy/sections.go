package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy/path"
	"github.com/pawlhq/pawl/strictjson"
)

var suffixes = []struct {
	suffix string
	op     operator
}{{"_gte", greaterEqual}, {"_gt", greater}, {"_lte", lessEqual}, {"_lt", less}}

const insteadCompare = "to compare an argument of that name, use when: args."

// Words in a section's entry that mean more than a field to compare.
var (
	ownWords = []string{
		"capability", "when", "agent", "team", "labels", "contains", "match_keywords", "match_regex",
		"path_prefix", "fields", "only_fields",
		"timeout", "approval_timeout_seconds", "valid_for", "redact_fields", "risk_level",
		"audit", "collapse",
	}
	usualFields = []string{"environment", "amount_gt", "amount_gte", "amount_lt", "amount_lte"}

	// Words that other tools read in a way of their own, or that look like a remark. Comparing a field
	// of that name would be neither.
	refusedWords = map[string]string{
		"description": "write it as a comment (# …); " + insteadCompare + "description == …",
		"reason":      "write it as a comment (# …); " + insteadCompare + "reason == …",
		"id":          "write it as a comment (# …); " + insteadCompare + "id == …",
		"tool":        "name the tool as capability:",
		"action":      "the section says what is done; " + insteadCompare + "action == …",

		"deny":             "the section says what is done: move the entry to deny:",
		"require_approval": "the section says what is done: move the entry to require_approval:",
		"auto_approve":     "the section says what is done: move the entry to allow:",
	}
)

func (r *reader) readSections(m *yamlfile.Mapping) {
	for i, f := range []form{formDeny, formRequire, formAllow} { // named as verdicts are
		into := &r.layer.sections[i]
		into.form = f
		list, _ := m.Field(string(f)).List()
		for _, v := range list {
			r.readEntry(into, v, approval.VerdictKind(f), r.layer.sections[:i])
		}
	}
}

// readEntry reads a capability with its conditions, or a capability alone. before are the sections
// that go before this one.
func (r *reader) readEntry(into *section, v yamlfile.Value, kind approval.VerdictKind, before []section) {
	m := &yamlfile.Mapping{}
	capability := v
	if !v.IsText() {
		m = v.Mapping()
		capability = m.Need("capability", "name the tool as resource.action, or with a pattern: payments.*")
	}
	var tools []toolName
	if tool, ok := readTool(capability); ok {
		tools = []toolName{{tool, capability}}
	}
	made := r.newRule(v, into.form, names(tools))
	made.kind, made.absent = kind, kind != approval.VerdictAllow
	switch {
	case m.Present():
		r.readEntryFields(m, made)
	case r.layer.noTime:
		r.denyAtOnce(v, made)
	}
	for _, t := range tools {
		into.add(t.name, made)
		if always := r.alwaysHeld(t.name, before); always != nil {
			t.at.Warn(fmt.Sprintf(
				"%s never comes to say anything about %q: the entry of %s at %s takes every such call",
				into.form, t.name, always.form, always.where),
				"keep one, or give the other conditions")
		}
		if t.name == "*" && kind == approval.VerdictAllow && !made.conditional() {
			v.Warn("every tool that no other rule of this layer holds runs without asking",
				"name the capabilities that may")
		}
	}
}

// alwaysHeld returns an entry that takes every call of the tools before others have a say.
func (r *reader) alwaysHeld(tool string, before []section) *rule {
	for i := range before {
		for name := range above(capability(tool)) {
			for _, made := range before[i].exact[name] {
				if !made.conditional() {
					return made
				}
			}
		}
		for _, g := range before[i].globs[:min(len(before[i].globs), maxPatterns)] {
			if !g.rule.conditional() && (g.glob.covers(glob(tool), &r.compareSteps) ||
				(g.glob+".*").covers(glob(tool), &r.compareSteps)) {
				return g.rule
			}
		}
	}
	return nil
}

func (r *reader) readEntryFields(m *yamlfile.Mapping, made *rule) {
	r.readConditions(m, made)
	if audit := m.Field("audit"); audit.Present() {
		if made.audited, _ = audit.Bool(); made.audited && made.kind != approval.VerdictAllow {
			audit.Problem("audit is for what runs without asking",
				"move the entry to allow:, or remove the line")
		}
	}
	if risk := m.Field("risk_level"); risk.Present() && made.kind == approval.VerdictAllow {
		risk.Problem("risk_level could be read as a condition here, or as a label",
			"remove it; to give a tool a risk, write it in rules:; "+
				"to compare an argument of that name, use when:")
	}
	if other := m.Field("approval_timeout_seconds"); other.Present() {
		if m.Has("timeout") {
			other.Problem("approval_timeout_seconds and timeout mean the same", "keep one")
		}
		if other.IsZero() {
			r.denyAtOnce(other, made)
		} else if t, ok := other.Duration(approval.MaxTimeout); ok {
			made.timeout, made.ownTimeout = t, true
		}
	}
	r.readTerms(m, made)
	r.readTexts(m, "", made)
	r.readNamed(m.Field("fields"), made)
	for _, e := range m.Entries() {
		if slices.Contains(ownWords, e.Name) || slices.Contains(requirementWords, e.Name) {
			continue
		}
		if hint, refused := refusedWords[e.Name]; refused {
			e.Key.Problem(e.Name+" is not a condition here", hint)
			made.broken = true
			continue
		}
		f, ok := readField(e, made.kind == approval.VerdictAllow)
		if !ok {
			made.broken = true
			continue
		}
		made.fields = append(made.fields, f)
	}
	if made.kind == approval.VerdictAllow {
		boundBelow(m, made.fields)
	}
	readOnlyFields(m.Field("only_fields"), made)
	// What costs comes last.
	slices.SortStableFunc(made.fields, func(a, b field) int { return cmp.Compare(a.cost(), b.cost()) })
}

func (f *field) cost() int {
	switch f.op {
	case underPath:
		return 1
	case matchesRegex:
		return 2
	}
	return 0
}

// readTexts reads the conditions on texts: those of one argument, or with no name on all of them.
func (r *reader) readTexts(m *yamlfile.Mapping, name string, made *rule) {
	add := func(f field, ok bool) {
		if f.name, f.folded = name, strictjson.Fold(name); name != "" {
			f.text = approval.Display(name, 80) + " " + f.text
		}
		made.fields, made.broken = append(made.fields, f), made.broken || !ok
	}
	for _, word := range []string{"contains", "match_keywords"} {
		if v := m.Field(word); v.Present() {
			f := readContains(word, v, made.kind == approval.VerdictAllow)
			add(f, len(f.words) > 0)
		}
	}
	if v := m.Field("path_prefix"); v.Present() {
		f := readPrefixes(v, made.kind)
		add(f, len(f.prefixes) > 0)
	}
	if v := m.Field("match_regex"); v.Present() {
		f := r.readPatterns(v, made.kind)
		add(f, len(f.patterns) > 0)
	}
}

// readNamed reads fields, which says what single arguments must be.
func (r *reader) readNamed(v yamlfile.Value, made *rule) {
	names := v.Mapping()
	if names.Present() && len(names.Entries()) == 0 {
		v.Problem("fields names no argument", `write "fields: {NAME: {match_regex: …}}", or remove it`)
	}
	for _, e := range names.Entries() {
		if badName(e.Key, "the field's name", e.Name, "write it as the arguments have it") {
			made.broken = true
			continue
		}
		m, before := e.Value.Mapping(), len(made.fields)
		r.readTexts(m, e.Name, made)
		m.Done()
		if m.Present() && len(made.fields) == before {
			e.Key.Problem("nothing is said about the argument "+approval.Display(e.Name, 80),
				"write match_regex, contains or path_prefix under it")
		}
		made.broken = made.broken || len(made.fields) == before
	}
}

// readOnlyFields reads only_fields, after the fields that it is about.
func readOnlyFields(v yamlfile.Value, made *rule) {
	if only, _ := v.Bool(); !only {
		return
	}
	f := field{text: "only_fields", op: onlyThese}
	for _, other := range made.fields {
		if other.name != "" {
			f.words = append(f.words, other.name)
		}
	}
	switch {
	case made.kind != approval.VerdictAllow:
		v.Problem("only_fields is for allow: elsewhere more arguments must not keep an entry from counting",
			"remove it")
	case len(f.words) == 0:
		v.Problem("only_fields is there, but the entry names no field", `name them under "fields:"`)
	}
	made.fields = append(made.fields, f)
}

// boundBelow makes an upper bound that stands alone one from zero on: whoever allows amounts up to
// 50 does not mean -1,000,000.
func boundBelow(m *yamlfile.Mapping, fields []field) {
	for i, f := range fields {
		if f.op == greater || f.op == greaterEqual {
			if !slices.ContainsFunc(fields, func(other field) bool {
				return other.name == f.name && (other.op == less || other.op == lessEqual)
			}) {
				m.Warn(f.text+" has no upper bound: any larger number is allowed, too",
					fmt.Sprintf("write an upper bound, too: %s_lte", f.name))
			}
			continue
		}
		if f.op != less && f.op != lessEqual {
			continue
		}
		fields[i].signed = slices.ContainsFunc(fields, func(other field) bool {
			return other.name == f.name && (other.op == greater || other.op == greaterEqual)
		})
		if fields[i].signed {
			continue
		}
		fields[i].text += ", not negative"
		if f.number < 0 || f.op == less && f.number == 0 {
			m.Warn(f.text+" allows nothing: an upper bound alone also means not negative",
				fmt.Sprintf("write a lower bound, too: %s_gte", f.name))
		}
	}
}

func readContains(word string, v yamlfile.Value, allows bool) field {
	f := field{text: word, op: containsWord}
	var shown []string
	for _, e := range oneOrMore(v) {
		if text, ok := e.Lines(); ok {
			f.words = append(f.words, strictjson.Fold(text))
			// Some tools look in a form of the arguments that has each backslash doubled.
			if single := strings.ReplaceAll(text, `\\`, `\`); !allows && single != text {
				f.words = append(f.words, strictjson.Fold(single))
			}
			shown = append(shown, strconv.Quote(approval.Display(text, 40)))
		}
	}
	f.text += " " + firstFew(shown)
	return f
}

// readField reads "NAME_gt: number" and its like, or "NAME: value".
func readField(e yamlfile.Entry, allows bool) (field, bool) {
	f := field{name: e.Name, folded: strictjson.Fold(e.Name)}
	if badName(e.Key, "the field's name", e.Name, "write it as the arguments have it") {
		return f, false
	}
	for _, s := range suffixes {
		if name, ok := strings.CutSuffix(e.Name, s.suffix); ok && name != "" {
			f.name, f.folded, f.op = name, strictjson.Fold(name), s.op
			n, ok := e.Value.Number()
			f.number, f.signed, f.text = n, true, fmt.Sprintf("%s %v", e.Name, n)
			return f, ok
		}
	}
	known := slices.Concat(ownWords, usualFields, requirementWords)
	if near := yamlfile.Nearest(e.Name, known); near != "" && !slices.Contains(usualFields, e.Name) {
		e.Key.Warn(fmt.Sprintf("%q is compared with an argument or label of that name", e.Name),
			fmt.Sprintf("did you mean %q?", near))
	}
	var shown []string
	for _, v := range oneOrMore(e.Value) {
		value, text, ok := readScalar(v)
		if !ok {
			return f, false
		}
		s, isText := value.(string)
		switch {
		case isText && !allows:
			f.values = append(f.values, looseValues(s)...)
		case strings.Contains(s, "*"):
			v.Problem("a value with * allows nothing for sure: patterns are for deny and require_approval",
				`write the values out, as a list, or a condition: when: args.FIELD.startsWith("…")`)
			return f, false
		default:
			f.values = append(f.values, value)
		}
		shown = append(shown, text)
	}
	f.text = e.Name + " " + firstFew(shown)
	return f, len(f.values) > 0
}

// looseValues are the patterns for a text that deny or require_approval compares with: as it is and,
// since some tools know [abc] for one of several characters, with any one there. Neither case nor
// blanks around it matter.
func looseValues(text string) []any {
	values := []any{glob(plain(text))}
	if any := characterClass.ReplaceAllString(text, "?"); any != text {
		values = append(values, glob(plain(any)))
	}
	return values
}

var characterClass = regexp.MustCompile(`\[[^\]]+\]`)

func readScalar(v yamlfile.Value) (value any, text string, ok bool) {
	switch {
	case v.IsNumber():
		n, ok := v.Number()
		return n, fmt.Sprint(n), ok
	case v.IsBool():
		b, ok := v.Bool()
		return b, fmt.Sprint(b), ok
	}
	s, ok := v.Text()
	return s, strconv.Quote(approval.Display(s, 40)), ok
}

// readPrefixes reads path_prefix.
func readPrefixes(v yamlfile.Value, kind approval.VerdictKind) field {
	f := field{text: "path_prefix", op: underPath}
	var shown []string
	for _, e := range oneOrMore(v) {
		text, ok := e.Text()
		if !ok {
			continue
		}
		p := path.NewPrefix(text)
		f.prefixes = append(f.prefixes, p)
		shown = append(shown, p.String())
		if what, hint := p.Weakness(kind == approval.VerdictAllow); what != "" {
			e.Warn(what, hint)
		}
	}
	f.text += " " + firstFew(shown)
	return f
}
