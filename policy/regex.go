package policy

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// maxRegexes bounds the instructions of all regular expressions in the sections of one set: each
// takes about 40 bytes of memory.
const maxRegexes = 1_000_000

// pattern is one match_regex. It is safe for concurrent use.
type pattern struct {
	re       *regexp.Regexp
	shown    string
	size     uint64 // instructions: at most so many steps for each character
	anchored bool   // it matches whole texts only
}

// readPatterns reads match_regex.
func (r *reader) readPatterns(v yamlfile.Value, kind approval.VerdictKind) field {
	f := field{text: "match_regex", op: matchesRegex}
	var shown []string
	for _, e := range oneOrMore(v) {
		p := r.pattern(e)
		if p == nil {
			continue
		}
		f.patterns = append(f.patterns, p)
		shown = append(shown, p.shown)
		if kind == approval.VerdictAllow && !p.anchored {
			e.Warn("the expression may match a part of a text, whatever the rest says",
				"write it as ^…$, to match whole texts only")
		}
	}
	f.text += " " + firstFew(shown)
	return f
}

const re2 = "write it as RE2 takes it (https://github.com/google/re2/wiki/Syntax)"

// pattern compiles the expression in v. Equal ones are compiled once.
func (r *reader) pattern(v yamlfile.Value) *pattern {
	text, ok := v.Lines()
	if !ok {
		return nil
	}
	if known, ok := r.patterns[text]; ok {
		return known
	}
	if len(text) > maxCondition {
		v.Problem(fmt.Sprintf("the regular expression is longer than %d bytes", maxCondition),
			"write several, as a list")
		return nil
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		what, hint := "can't be read", re2
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			what, hint = e.Code.String()+": "+approval.Display(e.Expr, 80), cmp.Or(regexHints[e.Code], re2)
		}
		v.Problem("the regular expression is not valid: "+what, hint)
		return nil
	}
	size := maxRegex + 1
	// What would be far too large is not even compiled.
	if estimateSize(parsed) <= 10*maxRegex {
		if program, err := syntax.Compile(parsed.Simplify()); err == nil {
			size = len(program.Inst)
		}
	}
	if size > maxRegex {
		v.Problem("the regular expression is too large",
			"make it shorter, and its repetitions smaller: x{100} counts as 100 times x")
		return nil
	}
	if r.regexes += size; r.regexes > maxRegexes {
		v.Problem("the regular expressions are too large together", "write fewer, or smaller ones")
		return nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		v.Problem("the regular expression can't be compiled", re2)
		return nil
	}
	made := &pattern{re: re, shown: quote(text), size: uint64(size), anchored: anchored(parsed)}
	r.patterns[text] = made
	return made
}

const noPerl = re2 + ", without look-ahead, look-behind and back-references"

// regexHints say what an expression with an error needs; where they don't, it is re2.
var regexHints = map[syntax.ErrorCode]string{
	syntax.ErrMissingParen:    `close it with ), or write \( for the character itself`,
	syntax.ErrUnexpectedParen: `open it with ( before, or write \) for the character itself`,
	syntax.ErrMissingBracket:  `close it with ], or write \[ for the character itself`,
	syntax.ErrMissingRepeatArgument: `put before it what is to be repeated (.* is any text), ` +
		`or a \ for the character itself`,
	syntax.ErrInvalidRepeatOp: "write one of them, or put what is repeated in ( )",
	syntax.ErrInvalidRepeatSize: "repeat at most 1,000 times, also what repetitions inside each other " +
		"come to, and write the smaller number first",
	syntax.ErrInvalidCharRange: `write the smaller character first, or \- for the character itself, ` +
		`or name a class that RE2 knows: [[:alpha:]]`,
	syntax.ErrTrailingBackslash:   `write \\ for the character itself`,
	syntax.ErrInvalidPerlOp:       noPerl,
	syntax.ErrInvalidNamedCapture: noPerl,
	syntax.ErrInvalidEscape:       noPerl,
}

// estimateSize is about how many instructions an expression compiles to.
func estimateSize(re *syntax.Regexp) int {
	n := 1
	if re.Op == syntax.OpLiteral {
		n = len(re.Rune)
	}
	for _, sub := range re.Sub {
		n += estimateSize(sub)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, math.MaxInt32)
}

// anchored reports whether whatever matches is a whole text, as far as can be seen without trying.
func anchored(re *syntax.Regexp) bool {
	return reaches(re, syntax.OpBeginText) && reaches(re, syntax.OpEndText)
}

func anchoredText(pattern string) bool {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	return err == nil && anchored(parsed)
}

// reaches reports whether whatever matches reaches an edge of the text: its beginning or its end.
func reaches(re *syntax.Regexp, edge syntax.Op) bool {
	switch re.Op {
	case edge:
		return true
	case syntax.OpConcat, syntax.OpCapture, syntax.OpPlus:
		outermost := re.Sub[0]
		if edge == syntax.OpEndText {
			outermost = re.Sub[len(re.Sub)-1]
		}
		return reaches(outermost, edge)
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !reaches(sub, edge) })
	}
	return false
}

// search looks for the expressions in the texts of one argument, or in every value. With absent one
// of them suffices, or what they say one after the other, and names of fields count, too; else every
// value must match one, and there must be a text. It says what matched or did not, or why that can't
// be told.
func (f *field) search(in *input, texts []string, absent bool) (held bool, say, problem string) {
	type kind struct {
		name  string
		texts []string
	}
	kinds := []kind{{"the argument " + approval.Display(f.name, 80), texts}}
	if f.name == "" {
		w := in.rawTexts()
		kinds = []kind{{"a text in the arguments", w.values}, {"a number, true or false in the arguments", w.plain}}
		if absent {
			kinds = append(kinds, kind{"the name of a field", w.keys})
			if line, _ := in.line(); line != "" {
				kinds = append(kinds, kind{"what the arguments say together", []string{line}})
			}
		}
	}
	var bytes, count uint64
	for _, k := range kinds {
		for _, text := range k.texts {
			bytes += uint64(len(text))
		}
		count += uint64(len(k.texts))
	}
	for _, p := range f.patterns {
		// As much as CEL takes for matches, but by the size of what is compiled.
		in.cost += (bytes/10 + count) * (p.size/4 + 1)
		if in.cost > maxCost {
			return false, "", tooLong
		}
		if !absent {
			continue
		}
		for _, k := range kinds {
			for _, text := range k.texts {
				if p.matches(text, true) {
					return true, k.name + " matches " + p.shown, ""
				}
			}
		}
	}
	if absent {
		return false, "nothing in the arguments matches", ""
	}
	for i, k := range kinds {
		if i == 0 && len(k.texts) == 0 {
			return false, "there is no text in the arguments", ""
		}
		for _, text := range k.texts {
			if !slices.ContainsFunc(f.patterns, func(p *pattern) bool { return p.matches(text, false) }) {
				return false, k.name + " does not match", ""
			}
		}
	}
	if f.name != "" {
		return true, "each of its texts matches", ""
	}
	return true, "every value in the arguments matches", ""
}

// matches reports whether the expression matches a text as RE2 reads it, with absent or as another
// language does, and without absent as RE2 and others do. In some languages blanks are all of
// Unicode's, and so are digits and letters, and $ stands before a line break at the end, too.
func (p *pattern) matches(text string, absent bool) bool {
	found := p.re.MatchString(text)
	blanks := strings.Map(asBlank, text)
	if !absent {
		return found && (blanks == text || p.re.MatchString(blanks))
	}
	if found || blanks != text && p.re.MatchString(blanks) {
		return true
	}
	if ascii := strings.Map(asASCII, blanks); ascii != blanks && p.re.MatchString(ascii) {
		return true
	}
	line, cut := strings.CutSuffix(text, "\n")
	return cut && p.re.MatchString(line)
}

// asBlank makes a space of what is one in other languages only.
func asBlank(r rune) rune {
	if r == '\v' || r >= 0x1c && r <= 0x1f || r > unicode.MaxASCII && unicode.IsSpace(r) {
		return ' '
	}
	return r
}

// asASCII makes a digit or letter of what is one in other languages only.
func asASCII(r rune) rune {
	switch {
	case r <= unicode.MaxASCII:
	case unicode.IsDigit(r):
		return '0'
	case unicode.IsLetter(r):
		return 'x'
	}
	return r
}

// asJSON is a number as JSON writes it.
func asJSON(n float64) string {
	format := byte('f')
	if abs := math.Abs(n); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.FormatFloat(n, format, -1, 64)
}

// quote shows what a file says, as it stands there.
func quote(text string) string { return `"` + approval.Display(text, 40) + `"` }
