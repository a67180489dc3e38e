package present

import (
	"regexp"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// text shows prose, line by line.
func (p *presenter) text(name []Span, text string) {
	b := Block{Kind: BlockText, Name: name}
	if plain := strings.ReplaceAll(text, "\r\n", "\n"); plain != text && !strings.Contains(plain, "\r") {
		b.Note = []Span{{Kind: Note, Text: "line ends of Windows"}}
		text = plain
	}
	b.Lines = textLines(text, false)
	p.add(b)
}

// textLines splits a text into lines and marks them. Many empty lines in a row become one mark.
func textLines(text string, strict bool) []Line {
	raw := strings.Split(text, "\n")
	lines := make([]Line, 0, len(raw))
	for i := 0; i < len(raw); {
		end := i
		for end < len(raw) && raw[end] == "" {
			end++
		}
		if n := end - i; n > mostEmpty {
			n = min(n, len(raw)-1) // a text of line breaks alone has one less of them than lines
			lines = append(lines, Line{Spans: []Span{{Kind: Gap, Text: approval.Plural(n, "empty line"), N: n}}})
			i = end
			continue
		}
		if strict {
			lines = append(lines, Line{Spans: mark(raw[i], "", true)})
		} else {
			lines = append(lines, Line{Spans: linked(raw[i])})
		}
		i++
	}
	return lines
}

var address = regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]{0,20}://[^\s<>"'` + "`" + `)\]]+`)

// linked marks a line of prose and says which addresses stand in it. Nothing of them is loaded, or
// can be pressed.
func linked(line string) []Span {
	var out []Span
	last := 0
	for _, at := range address.FindAllStringIndex(line, -1) {
		before := line[last:at[0]]
		out = append(out, mark(before, "", false)...)
		out = append(out, urlSpans(line[at[0]:at[1]], "")...)
		note := "link"
		if picture.MatchString(before) {
			note = "picture, not loaded"
		}
		out = append(out, Span{Kind: Note, Text: note})
		last = at[1]
	}
	return append(out, mark(line[last:], "", false)...)
}

var picture = regexp.MustCompile(`(?i)(!\[[^\]]*\]\(\s*|<img\b[^>]*\bsrc\s*=\s*["']?)$`)

// scalarSpans is a value as it stands in a tree or a list of arguments: texts are quoted.
func scalarSpans(v *value, strict bool) []Span {
	switch v.kind {
	case 's':
		return inQuotes(v.marked(String, strict))
	case 0:
		return []Span{{Kind: Text, Text: "null", Style: Number}}
	case '{', '[':
		return nil
	}
	return []Span{{Kind: Text, Text: v.text, Style: Number}}
}
