package yamlfile

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pawlhq/pawl/approval"
	"gopkg.in/yaml.v3"
)

// Value is one value in a file. The zero Value is absent: reading it gives nothing and notes no
// problem. Each reading method returns false if the value is absent, or if it is not what is asked
// for, which is then a problem.
type Value struct {
	doc  *document
	node *yaml.Node
	what string // how problems call it
}

// Present reports whether the file holds the value.
func (v Value) Present() bool { return v.node != nil }

// Where is the value's place, "file:line:column".
func (v Value) Where() string {
	return v.At("", "").Where()
}

// Line is the value's line, from 1; 0 if it is absent.
func (v Value) Line() int {
	return v.At("", "").Line
}

// At makes a problem of the value without noting it.
func (v Value) At(message, hint string) Problem {
	p := Problem{Message: message, Hint: hint}
	if v.Present() {
		p.File, p.Line, p.Column = v.doc.name, v.node.Line, v.node.Column
	}
	return p
}

// Problem notes that something is wrong with the value. It is for what only the caller can know. An
// absent value notes nothing.
func (v Value) Problem(message, hint string) {
	if v.Present() {
		v.doc.note(v.At(message, hint))
	}
}

// Warn notes that something about the value is hardly meant. It keeps no file from being loaded.
func (v Value) Warn(message, hint string) {
	if v.Present() {
		p := v.At(message, hint)
		p.Warning = true
		v.doc.note(p)
	}
}

