// Package redact hides the values of named fields, and well-known secrets, wherever they show.
package redact

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gowebpki/jcs"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

// What stands where a value was hidden.
const (
	Mark = "[redacted]"

	// Repeat stands in arguments where a text repeats the value of a redacted field. It differs from
	// Mark because an agent can put any text under a redacted name, and so hide that text elsewhere.
	Repeat = "[same as a redacted field]"
)

// Marked reports whether a value was hidden in a text, or the text says so itself: which of the two
// can't be told.
func Marked(s string) bool { return strings.Contains(s, Mark) || strings.Contains(s, Repeat) }

// Redactor hides the values of named fields wherever they show: under their names at any depth of
// arguments and results, beside their names in pairs and in texts, and again as text inside other
// values, error messages and explanations. Names compare as words, in any spelling. It also hides
// well-known secrets, such as private keys and vendors' tokens, whatever their names. A Redactor
// learns values as it goes (Args and Labels first, then JSON for the result, then Text) and is not
// safe for concurrent use. Time and memory grow with the sizes of what was learnt and what is
// hidden, not with their product.
type Redactor struct {
	names  *names
	values bool // hide well-known secrets

	long    map[string]bool // learnt texts, hidden wherever they stand
	short   map[string]bool // learnt texts and whole numbers, hidden as words
	numbers map[string]bool // learnt numbers without sign, hidden as numbers
	finds   *matcher        // of long and numbers; nil after more was learnt

	members map[string]member // by name, those that were looked at
}

// shortSecret is the length in characters below which a secret is only hidden where it stands as a
// word of its own, so that a PIN of 7 does not blot out every 7.
const shortSecret = 4

