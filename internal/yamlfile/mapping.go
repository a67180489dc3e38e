package yamlfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Mapping is a mapping with known fields (Field, Need, then Done) or with free names (Entries).
type Mapping struct {
	Value
	asked []string          // fields that are offered, as asked for
	hints map[string]string // for Done
}

// Field returns a field's value, absent if the file does not hold it.
func (m *Mapping) Field(name string) Value {
	m.asked = append(m.asked, name)
	return m.find(name)
}

// Has reports whether the file holds the field, without asking for its value.
func (m *Mapping) Has(name string) bool { return m.find(name).Present() }

// Need is Field for one that must be there. hint says what to write.
func (m *Mapping) Need(name, hint string) Value {
	v := m.Field(name)
	if !v.Present() {
		m.Problem(name+" is missing", hint)
	}
	return v
}

// Hint says what to write instead of fields that are not known here, by their names, for Done to
// tell.
func (m *Mapping) Hint(hints map[string]string) { m.hints = hints }

// Done notes every field that was not asked for, as far as Problems keeps them.
func (m *Mapping) Done() {
	unknown := 0
	for _, e := range m.Entries() {
		if slices.Contains(m.asked, e.Name) {
			continue
		}
		if unknown++; unknown > maxProblems+1 {
			return
		}
		hint := "the fields here are " + strings.Join(m.asked, ", ")
		if near := Nearest(e.Name, m.asked); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		if own, ok := m.hints[e.Name]; ok {
			hint = own
		}
		e.Key.Problem(fmt.Sprintf("unknown field %q", approval.Display(e.Name, 80)), hint)
	}
}

// Entry is one name of a mapping and what stands under it.
type Entry struct {
	Name       string
	Key, Value Value
}

// Entries returns a mapping's names and values in the order of the file. Keys that are not text or
// repeat another are left out: they are problems already.
func (m *Mapping) Entries() []Entry {
	if !m.Present() {
		return nil
	}
	var entries []Entry
	seen := make(map[string]bool, len(m.node.Content)/2)
	for i := 0; i < len(m.node.Content); i += 2 {
		key, value := m.node.Content[i], m.node.Content[i+1]
		if !isText(key) || seen[key.Value] {
			continue
		}
		seen[key.Value] = true
		what := approval.Display(key.Value, 80)
		entries = append(entries, Entry{
			Name:  key.Value,
			Key:   Value{doc: m.doc, node: key, what: what},
			Value: Value{doc: m.doc, node: value, what: what},
		})
	}
	return entries
}

func (m *Mapping) find(name string) Value {
	if !m.Present() {
		return Value{}
	}
	for i := 0; i < len(m.node.Content); i += 2 {
		if key := m.node.Content[i]; isText(key) && key.Value == name {
			return Value{doc: m.doc, node: m.node.Content[i+1], what: name}
		}
	}
	return Value{}
}

// Nearest returns the known name that a mistyped one most likely stands for, or "".
func Nearest(name string, known []string) string {
	const longest = 40
	if len(name) > longest {
		return ""
	}
	fold := strings.NewReplacer("-", "", "_", "", " ", "")
	plain := func(s string) string { return fold.Replace(strings.ToLower(s)) }
	best, least := "", 1+min(3, max(1, len(name)/3))
	for _, k := range known {
		if d := distance(plain(name), plain(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is Levenshtein's: insertions, deletions and replacements of bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
