// Package redact hides the values of named fields wherever they show.
package redact

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
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
// arguments and results, and again as text inside other values, error messages and explanations.
// Names compare without case. A Redactor learns values as it goes (Args and Labels first, then JSON
// for the result, then Text) and is not safe for concurrent use. Time and memory grow with the
// sizes of what was learnt and what is hidden, not with their product.
type Redactor struct {
	names  map[string]bool
	inText *regexp.Regexp // name=value or "name": value in free text
	inArgs *regexp.Regexp // the same, hiding less

	long    map[string]bool // learnt texts, hidden wherever they stand
	short   map[string]bool // learnt texts and whole numbers, hidden as words
	numbers map[string]bool // learnt numbers without sign, hidden as numbers
	finds   *matcher        // of long and numbers; nil after more was learnt
}

// shortSecret is the length in characters below which a secret is only hidden where it stands as a
// word of its own, so that a PIN of 7 does not blot out every 7.
const shortSecret = 4

// maxSpellings is how often JSON may stand as text inside JSON for a secret in it to be known by
// its escaped spelling.
const maxSpellings = 4

var (
	number = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?`)
	digits = regexp.MustCompile(`[0-9]+`)
)

// New hides the fields with these names.
func New(fields []string) *Redactor {
	r := &Redactor{
		names: map[string]bool{}, long: map[string]bool{}, short: map[string]bool{}, numbers: map[string]bool{},
	}
	var quoted []string
	for _, f := range fields {
		r.names[strings.ToLower(f)] = true
		quoted = append(quoted, regexp.QuoteMeta(f))
	}
	if len(quoted) > 0 {
		named := `(?i)(?:^|[^\p{L}\p{N}_])(?:` + strings.Join(quoted, "|") + `)["']?\s*[:=]\s*` +
			`(\[redacted\]|"(?:[^"\\]|\\.)*"?|'[^']*'?|`
		r.inText = regexp.MustCompile(named + `[^\r\n,;&}\]]+)`)
		// To the end of the line would hide what a command does behind its --password=x: reviewers must
		// see that.
		r.inArgs = regexp.MustCompile(named + `(?:(?:bearer|basic|digest|token)[ \t]+)?[^\s,;&}\]]+)`)
	}
	return r
}

// Args learns the fields' values from a call's arguments and returns the arguments for reviewers: a
// field is hidden by its name; texts that repeat a hidden value of four characters or more show
// Repeat instead. Keys, numbers and shorter texts stay, so that an agent can't choose what
// reviewers see of the rest. What can't be read as JSON is hidden whole.
func (r *Redactor) Args(doc json.RawMessage) json.RawMessage {
	return r.document(doc, r.hideArgs)
}

// JSON learns the fields' values from a result and returns it with these hidden, and with
// everything learnt hidden where it stands in texts, numbers and keys. Keys that become the same
// are numbered. What can't be read as JSON is hidden whole.
func (r *Redactor) JSON(doc json.RawMessage) json.RawMessage {
	return r.document(doc, r.hide)
}

func (r *Redactor) document(doc json.RawMessage, hide func(any) any) json.RawMessage {
	if len(doc) == 0 || len(r.names) == 0 {
		return doc
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return json.RawMessage(`"` + Mark + `"`)
	}
	r.learn(v, false)
	return marshalPlain(hide(v))
}

// Text returns s with everything learnt, and what follows a field's name and a colon or equals
// sign, hidden. Where s ends or was cut, the beginning of a secret is hidden too.
func (r *Redactor) Text(s string) string {
	var c cover
	r.cover(&c, s, true)
	return c.over(s, nil)
}

// Labels learns the values of labels that are fields, and returns a copy with these, and everything
// learnt, hidden. Call it before Text.
func (r *Redactor) Labels(labels map[string]string) map[string]string {
	if labels == nil {
		return nil
	}
	for k, v := range labels {
		if r.hidden(k) {
			r.learn(v, true)
		}
	}
	out := make(map[string]string, len(labels))
	for k, v := range labels {
		if r.hidden(k) {
			out[k] = Mark
		} else {
			out[k] = r.Text(v)
		}
	}
	return out
}