// Within notes a problem inside text: at the line and column, from 1, of what Text or Lines
// returned. Where the file does not show the text as it is (folded, escaped, or a block, whose
// indentation is gone), the problem is put at the value's beginning and its message says the place.
func (v Value) Within(line, column int, message, hint string) {
	if !v.Present() {
		return
	}
	at := v.At(message, hint)
	at.Column += column - 1
	plain := v.node.Style&(yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 &&
		!strings.ContainsAny(v.node.Value, "'\n")
	if v.node.Style&yaml.SingleQuotedStyle != 0 {
		at.Column++
	}
	if line != 1 || !plain {
		at.Column = v.node.Column
		at.Message = fmt.Sprintf("%s (at line %d, column %d of the text)", message, line, column)
	}
	v.doc.note(at)
}

// readable is false for values whose problem is noted already.
func (v Value) readable() bool {
	return v.Present() && v.node.Kind != yaml.AliasNode &&
		(v.node.Kind != yaml.ScalarNode || v.node.Style&yaml.TaggedStyle == 0)
}

// is reports whether the value can be read and is what is wanted. One that is something else is a
// problem.
func (v Value) is(wanted bool, want, hint string) bool {
	if v.readable() && !wanted {
		v.Problem(fmt.Sprintf("%s is %s, must be %s", v.what, v.kind(), want), hint)
	}
	return v.readable() && wanted
}

func (v Value) kind() string {
	switch {
	case v.node.Kind == yaml.MappingNode:
		return "a mapping"
	case v.node.Kind == yaml.SequenceNode:
		return "a list"
	case v.node.Tag == nullTag:
		return "empty"
	case v.node.Tag == boolTag:
		return "true or false"
	case v.node.Tag == intTag, v.node.Tag == floatTag:
		return "a number"
	}
	return "text"
}

// IsMapping reports whether the value is a mapping.
func (v Value) IsMapping() bool { return v.Present() && v.node.Kind == yaml.MappingNode }

// IsText reports whether the value is text, which may still be empty.
func (v Value) IsText() bool { return v.Present() && isText(v.node) }

// IsNumber reports whether the value is a number.
func (v Value) IsNumber() bool {
	return v.Present() && v.node.Kind == yaml.ScalarNode && (v.node.Tag == intTag || v.node.Tag == floatTag)
}

// IsBool reports whether the value is true or false.
func (v Value) IsBool() bool {
	return v.Present() && v.node.Kind == yaml.ScalarNode && v.node.Tag == boolTag
}

// IsList reports whether the value is a list.
func (v Value) IsList() bool { return v.Present() && v.node.Kind == yaml.SequenceNode }

// IsZero reports whether the value is the number 0.
func (v Value) IsZero() bool {
	if !v.IsNumber() {
		return false
	}
	n, err := strconv.ParseFloat(v.node.Value, 64)
	return err == nil && n == 0
}

// Text reads one line of text. Numbers, true and false are not text without quotes. Empty text and
// control characters are problems.
func (v Value) Text() (string, bool) { return v.text(false) }

// Lines reads text that may have line breaks and tabs in it.
func (v Value) Lines() (string, bool) { return v.text(true) }

func (v Value) text(lines bool) (string, bool) {
	if !v.readable() {
		return "", false
	}
	hint := "write one value, not several"
	switch {
	case v.node.Tag == nullTag:
		hint = "fill it in, or remove it"
	case v.node.Kind == yaml.ScalarNode:
		hint = "put it in quotes"
	}
	if !v.is(v.IsText(), "text", hint) {
		return "", false
	}
	s := v.node.Value
	if strings.TrimSpace(s) == "" {
		v.Problem(v.what+" is empty", "fill it in, or remove it")
		return "", false
	}
	for _, r := range s {
		if unicode.IsControl(r) && !(lines && (r == '\n' || r == '\t')) {
			hint := "write it as one line of text"
			if lines {
				hint = "remove it"
			}
			v.Problem(fmt.Sprintf("%s holds the control character %U", v.what, r), hint)
			return "", false
		}
	}
	return s, true
}

// Bool reads true or false. Quoted words, yes, no, on and off are not taken.
func (v Value) Bool() (value, ok bool) {
	ok = v.is(v.IsBool(), "true or false", "write true or false, without quotes")
	return ok && strings.EqualFold(v.node.Value, "true"), ok
}

// Duration reads a length of time, a number of seconds or a form like "90s", that is more than zero
// and at most most.
func (v Value) Duration(most approval.Duration) (approval.Duration, bool) {
	if !v.is(v.IsNumber() || v.IsText(), "a length of time", durationForms) {
		return 0, false
	}
	d, err := approval.ParseDuration(v.node.Value)
	if err != nil {
		v.Problem(v.what+" is not a length of time", durationHint(v.node.Value, most))
		return 0, false
	}
	if d <= 0 || d > most {
		v.Problem(v.what+" is out of bounds", "it must be more than 0 and at most "+most.Short())
		return 0, false
	}
	return d, true
}

const durationForms = `use seconds (90) or a form like "90s", "30m", "24h"`

// durationHint says how to write what is no length of time.
func durationHint(text string, most approval.Duration) string {
	number, ok := strings.CutSuffix(text, "d")
	days, err := strconv.ParseUint(number, 10, 16)
	if !ok || err != nil {
		return durationForms
	}
	hint := fmt.Sprintf("days are not a unit; write %dh", days*24)
	if time.Duration(days)*24*time.Hour > most.Std() {
		hint = fmt.Sprintf("days are not a unit: it would be %dh, and at most %s can be", days*24, most.Short())
	}
	return hint
}

// List reads a list's entries.
func (v Value) List() ([]Value, bool) {
	if !v.is(v.IsList(), "a list", `write "- entry" on lines of their own, or [entry, entry]`) {
		return nil, false
	}
	entries := make([]Value, len(v.node.Content))
	for i, n := range v.node.Content {
		entries[i] = Value{doc: v.doc, node: n, what: "an entry of " + v.what}
	}
	return entries, true
}

// Mapping reads a mapping. The result is never nil: what is not a mapping gives one whose fields
// are all absent, without further problems.
func (v Value) Mapping() *Mapping {
	if !v.is(v.IsMapping(), "a mapping", `write it as lines of "name: value"`) {
		return &Mapping{}
	}
	return &Mapping{Value: v}
}

// Int reads a whole number from least to most.
func (v Value) Int(least, most int) (int, bool) {
	hint := fmt.Sprintf("write a whole number from %d to %d", least, most)
	if !v.is(v.IsNumber() && v.node.Tag == intTag, "a whole number", hint) {
		return 0, false
	}
	n, err := strconv.Atoi(v.node.Value)
	if err != nil || n < least || n > most {
		v.Problem(v.what+" is out of bounds", hint)
		return 0, false
	}
	return n, true
}

// Number reads a number as JSON writes them, which no reader of JSON rounds.
func (v Value) Number() (float64, bool) {
	if !v.is(v.IsNumber(), "a number", "write it in plain decimal digits, without quotes") || !v.exact() {
		return 0, false
	}
	n, err := strconv.ParseFloat(v.node.Value, 64)
	return n, err == nil
}
