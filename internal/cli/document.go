package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

const (
	// inPlace is how many characters a text in a document may have to be shown in its place.
	inPlace = 200
	// maxMarks bounds how many warnings one document gets.
	maxMarks = 10
)

// document writes JSON for people. Texts of several lines and long ones are only mentioned in their
// place, and shown after it as they are.
type document struct {
	strings.Builder
	from  *json.Decoder
	texts []longText
	marks []string // about letters that look like others
}

type longText struct{ path, text string }

// readDocument fails where doc is not JSON.
func readDocument(doc []byte) (*document, error) {
	d := &document{from: json.NewDecoder(bytes.NewReader(doc))}
	d.from.UseNumber()
	if err := d.value("", "\n"); err != nil {
		return nil, err
	}
	if _, err := d.from.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return d, nil
}

// value writes the next value. newline begins each of its lines but the first.
func (d *document) value(path, newline string) error {
	token, err := d.from.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Delim:
		return d.members(t, path, newline)
	case string:
		d.text(path, t)
	case nil:
		d.WriteString("null")
	default:
		fmt.Fprint(d, t)
	}
	return nil
}

// members writes what follows { or [, to its end.
func (d *document) members(open json.Delim, path, newline string) error {
	d.WriteString(open.String())
	n := 0
	for ; d.from.More(); n++ {
		if n > 0 {
			d.WriteByte(',')
		}
		d.WriteString(newline + "  ")
		at := fmt.Sprintf("%s[%d]", path, n)
		if open == '{' {
			token, err := d.from.Token()
			if err != nil {
				return err
			}
			name := fmt.Sprint(token)
			d.mark("a name", name)
			d.WriteString(quoted(name) + ": ")
			at = strings.TrimPrefix(path+"."+name, ".")
		}
		if err := d.value(at, newline+"  "); err != nil {
			return err
		}
	}
	end, err := d.from.Token()
	if err != nil {
		return err
	}
	if n > 0 {
		d.WriteString(newline)
	}
	fmt.Fprint(d, end)
	return nil
}

func (d *document) text(path, text string) {
	d.mark(path, text)
	lines, size := strings.Count(text, "\n")+1, len([]rune(text))
	switch {
	case lines > 1:
		fmt.Fprintf(d, "(%s, see below)", approval.Plural(lines, "line"))
	case size > inPlace:
		fmt.Fprintf(d, "(%s, see below)", approval.Plural(size, "character"))
	default:
		d.WriteString(quoted(text))
		return
	}
	d.texts = append(d.texts, longText{path, text})
}

func (d *document) mark(where, text string) {
	for _, warning := range lookalikes(text) {
		d.marks = append(d.marks, Cell(where, 60)+": "+warning)
	}
}

// quoted is a text as JSON, with what can't be seen as escapes.
func quoted(text string) string {
	doc, _ := strictjson.Marshal(text) // a string can always be marshalled
	return escape(string(doc), visible)
}

// JSON quotes a document under a heading of one word, its long texts after it, and marks words that
// may be taken for others.
func (s *Sheet) JSON(heading string, doc json.RawMessage) {
	d, err := readDocument(doc)
	if err != nil {
		s.Quote(heading+":", string(doc))
		return
	}
	s.Quote(heading+":", d.String())
	for _, t := range d.texts {
		lines := approval.Plural(strings.Count(t.text, "\n")+1, "line")
		s.Quote(fmt.Sprintf("%s, %s (%s):", heading, Cell(t.path, 40), lines), t.text)
	}
	for i, mark := range d.marks {
		if i == maxMarks {
			s.Warn(fmt.Sprintf("and %d more such words", len(d.marks)-i))
			break
		}
		s.Warn("LOOK-ALIKE in " + mark)
	}
}

// Warn writes a warning, with a mark before each of its lines.
func (s *Sheet) Warn(text string) {
	for _, line := range s.wrap(approval.Display(text, 1000), s.Width-3) {
		fmt.Fprintln(s, s.paint(Red, "!! "+line))
	}
}
