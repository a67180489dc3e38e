package present

import "encoding/json"

// Change is one place at which the arguments of two attempts differ, as reviewers see them.
type Change struct {
	Path string          `json:"path"`          // JSON Pointer into the arguments
	Was  json.RawMessage `json:"was,omitempty"` // absent: there was nothing
	Now  json.RawMessage `json:"now,omitempty"` // absent: there is nothing any more
	// Hidden: something there is hidden, so that nobody can tell whether it changed.
	Hidden bool `json:"hidden,omitempty"`
}

// Compare shows what an attempt changed: its tool, and its arguments. Texts of several lines get a
// block each.
func Compare(wasTool, tool string, changes []Change) []Block {
	p := presenter{part: PartArgs}
	var rows []Row
	if wasTool != tool {
		rows = append(rows, Row{
			Name: []Span{{Kind: Note, Text: "tool"}},
			Was:  []Line{{Spans: Word(wasTool)}}, Value: []Line{{Spans: Word(tool)}},
		})
	}
	for _, c := range changes {
		name := Word(c.Path)
		if c.Path == "" {
			name = []Span{{Kind: Note, Text: "all arguments"}}
		}
		was, now := side(c.Was), side(c.Now)
		texts := was.isText() && now.isText() && !c.Hidden
		if texts && (was.long() || now.long()) {
			p.change(name, was.text, now.text)
			continue
		}
		row := Row{Name: name, Was: shownSide(was, c.Was), Value: shownSide(now, c.Now)}
		if texts {
			before, after := changedWords(was.text, now.text)
			row.Was, row.Value = []Line{{Spans: inQuotes(before)}}, []Line{{Spans: inQuotes(after)}}
		}
		if c.Hidden {
			note := "hidden in part or whole: it may have changed"
			row.Note = []Span{{Kind: Note, Text: note}}
		}
		rows = append(rows, row)
	}
	if len(rows) > 0 {
		p.blocks = append([]Block{{Kind: BlockCompare, Part: PartArgs, Rows: rows}}, p.blocks...)
	}
	return p.done()
}

// PolicyChange is one respect in which two policies differ about a call, in Pawl's own words.
type PolicyChange struct{ What, Was, Now, Note string }

// ComparePolicies shows in what the active policy differs about a call from the one that judged it.
func ComparePolicies(changes []PolicyChange) []Block {
	p := presenter{part: PartPolicy}
	b := Block{Kind: BlockCompare}
	for _, c := range changes {
		row := Row{Name: Word(c.What), Was: []Line{{Spans: Word(c.Was)}}, Value: []Line{{Spans: Word(c.Now)}}}
		if c.Note != "" {
			row.Note = []Span{{Kind: Note, Text: c.Note}}
		}
		b.Rows = append(b.Rows, row)
	}
	if len(b.Rows) > 0 {
		p.add(b)
	}
	return p.done()
}

// side is one side of a change, or nil where there is nothing.
func side(doc json.RawMessage) *value {
	v, err := parse(doc)
	switch {
	case len(doc) == 0:
		return nil
	case err != nil:
		return &value{kind: 's', text: string(doc)}
	}
	return v
}

// shownSide shows lists and objects as JSON of one line.
func shownSide(v *value, doc json.RawMessage) []Line {
	switch {
	case v == nil:
		return nil
	case v.scalar():
		return []Line{{Spans: scalarSpans(v, true)}}
	}
	return []Line{{Spans: mark(string(doc), "", true)}}
}

func inQuotes(spans []Span) []Span {
	quote := Span{Kind: Note, Text: `"`}
	if len(spans) == 0 {
		return []Span{{Kind: Note, Text: "empty text"}}
	}
	return append(append([]Span{quote}, spans...), quote)
}
