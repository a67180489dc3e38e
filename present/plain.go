package present

import (
	"fmt"
	"strings"
)

// Brackets stand around what Pawl says inside of text that is shown without colours. In the text
// itself they are marked, so that none can imitate a mark.
const (
	opening, closing = "⟦", "⟧"
)

// Plain is a line as text of a terminal, or of a document without markup.
func Plain(spans []Span) string {
	var b strings.Builder
	for i, s := range spans {
		switch s.Kind {
		case Text, Look:
			b.WriteString(strings.NewReplacer(opening, "⟦U+27E6⟧", closing, "⟦U+27E7⟧").Replace(s.Text))
		case Note:
			if s.Text == `"` {
				b.WriteString(s.Text)
				continue
			}
			if i > 0 {
				b.WriteString(" ")
			}
			b.WriteString(opening + s.Text + closing)
		case Redacted:
			b.WriteString(opening + s.Name + closing)
		default:
			b.WriteString(opening + s.Text)
			if s.Kind == Hidden && s.N > 1 {
				fmt.Fprintf(&b, " ×%d", s.N)
			}
			b.WriteString(closing)
		}
	}
	return b.String()
}

// PlainLines is a block as lines of text, each of which holds words from outside. Whoever shows them sets
// them off from his own.
func (b Block) PlainLines() []string {
	var out []string
	for _, r := range b.Rows {
		out = append(out, r.plain()...)
	}
	for _, l := range b.Lines {
		text := strings.Repeat("  ", l.Depth)
		if b.Kind == BlockDiff && l.Sign != Hunk && l.Sign != File {
			text += string(l.Sign) + " "
		}
		if b.Kind == BlockTree {
			text += treeLine(l.Spans)
		} else {
			text += Plain(l.Spans)
		}
		out = append(out, text)
	}
	return out
}

// treeLine puts a colon between a name and its value.
func treeLine(spans []Span) string {
	for i, s := range spans {
		name := s.Style == Key || i == 0 && s.Kind == Note && s.Text != `"`
		if name && (i+1 == len(spans) || spans[i+1].Style != Key) && i+1 < len(spans) {
			return Plain(spans[:i+1]) + ": " + strings.TrimPrefix(Plain(spans[i+1:]), " ")
		}
	}
	return Plain(spans)
}

func (r Row) plain() (out []string) {
	if r.Cells != nil {
		cells := make([]string, len(r.Cells))
		for i, c := range r.Cells {
			cells[i] = Plain(c)
		}
		return []string{strings.Join(cells, " · ")}
	}
	head := Plain(r.Name) + ": "
	for _, l := range r.Was {
		out = append(out, head+"− "+Plain(l.Spans))
	}
	for i, l := range r.Value {
		text := head + Plain(l.Spans)
		if i > 0 {
			text = strings.Repeat(" ", 4) + Plain(l.Spans)
		}
		if i == 0 && len(r.Note) > 0 {
			text += " " + Plain(r.Note)
		}
		out = append(out, text)
	}
	return out
}
