package policy

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy/path"
	"github.com/pawlhq/pawl/strictjson"
)

// field is one condition of a section's entry on arguments and labels.
type field struct {
	text   string // as it stands in the file
	name   string // of an argument or label
	folded string // the name, folded
	op     operator
	number float64  // for the comparisons
	values []any    // for equal: texts, numbers, bools; any will do
	words  []string // for contains, in lower case; any will do

	patterns []*pattern    // for match_regex; any will do
	prefixes path.Prefixes // for path_prefix; any will do
}

type operator int

const (
	equal operator = iota
	greater
	greaterEqual
	less
	lessEqual
	containsWord
	matchesRegex
	underPath
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
		"path_prefix", "timeout", "approval_timeout_seconds", "valid_for", "redact_fields", "risk_level",
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
	for i, s := range [...]struct {
		form form
		kind approval.VerdictKind
	}{{formDeny, approval.VerdictDeny}, {formRequire, approval.VerdictRequire}, {formAllow,
		approval.VerdictAllow}} {
		into := &r.layer.sections[i]
		into.form = s.form
		list, _ := m.Field(string(s.form)).List()
		for _, v := range list {
			r.readEntry(into, v, s.kind, r.layer.sections[:i])
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
	if m.Present() {
		r.readEntryFields(m, made)
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
		for _, made := range before[i].exact[tool] {
			if !made.conditional() {
				return made
			}
		}
		for _, g := range before[i].globs[:min(len(before[i].globs), maxPatterns)] {
			if !g.rule.conditional() && g.glob.covers(glob(tool), &r.compareSteps) {
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
		if t, ok := other.Duration(approval.MaxTimeout); ok {
			made.timeout, made.ownTimeout = t, true
		}
	}
	r.readTerms(m, made)
	for _, word := range []string{"contains", "match_keywords"} {
		if v := m.Field(word); v.Present() {
			f := readContains(word, v)
			made.fields, made.broken = append(made.fields, f), made.broken || len(f.words) == 0
		}
	}
	for _, e := range m.Entries() {
		if slices.Contains(ownWords, e.Name) || slices.Contains(requirementWords, e.Name) {
			continue
		}
		if hint, refused := refusedWords[e.Name]; refused {
			e.Key.Problem(e.Name+" is not a condition here", hint)
			made.broken = true
			continue
		}
		f, ok := readField(e)
		if !ok {
			made.broken = true
			continue
		}
		made.fields = append(made.fields, f)
	}
	if v := m.Field("path_prefix"); v.Present() {
		f := readPrefixes(v, made.kind)
		made.fields, made.broken = append(made.fields, f), made.broken || len(f.prefixes) == 0
	}
	if v := m.Field("match_regex"); v.Present() { // last, as it is what costs
		f := r.readPatterns(v, made.kind)
		made.fields, made.broken = append(made.fields, f), made.broken || len(f.patterns) == 0
	}
}

func readContains(word string, v yamlfile.Value) field {
	f := field{text: word, op: containsWord}
	var shown []string
	for _, e := range oneOrMore(v) {
		if text, ok := e.Lines(); ok {
			f.words = append(f.words, strictjson.Fold(text))
			shown = append(shown, strconv.Quote(approval.Display(text, 40)))
		}
	}
	f.text += " " + firstFew(shown)
	return f
}

// readField reads "NAME_gt: number" and its like, or "NAME: value".
func readField(e yamlfile.Entry) (field, bool) {
	f := field{name: e.Name, folded: strictjson.Fold(e.Name)}
	if message := nameProblem(e.Name); message != "" {
		e.Key.Problem("the field's name "+message, "write it as the arguments have it")
		return f, false
	}
	for _, s := range suffixes {
		if name, ok := strings.CutSuffix(e.Name, s.suffix); ok && name != "" {
			f.name, f.folded, f.op = name, strictjson.Fold(name), s.op
			n, ok := e.Value.Number()
			f.number, f.text = n, fmt.Sprintf("%s %v", e.Name, n)
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
		if s, isText := value.(string); isText && s != "*" && strings.Contains(s, "*") {
			v.Warn("this is compared literally: * is not a wildcard here",
				`for a pattern write a condition: when: args.FIELD.startsWith("…")`)
		}
		f.values = append(f.values, value)
		shown = append(shown, text)
	}
	f.text = e.Name + " " + firstFew(shown)
	return f, len(f.values) > 0
}

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

// holds says whether the field is as the entry wants it. With absent, one that is nowhere, or has
// another type than it is compared with, counts as a match; without, everything found must match,
// so that a label can't override an argument. say is how it came to that, where the condition does
// not tell; problem is what keeps it from being told. Both quote nothing of the call but names of
// the policy's own.
func (f *field) holds(in *input, absent bool) (held bool, say, problem string) {
	args, err := in.arguments()
	switch {
	case err != nil:
		return absent, "", ""
	case f.op == matchesRegex:
		return f.search(in, absent)
	case f.op == underPath && absent:
		held, say = in.paths().SomeUnder(f.prefixes)
		return held, say, ""
	case f.op == underPath:
		held, say = in.paths().AllUnder(f.prefixes)
		return held, say, ""
	case f.op == containsWord:
		return f.inTexts(in, absent), "", ""
	}
	return f.compared(in, args, absent)
}

const otherCase = "its name is there in another case"

// compared is holds for what is compared with one field. A name in another case is the field to some
// tools and not to others: it may match, and never allows.
func (f *field) compared(in *input, args map[string]any, absent bool) (held bool, say, problem string) {
	found, matched, mistyped, misspelt := 0, 0, 0, 0
	count := func(name string, readings ...any) {
		found++
		if name != f.name {
			misspelt++
		}
		if match, typed := f.compare(readings); !typed {
			mistyped++
		} else if match {
			matched++
		}
	}
	for _, name := range in.argNames()[f.folded] {
		count(name, args[name])
	}
	for name, v := range in.call.Labels {
		if strictjson.Fold(name) == f.folded {
			count(name, labelReadings(v)...)
		}
	}
	switch {
	case absent:
		return found == 0 || matched > 0 || mistyped > 0, "", ""
	case misspelt > 0:
		return false, otherCase, ""
	}
	return found > 0 && matched == found, "", ""
}

// compare reports whether a value matches in any of its readings, and whether any has a type that
// can.
func (f *field) compare(readings []any) (match, typed bool) {
	for _, v := range readings {
		if f.op != equal {
			n, number := v.(float64)
			match, typed = match || number && f.inOrder(n), typed || number
			continue
		}
		for _, want := range f.values {
			match = match || v == want
			typed = typed || reflect.TypeOf(v) == reflect.TypeOf(want)
		}
	}
	return match, typed
}

// labelReadings are what a label can be compared as: a label is text, also where it says a number,
// true or false.
func labelReadings(s string) []any {
	readings := []any{s}
	if n, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
		readings = append(readings, n)
	}
	if s == "true" || s == "false" {
		readings = append(readings, s == "true")
	}
	return readings
}

func (f *field) inOrder(n float64) bool {
	switch f.op {
	case greater:
		return n > f.number
	case greaterEqual:
		return n >= f.number
	case less:
		return n < f.number
	case lessEqual:
		return n <= f.number
	}
	return false
}

// inTexts looks for the words in every text in the arguments, without case, and with keys in the
// keys of objects, too.
func (f *field) inTexts(in *input, keys bool) bool {
	found := func(texts []string) bool {
		return slices.ContainsFunc(texts, func(s string) bool {
			return slices.ContainsFunc(f.words, func(w string) bool { return strings.Contains(s, w) })
		})
	}
	return found(in.foldedValues()) || keys && found(in.foldedKeys())
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
