package present

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Brackets stand around what Pawl says inside of text that is shown without markup. In the text
// itself they are marked, so that none can imitate a mark.
const (
	opening, closing = "⟦", "⟧"
)

// Colours of a terminal, as the numbers of its escape sequences.
const (
	Bold   = "1"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
)

// stretch is a part of a line in one colour.
type stretch struct{ text, ink string }

// Plain is a line as text of a terminal, or of a document without markup.
func Plain(spans []Span) string {
	var b strings.Builder
	for _, p := range stretches(spans, "") {
		b.WriteString(p.text)
	}
	return b.String()
}

// stretches are the spans of a line as text. ink is for what has no colour of its own.
func stretches(spans []Span, ink string) []stretch {
	out := make([]stretch, 0, len(spans))
	for i, s := range spans {
		p := stretch{ink: Yellow}
		switch s.Kind {
		case Text, Look:
			p.text = safe(s.Text, false)
			switch {
			case s.Kind == Look:
			case s.Style == Danger:
				p.ink = Red
			case s.Style == Strong, s.Style == Value, s.Style == Changed && ink == "":
				p.ink = Bold
			default:
				p.ink = ink
			}
		case Note:
			if s.Text == `"` {
				p = stretch{s.Text, ink}
				break
			}
			p.text = opening + safe(s.Text, true) + closing
			if i > 0 && out[i-1].text != "" && !strings.HasSuffix(out[i-1].text, " ") {
				p.text = " " + p.text
			}
		case Redacted:
			p.text = opening + safe(s.Name, true) + closing
		default:
			p.text = opening + safe(s.Text, true)
			if s.Kind == Hidden && s.N > 1 {
				p.text += fmt.Sprintf(" ×%d", s.N)
			}
			p.text += closing
		}
		out = append(out, p)
	}
	return out
}

// shaping are characters that can't be seen and that people's languages and emoji need.
const shaping = "\u200b\u200c\u200d\ufe0f\u3000\u00a0\u202f"

// safe marks what a terminal would act on, also in spans that come from elsewhere; and brackets, where
// the text is not Pawl's own.
func safe(text string, ours bool) string {
	if plain(text) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch mark := string(r); {
		case r == '\t':
			b.WriteString("    ")
		case !ours && (mark == opening || mark == closing), unseen(r) && !strings.ContainsRune(shaping, r):
			fmt.Fprintf(&b, "%sU+%04X%s", opening, r, closing)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// drawn is a line of a block with what stands between its parts.
type drawn struct {
	spans []Span
	ink   string
}

// PlainLines is a block as lines of text, each of which holds words from outside. Whoever shows them sets
// them off from his own.
func (b Block) PlainLines() []string {
	var out []string
	for _, d := range b.drawn() {
		out = append(out, Plain(d.spans))
	}
	return out
}

func (b Block) drawn() (out []drawn) {
	for i, r := range b.Rows {
		out = append(out, r.drawn(b.Kind, i, b.Columns)...)
	}
	for _, l := range b.Lines {
		d := drawn{spans: l.Spans}
		switch {
		case b.Kind == BlockTree && len(l.Spans) > 0:
			d.spans = slices.Concat([]Span{word(strings.Repeat("  ", l.Depth))}, treeLine(l.Spans))
		case b.Kind == BlockDiff:
			d.ink = map[Sign]string{Added: Green, Removed: Red, Hunk: Bold, File: Bold}[l.Sign]
			if l.Sign != Hunk && l.Sign != File {
				d.spans = slices.Concat([]Span{word(string(l.Sign) + " ")}, l.Spans)
			}
		}
		out = append(out, d)
	}
	return out
}

// treeLine puts a colon between a name and its value.
func treeLine(spans []Span) []Span {
	end := 0
	for end < len(spans) && spans[end].Style == Key {
		end++
	}
	if end == 0 && spans[0].Kind == Note && spans[0].Text != `"` { // of a list: a number
		end = 1
	}
	if end == 0 || end == len(spans) {
		return spans
	}
	return slices.Concat(nameOnly(spans[:end]), []Span{word(": ")}, spans[end:])
}

var simpleName = regexp.MustCompile(`^[\pL\pM\pN_.$@/~-]+$`)

// nameOnly quotes a name that could be taken for a name and a value.
func nameOnly(spans []Span) []Span {
	if simpleName.MatchString(Raw(spans)) || len(spans) > 0 && spans[0].Kind == Note {
		return spans
	}
	out := []Span{word(`"`)}
	for _, s := range spans {
		if s.Kind == Text {
			s.Text = strings.ReplaceAll(s.Text, `"`, `\"`)
		}
		out = append(out, s)
	}
	return append(out, word(`"`))
}

func (r Row) drawn(kind BlockKind, index int, columns [][]Span) (out []drawn) {
	const indent = "    "
	for i, c := range r.Cells {
		start := []Span{word(indent)}
		if i == 0 {
			start = []Span{{Kind: Note, Text: fmt.Sprint(index + 1)}, word(" ")}
		}
		if i < len(columns) {
			start = slices.Concat(start, nameOnly(columns[i]), []Span{word(": ")})
		}
		out = append(out, drawn{spans: append(start, c...)})
	}
	name := slices.Concat(nameOnly(r.Name), []Span{word(": ")})
	if kind == BlockFacts {
		name = []Span{word(r.Name[0].Text + ": ")}
	}
	add := func(lines []Line, sign, ink string, note []Span) {
		for i, l := range lines {
			d := drawn{slices.Concat([]Span{word(sign + indent)}, l.Spans), ink}
			if i == 0 {
				d.spans = slices.Concat([]Span{word(sign)}, name, l.Spans, note)
			}
			out = append(out, d)
		}
	}
	if kind == BlockCompare {
		add(r.Was, "- ", Red, nil)
		add(r.Value, "+ ", Green, r.Note)
	} else {
		add(r.Value, "", "", r.Note)
	}
	return out
}
