package present

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/strictjson"
)

// value is a JSON value with its members in the order in which they stand, and numbers as written.
type value struct {
	kind    byte   // {, [, s(tring), n(umber), b(ool), 0 (null)
	text    string // of a string, a number or a bool
	members []member
	items   []*value
	field   string // of the policy, which hides the text
}

type member struct {
	name  string
	value *value
}

// nameFields says of each hidden text which of the policy's fields hides it, if one does by its name.
// It is the policy's word that people see: the name is the agent's.
func (v *value) nameFields(fields []string) {
	for _, m := range v.members {
		if m.value.kind == 's' && m.value.text == redact.Mark {
			m.value.field = redact.Field(fields, m.name)
		}
		m.value.nameFields(fields)
	}
	for _, item := range v.items {
		item.nameFields(fields)
	}
}

// marked is mark of a value's text.
func (v *value) marked(style Style, strict bool) []Span {
	if v.field != "" {
		return []Span{{Kind: Redacted, Text: v.text, Name: "redacted: " + approval.Display(v.field, 60)}}
	}
	return mark(v.text, style, strict)
}

// deepest nesting that is read. Arguments are nested less.
const maxDepth = 110

func parse(doc json.RawMessage) (*value, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	v, err := read(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return v, nil
}

func read(dec *json.Decoder, depth int) (*value, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, errors.New("it is nested too deeply")
	}
	switch t := token.(type) {
	case string:
		return &value{kind: 's', text: t}, nil
	case json.Number:
		return &value{kind: 'n', text: t.String()}, nil
	case bool:
		text := "false"
		if t {
			text = "true"
		}
		return &value{kind: 'b', text: text}, nil
	case nil:
		return &value{}, nil
	}
	v := &value{kind: byte(token.(json.Delim))}
	for dec.More() {
		name := ""
		if v.kind == '{' {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			name = key.(string)
		}
		next, err := read(dec, depth+1)
		if err != nil {
			return nil, err
		}
		if v.kind == '{' {
			v.members = append(v.members, member{name, next})
		} else {
			v.items = append(v.items, next)
		}
	}
	_, err = dec.Token()
	return v, err
}

// get returns a member, or nil.
func (v *value) get(name string) *value {
	if v == nil {
		return nil
	}
	for _, m := range v.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// first returns the first of these members that is there.
func (v *value) first(names ...string) (string, *value) {
	for _, name := range names {
		if m := v.get(name); m != nil {
			return name, m
		}
	}
	return "", nil
}

func (v *value) isText() bool { return v != nil && v.kind == 's' }

func (v *value) scalar() bool { return v.kind != '{' && v.kind != '[' }

// short reports what fits into a cell of a table.
func (v *value) short() bool {
	switch v.kind {
	case '{':
		return len(v.members) == 0
	case '[':
		large := func(i *value) bool { return !i.scalar() || i.long() }
		return len(v.items) <= 8 && !slices.ContainsFunc(v.items, large)
	}
	return !v.long()
}

// flat reports an object whose members fit into the cells of a table.
func (v *value) flat() bool {
	return v.kind == '{' && len(v.members) > 0 &&
		!slices.ContainsFunc(v.members, func(m member) bool { return !m.value.short() })
}

// long reports a text that gets a block of its own.
func (v *value) long() bool {
	return v.kind == 's' && (strings.Contains(v.text, "\n") || len(v.text) > 120 && len([]rune(v.text)) > 120)
}

// twins are the names in an object that differ from another one in case or form only.
func (v *value) twins() map[string]bool {
	seen, twins := map[string]string{}, map[string]bool{}
	for _, m := range v.members {
		folded := strictjson.Fold(norm.NFKC.String(m.name))
		if other, there := seen[folded]; there {
			twins[m.name], twins[other] = true, true
		}
		seen[folded] = m.name
	}
	return twins
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
