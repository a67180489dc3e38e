package present

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/width"

	"github.com/pawlhq/pawl/approval"
)

const labelWidth = 12

// Sheet is text about one call for a terminal. Everything given to it is marked and wrapped here, with
// every line from outside behind a margin: otherwise long text could break into lines that look like
// Pawl's own.
type Sheet struct {
	strings.Builder
	Width int                           // of the lines, in columns; 0: they are not wrapped
	Paint func(ink, text string) string // nil: no colours
}

// Field writes "label value"; an empty value writes nothing.
func (s *Sheet) Field(label, value string) {
	if value != "" {
		s.Line(label, Word(value))
	}
}

// Line writes a line of spans beside a label.
func (s *Sheet) Line(label string, spans []Span) {
	for i, row := range s.rows(stretches(spans, ""), s.Width-labelWidth) {
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(s, "%-*s%s\n", labelWidth, label, row)
	}
}

// Warn writes a warning, with a mark before each of its lines.
func (s *Sheet) Warn(text string) {
	line := []stretch{{text: approval.Display(Plain(Word(text)), 1000)}}
	for _, row := range s.rows(line, s.Width-3) {
		fmt.Fprintln(s, s.painted(Red, "!! "+row))
	}
}

// Deceit says that something is made to look like something else.
func Deceit(f Found) string {
	return "This call holds text that is made to look like other text: " + f.String()
}

// Quote writes prose from outside under a heading, line by line behind a bar.
func (s *Sheet) Quote(heading, text string) {
	if text == "" {
		return
	}
	var p presenter
	p.text(nil, text)
	fmt.Fprintln(s, heading)
	s.Lines(p.done()[0])
}

var headings = map[Part]string{PartFacts: "Facts", PartArgs: "Arguments", PartResult: "Result",
	PartPolicy: "Changed by the policy"}

// Block writes a block under a heading that says what of the call it is. Where a line is longer than
// the sheet is wide, the rest of it stands behind another bar.
func (s *Sheet) Block(b Block) {
	const longestName = 60
	heading, name := headings[b.Part], Plain(b.Name)
	long := len([]rune(name)) > longestName
	switch {
	case b.Part == PartSaid:
		heading = said(b.Name) + ", in the agent's own words (untrusted)"
	case b.Name != nil:
		heading += ", " + approval.Display(Plain(nameOnly(b.Name)), longestName)
	}
	switch {
	case b.Lang != "":
		heading += " (" + approval.Display(b.Lang, 20) + ")"
	case b.Kind == BlockMail:
		heading += " (mail)"
	}
	for _, note := range b.Note {
		heading += ", " + approval.Display(note.Text, 100)
	}
	fmt.Fprintln(s, heading+":")
	if long {
		s.bar(drawn{spans: b.Name})
	}
	s.Lines(b)
}

// said is the name of one of the agent's texts with a capital letter.
func said(name []Span) string {
	if len(name) == 0 || name[0].Text == "" {
		return "Text"
	}
	return strings.ToUpper(name[0].Text[:1]) + approval.Display(name[0].Text[1:], 20)
}

// Lines writes the lines of a block, each behind a bar.
func (s *Sheet) Lines(b Block) {
	for _, d := range b.drawn() {
		s.bar(d)
	}
}

func (s *Sheet) bar(d drawn) {
	bar := "│"
	for _, row := range s.rows(stretches(d.spans, d.ink), s.Width-4) {
		fmt.Fprintf(s, "  %s %s\n", bar, row)
		bar = "┆"
	}
}

// rows breaks a line into painted rows of at most so many columns, between words; only a word that
// is longer than a row is cut.
func (s *Sheet) rows(line []stretch, most int) (rows []string) {
	var all strings.Builder
	for _, p := range line {
		all.WriteString(p.text)
	}
	text, at := all.String(), 0
	for {
		end, next := len(text), len(text)
		if s.Width > 0 {
			end, next = row(text[at:], most)
			end, next = at+end, at+next
		}
		var out strings.Builder
		for at < next { // line begins at at
			part := line[0].text[:min(len(line[0].text), next-at)]
			if shown := part[:min(len(part), max(end-at, 0))]; shown != "" {
				out.WriteString(s.painted(line[0].ink, shown))
			}
			at += len(part)
			if line[0].text = line[0].text[len(part):]; line[0].text == "" {
				line = line[1:]
			}
		}
		rows = append(rows, out.String())
		if at == len(text) {
			return rows
		}
	}
}

func (s *Sheet) painted(ink, text string) string {
	if s.Paint == nil || ink == "" {
		return text
	}
	return s.Paint(ink, text)
}

// row returns where the line's first row ends and what is left begins: after the space between
// them, or in the middle of a word.
func row(line string, most int) (end, next int) {
	columns, indent := 0, true
	for i, r := range line {
		if r != ' ' {
			indent = false
		} else if !indent {
			end = i
		}
		if columns += Columns(r); columns <= most {
			continue
		}
		if end == 0 {
			i = max(i, utf8.RuneLen(r))
			return i, i
		}
		return end, end + 1
	}
	return len(line), len(line)
}

// Columns is how many columns of a terminal a character takes.
func Columns(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
