package redact

import (
	"regexp"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/pawlhq/pawl/strictjson"
)

// names are names of fields as they are compared: as words, whose case and joints do not matter.
// apiKey, API-KEY, "api key" and api_key are one name, which is also in openai_api_key.
type names struct {
	joined map[string]bool // folded, without what joins the words
	odd    map[string]bool // folded names that hold neither letter nor digit
	sizes  []int           // lengths in joined, in order
	words  bool            // a name has several words

	// The name that is looked at: its letters and digits, folded, and where words begin or end.
	text []byte
	edge []bool
}

func newNames(fields []string) *names {
	n := &names{joined: map[string]bool{}, odd: map[string]bool{}}
	for _, field := range fields {
		n.split(field)
		if len(n.text) == 0 {
			n.odd[strictjson.Fold(field)] = true
			continue
		}
		n.joined[string(n.text)] = true
		n.words = n.words || slices.Contains(n.edge[1:len(n.text)], true)
		if at, there := slices.BinarySearch(n.sizes, len(n.text)); !there {
			n.sizes = slices.Insert(n.sizes, at, len(n.text))
		}
	}
	return n
}

func (n *names) empty() bool { return len(n.joined) == 0 && len(n.odd) == 0 }

// Key is the same for names that are one to a Redactor.
func Key(name string) string {
	n := names{}
	if n.split(name); len(n.text) > 0 {
		return string(n.text)
	}
	return strictjson.Fold(name)
}

// Field returns the first of the fields that hides what stands under a name. Empty: none does.
func Field(fields []string, name string) string {
	at := slices.IndexFunc(fields, func(field string) bool { return newNames([]string{field}).in(name) })
	if at < 0 {
		return ""
	}
	return fields[at]
}

// in reports whether a name is one of the names, or holds one as a run of its words.
func (n *names) in(name string) bool { return n.match(name, false) }

// atEnd is in where that run is the name's last.
func (n *names) atEnd(name string) bool { return n.match(name, true) }

func (n *names) match(name string, last bool) bool {
	if len(n.odd) > 0 && n.odd[strictjson.Fold(name)] {
		return true
	}
	if len(n.joined) == 0 {
		return false
	}
	n.split(name)
	for from := range n.text {
		if !n.edge[from] {
			continue
		}
		for _, size := range n.sizes {
			to := from + size
			if to > len(n.text) {
				break
			}
			if n.edge[to] && (!last || to == len(n.text)) && n.joined[string(n.text[from:to])] {
				return true
			}
		}
	}
	return false
}

// glyph is what a character is in a name.
type glyph int

const (
	joint glyph = iota
	lower
	upper
	digit
	lone // of a script that has no case, and often no spaces: a word may begin anywhere
)

func glyphOf(r rune) glyph {
	switch {
	case 'a' <= r && r <= 'z':
		return lower
	case 'A' <= r && r <= 'Z':
		return upper
	case '0' <= r && r <= '9':
		return digit
	case r < utf8.RuneSelf:
		return joint
	case unicode.IsUpper(r) || unicode.IsTitle(r):
		return upper
	case unicode.Is(unicode.Lo, r):
		return lone
	case unicode.IsLetter(r) || unicode.IsMark(r):
		return lower
	case unicode.IsNumber(r):
		return digit
	}
	return joint
}

// split takes a name apart. Where it can't be told where a word ends, there are two places: both
// APIKey and APIkey are "api key".
func (n *names) split(name string) {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			name = norm.NFKC.String(name)
			break
		}
	}
	n.text, n.edge = n.text[:0], append(n.edge[:0], true)
	last, run, start := joint, 0, 0 // run: capitals in a row; start: of the last character
	for _, r := range name {
		is := glyphOf(r)
		if is == joint {
			last, run = joint, 0
			n.edge[len(n.text)] = true
			continue
		}
		if last != joint && (is != last || is == lone) {
			switch {
			case last == upper && is == lower && run == 1: // the capital begins the word
			case last == upper && is == lower:
				n.edge[start], n.edge[len(n.text)] = true, true
			default:
				n.edge[len(n.text)] = true
			}
		}
		if last, start = is, len(n.text); is == upper {
			run++
		} else {
			run = 0
		}
		switch {
		case r >= utf8.RuneSelf:
			n.text = append(n.text, strictjson.Fold(cases.Fold().String(string(r)))...)
		case is == upper:
			n.text = append(n.text, byte(r)+'a'-'A')
		default:
			n.text = append(n.text, byte(r))
		}
		for len(n.edge) <= len(n.text) {
			n.edge = append(n.edge, false)
		}
	}
	n.edge[len(n.text)] = true
}

// exactNames are names that are compared as a whole, in any spelling. They never change.
type exactNames map[string]bool

func exact(fields ...string) exactNames { return exactNames(newNames(fields).joined) }

func (e exactNames) has(name string) bool {
	if len(name) > maxNameBytes {
		return false
	}
	n := names{}
	n.split(name)
	return e[string(n.text)]
}

// flagLike are words of a command that are no value: -v, --dry-run.
var flagLike = regexp.MustCompile(`^--?[a-z][a-z-]{0,24}$`)