func (r *Redactor) hidden(name string) bool { return r.names[strings.ToLower(name)] }

// learn collects every text, number and key below a hidden field.
func (r *Redactor) learn(v any, secret bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if secret {
				r.learnText(k)
			}
			r.learn(e, secret || r.hidden(k))
		}
	case []any:
		for _, e := range v {
			r.learn(e, secret)
		}
	case string:
		if secret {
			r.learnText(v)
		}
	case json.Number:
		if secret {
			r.learnNumber(v.String())
		}
	}
}

func (r *Redactor) learnText(s string) {
	s = strings.TrimSpace(s) // tools often trim; the blanks tell nothing
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

// cover notes what of s is to be hidden from everyone.
func (r *Redactor) cover(c *cover, s string, cut bool) {
	if r.inText == nil {
		return
	}
	for _, sp := range spellings(s) {
		covers := func(from, to int) { c.add(len(s), sp.place(from), sp.place(to)) }
		r.findLearnt(sp.text, cut, covers)
		r.findShort(sp.text, covers)
		findNamed(r.inText, sp.text, covers)
	}
}

func spellings(s string) []spelling {
	all := []spelling{{text: s}}
	for len(all) < maxSpellings {
		next, more := all[len(all)-1].unescaped()
		if !more {
			break
		}
		all = append(all, next)
	}
	return all
}

func findNamed(named *regexp.Regexp, s string, found func(from, to int)) {
	for _, at := range named.FindAllStringSubmatchIndex(s, -1) {
		found(at[2], at[3])
	}
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

func (r *Redactor) hideArgs(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if r.hidden(k) {
				out[k] = Mark
			} else {
				out[k] = r.hideArgs(e)
			}
		}
		return out
	case []any:
		return each(v, r.hideArgs)
	case string:
		var named, repeats cover
		for _, sp := range spellings(v) {
			findNamed(r.inArgs, sp.text, func(from, to int) { named.add(len(v), sp.place(from), sp.place(to)) })
			r.findLearnt(sp.text, false, func(from, to int) { repeats.add(len(v), sp.place(from), sp.place(to)) })
		}
		return named.over(v, repeats)
	}
	return v
}

func (r *Redactor) hide(v any) any {
	switch v := v.(type) {
	case map[string]any:
		names := r.hideKeys(v)
		out := make(map[string]any, len(v))
		for k, e := range v {
			if r.hidden(k) {
				out[names[k]] = Mark
			} else {
				out[names[k]] = r.hide(e)
			}
		}
		return out
	case []any:
		return each(v, r.hide)
	case string:
		var c cover
		r.cover(&c, v, false)
		return c.over(v, nil)
	case json.Number:
		for _, n := range []string{v.String(), plainNumber(v.String())} {
			bare := strings.TrimPrefix(n, "-")
			if r.numbers[bare] || r.long[bare] || r.short[bare] || r.long[n] || r.short[n] {
				return Mark
			}
		}
	}
	return v
}

func each(list []any, hide func(any) any) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = hide(e)
	}
	return out
}

// hideKeys returns what an object's keys are shown as, each one different.
func (r *Redactor) hideKeys(object map[string]any) map[string]string {
	shown, taken := make(map[string]string, len(object)), make(map[string]bool, len(object))
	var changed []string
	for _, k := range slices.Sorted(maps.Keys(object)) {
		var c cover
		r.cover(&c, k, false)
		if shown[k] = c.over(k, nil); shown[k] == k {
			taken[k] = true
		} else {
			changed = append(changed, k)
		}
	}
	count := map[string]int{}
	for _, k := range changed {
		name := shown[k]
		for taken[shown[k]] {
			count[name] = max(count[name], 1) + 1
			shown[k] = name + " #" + strconv.Itoa(count[name])
		}
		taken[shown[k]] = true
	}
	return shown
}

// marshalPlain marshals what was decoded from JSON, without HTML escapes.
func marshalPlain(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return json.RawMessage(`"` + Mark + `"`)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
