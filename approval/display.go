package approval

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CutMark begins the text that replaces what was cut off. Cutting text that may hold secrets, end
// with it: Redactor.Text then knows secrets cut in two.
const CutMark = "…"

// Display makes untrusted text safe to show on one line of a terminal, a log or a page of Markdown
// source: control characters, escape sequences, and the invisible and direction-changing characters
// that make text look like other text are written out as \u{…}. Longer text is cut at most runes
// (0: no limit) and says how much is missing, so a cut is never invisible.
func Display(s string, most int) string { return display(s, most, false) }

// DisplayLines is Display, but keeps line breaks and tabs.
func DisplayLines(s string, most int) string { return display(s, most, true) }

func display(s string, most int, lines bool) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if most > 0 && n >= most {
			fmt.Fprintf(&b, CutMark+" (%d bytes more)", len(s)-i)
			break
		}
		n++
		switch {
		case r == utf8.RuneError:
			b.WriteString(`\u{FFFD}`)
		case r == '\n' && lines, r == '\t' && lines:
			b.WriteRune(r)
		case hidden(r):
			fmt.Fprintf(&b, `\u{%04X}`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// hidden reports characters a reader can't see, or that move other ones about: C0/C1 controls,
// format characters (bidi overrides and isolates, zero-width, tags), line and paragraph separators,
// every space but the ordinary one, variation selectors and fillers that render as nothing.
func hidden(r rune) bool {
	switch {
	case r == ' ':
		return false
	case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Z, unicode.Variation_Selector):
		return true
	case r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFFA0, r == 0x034F, r == 0x2800:
		return true
	}
	return unicode.Is(unicode.Co, r)
}
