package policy

import (
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy/path"
	"github.com/pawlhq/pawl/strictjson"
)

// field is one condition of a section's entry on arguments and labels.
type field struct {
	text   string // as it stands in the file
	name   string // of an argument or label; for the other operators of the one argument they look at
	folded string // the name, folded
	op     operator
	number float64  // for the comparisons
	signed bool     // a comparison that holds for negative numbers, too
	values []any    // for equal: texts, patterns (glob), numbers, bools; any will do
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
	onlyThese
)

// holds says whether the field is as the entry wants it. With absent, one that is nowhere, or has
// another type than it is compared with, counts as a match; without, everything found must match,
// so that a label can't override an argument. say is how it came to that, where the condition does
// not tell; problem is what keeps it from being told. Both quote nothing of the call but names of
// the policy's own.
func (f *field) holds(in *input, absent bool) (held bool, say, problem string) {
	args, err := in.arguments()
	switch f.op {
	case onlyThese:
		held, say = f.only(args)
		return held && err == nil, say, ""
	case matchesRegex, underPath, containsWord:
	default:
		if err != nil {
			return absent, "", ""
		}
		return f.compared(in, args, absent)
	}
	if err != nil {
		return absent, "", ""
	}
	var texts []string // of the one argument
	if f.name != "" {
		var whyNot string
		if texts, whyNot = f.named(in, args, absent); whyNot != "" {
			return absent, whyNot, ""
		}
	}
	switch f.op {
	case matchesRegex:
		return f.search(in, texts, absent)
	case containsWord:
		return f.inTexts(in, texts, absent), "", ""
	}
	paths := in.paths
	if f.name != "" {
		paths = func() path.Paths { return path.OfTexts("the argument "+approval.Display(f.name, 80), texts) }
	}
	if absent {
		held, say = paths().SomeUnder(f.prefixes)
	} else {
		held, say = paths().AllUnder(f.prefixes)
	}
	return held, say, ""
}

// Why an argument is not what an entry looks for.
const (
	otherCase = "its name is there in another case"
	notThere  = "it is not there"
	noText    = "it is neither text nor a list of texts"
)

// named returns the texts of the one argument that the field is about, or why there are none. With
// absent, its name in another case is it, too.
func (f *field) named(in *input, args map[string]any, absent bool) (texts []string, whyNot string) {
	names := in.argNames()[f.folded]
	if len(names) == 0 {
		return nil, notThere
	}
	for _, name := range names {
		if name != f.name && !absent {
			return nil, otherCase
		}
		list, ok := args[name].([]any)
		if !ok {
			list = []any{args[name]}
		}
		for _, e := range list {
			text, ok := e.(string)
			if !ok {
				return nil, noText
			}
			texts = append(texts, text)
		}
	}
	if len(texts) == 0 {
		return nil, noText
	}
	return texts, ""
}

// only reports whether the arguments have no other names than those that the entry has.
func (f *field) only(args map[string]any) (held bool, whyNot string) {
	for name := range args {
		if !slices.Contains(f.words, name) {
			return false, "there are other arguments"
		}
	}
	return true, ""
}

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
			if pattern, ok := want.(glob); ok {
				text, isText := v.(string)
				match, typed = match || isText && pattern.match(plain(text)), typed || isText
				continue
			}
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
		return n < f.number && (n >= 0 || f.signed)
	case lessEqual:
		return n <= f.number && (n >= 0 || f.signed)
	}
	return false
}

// inTexts looks for the words, without case, in the texts of one argument or in every value. With
// absent one of them suffices, or what they say one after the other, and keys of objects count, too;
// else there must be a word in each.
func (f *field) inTexts(in *input, texts []string, absent bool) bool {
	has := func(s string) bool {
		return slices.ContainsFunc(f.words, func(w string) bool { return strings.Contains(s, w) })
	}
	switch {
	case f.name != "" && absent:
		return slices.ContainsFunc(foldAll(texts), has)
	case f.name != "":
		return all(foldAll(texts), has)
	case absent:
		_, line := in.line() // all values are in it
		return has(line) || slices.ContainsFunc(in.foldedKeys(), has)
	}
	others := in.rawTexts().plain
	return all(in.foldedValues(), has) && (len(others) == 0 || all(others, has))
}

// all reports whether there are texts, and each is as is says.
func all(texts []string, is func(string) bool) bool {
	return len(texts) > 0 && !slices.ContainsFunc(texts, func(s string) bool { return !is(s) })
}