var (
	number = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?`)
	digits = regexp.MustCompile(`[0-9]+`)
)

// New hides the fields with these names, and well-known secrets unless values says none.
func New(fields []string, values approval.RedactValues) *Redactor {
	return &Redactor{
		names: newNames(fields), values: values.On(), members: map[string]member{},
		long: map[string]bool{}, short: map[string]bool{}, numbers: map[string]bool{},
	}
}

// Args learns the fields' values from a call's arguments and returns the arguments for reviewers: a
// field is hidden by its name; texts and keys that repeat a hidden value of four characters or more
// show Repeat instead. Numbers and shorter texts stay, so that an agent can't choose what reviewers
// see of the rest. What can't be read as JSON is hidden whole.
func (r *Redactor) Args(doc json.RawMessage) json.RawMessage {
	return r.document(doc, false)
}

// JSON learns the fields' values from a result and returns it with these hidden, and with
// everything learnt hidden where it stands in texts, numbers and keys. Keys that become the same
// are numbered. What can't be read as JSON is hidden whole.
func (r *Redactor) JSON(doc json.RawMessage) json.RawMessage {
	return r.document(doc, true)
}

func (r *Redactor) idle() bool { return r.names.empty() && !r.values }

func (r *Redactor) document(doc json.RawMessage, wide bool) json.RawMessage {
	if len(doc) == 0 || r.idle() {
		return doc
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return json.RawMessage(`"` + Mark + `"`)
	}
	h := hiding{Redactor: r, wide: wide, read: map[string]*reading{}}
	h.learn(v, false)
	rest := bytes.TrimSpace(doc[dec.InputOffset():])
	whole := len(rest) == 0 && h.members == strictjson.Members(doc) // else v is not all of it
	if whole && !h.found && len(r.long)+len(r.short)+len(r.numbers) == 0 {
		return doc
	}
	if hidden := h.hide(v); h.changed || !whole {
		return marshalPlain(hidden)
	}
	return doc
}

// Text returns s with everything learnt, what follows a field's name and a colon or equals sign, and
// well-known secrets hidden. Where s ends or was cut, the beginning of a secret is hidden too.
func (r *Redactor) Text(s string) string {
	if r.idle() || s == "" {
		return s
	}
	return r.look(s, true, true).shown(r, s)
}

// Labels learns the values of labels that are fields, and returns a copy with these, and everything
// learnt, hidden. Call it before Text.
func (r *Redactor) Labels(labels map[string]string) map[string]string {
	if labels == nil {
		return nil
	}
	for k, v := range labels {
		if r.hidden(k) {
			r.learnText(v)
		}
	}
	out, shown := make(map[string]string, len(labels)), shownKeys(labels, r.Text)
	for k, v := range labels {
		if r.hidden(k) {
			out[cmp.Or(shown[k], k)] = Mark
		} else {
			out[cmp.Or(shown[k], k)] = r.Text(v)
		}
	}
	return out
}

// member is what a member of an object can be by its name.
type member struct {
	hidden  bool
	isName  bool // it may say the name of its object's value
	isValue bool // it may be the value
}

func (r *Redactor) member(name string) member {
	if r.names.empty() {
		return member{}
	}
	m, known := r.members[name]
	if !known {
		m = member{r.names.in(name), nameMembers.has(name), valueMembers.has(name)}
		r.members[name] = m
	}
	return m
}

func (r *Redactor) hidden(name string) bool { return r.member(name).hidden }

func (r *Redactor) learnText(s string) {
	s = strings.TrimSpace(s) // tools often trim; the blanks tell nothing
	if Marked(s) {
		return // it was hidden before
	}
	switch n := utf8.RuneCountInString(s); {
	case n >= shortSecret && !r.long[s]:
		r.long[s], r.finds = true, nil
	case n > 0 && n < shortSecret:
		r.short[s] = true
	}
}

func (r *Redactor) learnNumber(n string) {
	for _, spelt := range []string{n, plainNumber(n)} {
		spelt = strings.TrimPrefix(spelt, "-")
		if len(spelt) < shortSecret {
			r.short[spelt] = true
		}
		if !r.numbers[spelt] {
			r.numbers[spelt], r.finds = true, nil
		}
	}
}

// plainNumber is how most JSON writers spell the number.
func plainNumber(n string) string {
	if f, err := strconv.ParseFloat(n, 64); err == nil {
		if plain, err := jcs.NumberToJSON(f); err == nil {
			return plain
		}
	}
	return n
}

// findLearnt finds what is not short: texts anywhere, numbers as a whole.
func (r *Redactor) findLearnt(s string, cut bool, found func(from, to int)) {
	if r.finds == nil {
		r.finds = newMatcher()
		for w := range r.long {
			r.finds.add(w, true)
		}
		for n := range r.numbers {
			r.finds.add(n, false)
		}
		r.finds.link()
	}
	r.finds.find(s, cut, found)
	if len(r.numbers) == 0 {
		return
	}
	for _, at := range number.FindAllStringIndex(s, -1) {
		whole := s[at[0]:at[1]]
		if len(whole) >= shortSecret && r.numbers[whole] {
			found(at[0], at[1])
			continue
		}
		for _, in := range digits.FindAllStringIndex(whole, -1) { // 4111.
			if d := whole[in[0]:in[1]]; len(d) >= shortSecret && r.numbers[d] {
				found(at[0]+in[0], at[0]+in[1])
			}
		}
	}
}

// findShort finds short secrets that no letter or digit continues.
func (r *Redactor) findShort(s string, found func(from, to int)) {
	if len(r.short) == 0 {
		return
	}
	for from := range s {
		before, _ := utf8.DecodeLastRuneInString(s[:from])
		first, _ := utf8.DecodeRuneInString(s[from:])
		if inWord(before) && inWord(first) {
			continue
		}
		to := from
		for range shortSecret - 1 {
			last, size := utf8.DecodeRuneInString(s[to:])
			to += size
			after, _ := utf8.DecodeRuneInString(s[to:])
			if !(inWord(last) && inWord(after)) && r.short[s[from:to]] {
				found(from, to)
			}
		}
	}
}

func inWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }
