package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

const (
	LineWidth  = 78
	labelWidth = 12
)

// Sheet is text about one call. Everything given to it is made safe for a terminal and wrapped
// here, with every line of foreign text behind a margin: otherwise long text could break into lines
// that look like Pawl's own.
type Sheet struct {
	strings.Builder
	Wrapped bool // for a terminal; what reads a pipe gets lines whole
}

// Field writes "label value"; an empty value writes nothing.
func (s *Sheet) Field(label, value string) {
	if value == "" {
		return
	}
	for i, line := range s.Wrap(approval.Display(value, 0), LineWidth-labelWidth) {
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(s, "%-*s%s\n", labelWidth, label, line)
	}
}

// Quote writes foreign text under a heading, line by line behind a bar.
func (s *Sheet) Quote(heading, text string) {
	if text == "" {
		return
	}
	fmt.Fprintf(s, "%s\n", heading)
	for line := range strings.SplitSeq(approval.DisplayLines(text, 0), "\n") {
		for _, part := range s.Wrap(strings.ReplaceAll(line, "\t", "    "), LineWidth-4) {
			fmt.Fprintf(s, "  │ %s\n", part)
		}
	}
}

// json quotes a document, indented.
func (s *Sheet) JSON(heading string, doc json.RawMessage) {
	var b bytes.Buffer
	if json.Indent(&b, doc, "", "  ") == nil {
		doc = b.Bytes()
	}
	s.Quote(heading, readable(doc))
}

func (s *Sheet) Wrap(line string, width int) []string {
	if !s.Wrapped {
		return []string{line}
	}
	return wrap(line, width)
}

// wrap breaks one line into rows of at most width columns, between words; only a word that is
// longer than a row is cut.
func wrap(line string, width int) []string {
	var rows []string
	for {
		end, next := row(line, width)
		rows = append(rows, line[:end])
		if next == len(line) {
			return rows
		}
		line = line[next:]
	}
}

// row returns where the line's first row ends and what is left begins: after the space between
// them, or in the middle of a word. Characters from Hangul Jamo (U+1100) on may be two columns
// wide.
func row(line string, width int) (end, next int) {
	columns, indent := 0, true
	for i, r := range line {
		size := 1
		if r >= 0x1100 {
			size = 2
		}
		if r != ' ' {
			indent = false
		} else if !indent {
			end = i
		}
		if columns += size; columns <= width {
			continue
		}
		if end == 0 {
			return i, i
		}
		return end, end + 1
	}
	return len(line), len(line)
}
