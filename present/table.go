package present

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// table shows some members of an object, a row each.
func (p *presenter) table(name []Span, v *value, members []member) {
	b := Block{Kind: BlockTable, Name: name}
	twins := v.twins()
	for _, m := range members {
		row := Row{Name: Word(m.name)}
		if twins[m.name] {
			row.Name = append(row.Name, Span{Kind: Note, Text: "same key, other case"})
		}
		notes := p.fill(&row, v, m)
		prop, there := p.schema.properties[m.name]
		if name == nil && p.part == PartArgs && p.schema.known {
			switch {
			case !there:
				notes = append(notes, "not in the schema")
			case len(prop.Enum) > 0:
				notes = append(notes, fmt.Sprintf("one of %d", len(prop.Enum)))
			}
			if there && m.value.scalar() && isDefault(prop.Default, m.value) {
				notes = append(notes, "default")
			}
		}
		var f Found
		f.add(found(row.Name))
		for _, l := range row.Value {
			f.add(found(l.Spans))
		}
		if f.Any() {
			row.Note = append(row.Note, Span{Kind: Note, Text: f.String(), Style: Strong})
		}
		if len(notes) > 0 {
			row.Note = append(row.Note, Span{Kind: Note, Text: strings.Join(notes, ", ")})
		}
		b.Rows = append(b.Rows, row)
	}
	p.add(b)
}

// fill writes a member's value into its row, and returns what is to be said of it.
func (p *presenter) fill(row *Row, of *value, m member) (notes []string) {
	v := m.value
	if money, note, ok := p.money(of, m); ok {
		row.Value = []Line{{Spans: money}}
		return []string{note}
	}
	switch as := p.as(m.name, v); {
	case v.kind == '[' && len(v.items) == 0:
		row.Value = []Line{{Spans: []Span{{Kind: Note, Text: "empty list"}}}}
	case v.kind == '{':
		row.Value = []Line{{Spans: []Span{{Kind: Note, Text: "empty object"}}}}
	case v.kind == '[':
		for _, item := range v.items {
			row.Value = append(row.Value, Line{Spans: cell(item)})
		}
	case as == "url":
		row.Value = []Line{{Spans: urlSpans(v.text, "")}}
		notes = append(notes, "link, opens nothing")
	case as == "email" || v.kind == 's' && isAddress(v.text):
		row.Value = []Line{{Spans: addressSpans(v.text)}}
	default:
		row.Value = []Line{{Spans: cell(v)}}
	}
	if v.kind == 's' && looksOther(v.text) {
		notes = append(notes, "text")
	}
	return notes
}

// cell is a scalar without quotes.
func cell(v *value) []Span {
	switch {
	case v.kind == 's' && v.text == "":
		return []Span{{Kind: Note, Text: "empty text"}}
	case v.kind == 's':
		spans := v.marked("", false)
		for _, edge := range []struct {
			there bool
			text  string
		}{
			{strings.HasPrefix(v.text, " "), "begins with a space"},
			{strings.HasSuffix(v.text, " "), "ends with a space"},
		} {
			if edge.there {
				spans = append(spans, Span{Kind: Note, Text: edge.text})
			}
		}
		return spans
	}
	return scalarSpans(v, true)
}

// looksOther reports a text that looks like another kind of value.
func looksOther(text string) bool {
	if text == "true" || text == "false" || text == "null" {
		return true
	}
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

func isDefault(doc json.RawMessage, v *value) bool {
	d, err := parse(doc)
	return err == nil && d.kind == v.kind && d.text == v.text
}

// grid shows a list of flat objects with the same members, a row each.
func (p *presenter) grid(name []Span, v *value) bool {
	const mostColumns = 8
	if v.kind != '[' || len(v.items) < 2 || !v.items[0].flat() || len(v.items[0].members) > mostColumns {
		return false
	}
	var keys []string
	for _, m := range v.items[0].members {
		keys = append(keys, m.name)
	}
	rows := Span{Kind: Note, Text: approval.Plural(len(v.items), "row")}
	b := Block{Kind: BlockTable, Name: name, Note: []Span{rows}}
	for _, key := range keys {
		b.Columns = append(b.Columns, Word(key))
	}
	for _, item := range v.items {
		if !item.flat() || len(item.members) != len(keys) {
			return false
		}
		var row Row
		for _, key := range keys {
			m := item.get(key)
			if m == nil || !m.scalar() {
				return false
			}
			row.Cells = append(row.Cells, cell(m))
		}
		b.Rows = append(b.Rows, row)
	}
	p.add(b)
	return true
}

// Trees are open to this depth and for so many lines at first; longer lists are closed.
const (
	openDepth, openLines, openItems = 3, 40, 20
)

func (p *presenter) tree(name []Span, v *value) {
	b := Block{Kind: BlockTree, Name: name}
	grow(&b, nil, v, 0)
	if v.scalar() {
		b.Lines[0].Depth = 0
	}
	p.add(b)
}

// grow adds the lines of a value, whose name is key, and returns how many.
func grow(b *Block, key []Span, v *value, depth int) int {
	line := Line{Depth: depth, Spans: slices.Clip(key)}
	at := len(b.Lines)
	if v.scalar() {
		line.Spans = append(line.Spans, scalarSpans(v, false)...)
		if v.kind == 's' && looksOther(v.text) {
			line.Spans = append(line.Spans, Span{Kind: Note, Text: "text"})
		}
		b.Lines = append(b.Lines, line)
		return 1
	}
	size, what := len(v.items), "list"
	if v.kind == '{' {
		size, what = len(v.members), "object"
	}
	entries := fmt.Sprintf("%s, %d entries", what, size)
	if size == 1 {
		entries = what + ", 1 entry"
	}
	line.Spans = append(line.Spans, Span{Kind: Note, Text: entries})
	b.Lines = append(b.Lines, line)
	n, twins := 0, v.twins()
	for _, m := range v.members {
		key := mark(m.name, Key, true)
		if m.name == "" {
			key = []Span{{Kind: Note, Text: "empty text"}}
		}
		if twins[m.name] {
			key = append(key, Span{Kind: Note, Text: "same key, other case"})
		}
		for i := range key { // marks are part of the name, too
			key[i].Style = Key
		}
		n += grow(b, key, m.value, depth+1)
	}
	for i, item := range v.items {
		n += grow(b, []Span{{Kind: Note, Text: strconv.Itoa(i)}}, item, depth+1)
	}
	if depth+1 >= openDepth || size > openItems || at+n >= openLines && depth > 0 {
		b.Lines[at].Closed = n
	}
	return n + 1
}
