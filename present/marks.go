package present

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/redact"
)

const (
	// widest is how many spaces in a row stand in a line without a mark, and deepest before it.
	widest, deepest = 8, 60
	// mostEmpty is how many empty lines in a row do.
	mostEmpty = 3
)

// names of the characters that can't be seen, by what people call them.
var names = map[rune]string{
	0x1B: "escape", 0x00: "null", 0x07: "bell", 0x08: "backspace", 0x0D: "carriage return", 0x7F: "delete",
	'\t': "tab", '\n': "line break", 0x0B: "vertical tab", 0x0C: "form feed",
	0xA0: "no-break space", 0xAD: "soft hyphen", 0x34F: "combining grapheme joiner", 0x61C: "Arabic letter mark",
	0x200B: "zero width space", 0x200C: "zero width non-joiner", 0x200D: "zero width joiner",
	0x200E: "left-to-right mark", 0x200F: "right-to-left mark", 0x2028: "line separator",
	0x2029: "paragraph separator", 0x202A: "left-to-right embedding", 0x202B: "right-to-left embedding",
	0x202C: "pop directional formatting", 0x202D: "left-to-right override", 0x202E: "right-to-left override",
	0x202F: "narrow no-break space", 0x2060: "word joiner", 0x2066: "left-to-right isolate",
	0x2067: "right-to-left isolate", 0x2068: "first strong isolate", 0x2069: "pop directional isolate",
	0x3000: "ideographic space", 0x3164: "Hangul filler", 0xFEFF: "zero width no-break space",
	utf8.RuneError: "character that can't be read",
}

func nameOf(r rune) string {
	switch {
	case names[r] != "":
		return names[r]
	case unicode.IsControl(r):
		return "control character"
	case r >= 0xE0000 && r <= 0xE007F:
		return "tag"
	case unicode.Is(unicode.Variation_Selector, r):
		return "variation selector"
	case unicode.Is(unicode.Co, r):
		return "private use character"
	case unicode.Is(unicode.Z, r):
		return "unusual space"
	}
	return "invisible character"
}

// unseen reports what approval.Display writes out, and a replacement character.
func unseen(r rune) bool {
	if r >= ' ' && r <= '~' {
		return false
	}
	return r == utf8.RuneError || approval.Display(string(r), 0) != string(r)
}

// Word marks a name or another short text of one line in which every character counts.
func Word(s string) []Span { return mark(s, "", true) }

// mark turns a text of one line into spans. Where it is strict, also characters are marked that
// people's languages and emoji need.
func mark(s string, style Style, strict bool) []Span {
	if plain(s) {
		if s == "" {
			return nil
		}
		return []Span{{Kind: Text, Text: s, Style: style}}
	}
	m := marker{style: style, strict: strict, runes: []rune(s), looks: lookalikes(s)}
	return m.all()
}

// plain reports a text of printable ASCII in which there is nothing to mark.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return !strings.Contains(s, "         ") && !redact.Marked(s)
}

type marker struct {
	style  Style
	strict bool
	runes  []rune
	looks  map[int]look
	out    []Span
	text   strings.Builder
}

func (m *marker) flush() {
	if m.text.Len() > 0 {
		m.out = append(m.out, Span{Kind: Text, Text: m.text.String(), Style: m.style})
		m.text.Reset()
	}
}

func (m *marker) put(s Span) {
	m.flush()
	m.out = append(m.out, s)
}

func (m *marker) all() []Span {
	var notes []Span // about the look-alikes of the word that is being written
	for i := 0; i < len(m.runes); {
		r := m.runes[i]
		if len(notes) > 0 && !wordRune(r) {
			for _, n := range notes {
				m.put(n)
			}
			notes = nil
		}
		l, looks := m.looks[i]
		switch end := m.run(i); {
		case looks:
			m.put(Span{Kind: Look, Text: string(r), Name: l.name, Style: m.style})
			note := Span{Kind: Note, Text: string(r) + " = " + l.name}
			if !slices.Contains(notes, note) {
				notes = append(notes, note)
			}
			i++
		case r == '[' && m.redacted(i) != "":
			text := m.redacted(i)
			m.put(Span{Kind: Redacted, Text: text, Name: m.why(i, i+len(text))})
			i += len(text)
		case r == ' ' || r == '\t':
			m.spaces(i, end)
			i = end
		case unseen(r) && (m.strict || !m.needed(i)):
			s := Span{Kind: Hidden, Text: fmt.Sprintf("U+%04X", r), Name: nameOf(r)}
			if r == 0x1B {
				s.Text = "ESC"
			}
			if end-i > 1 {
				s.N = end - i
			}
			m.put(s)
			i = end
		default:
			m.text.WriteRune(r)
			i++
		}
	}
	m.flush()
	return append(m.out, notes...)
}

// run is where the characters end that are the same as the one at i.
func (m *marker) run(i int) int {
	end := i + 1
	for end < len(m.runes) && m.runes[end] == m.runes[i] {
		end++
	}
	return end
}

func (m *marker) redacted(i int) string {
	for _, text := range []string{redact.Mark, redact.Repeat} {
		if end := i + len(text); end <= len(m.runes) && string(m.runes[i:end]) == text {
			return text
		}
	}
	return ""
}

// user is what stands before the password in a URL.
var user = regexp.MustCompile(`://[^\s/@]*:$`)

// why says why the text from start to end is hidden, as far as its place tells.
func (m *marker) why(start, end int) string {
	const longest = 200 // of what is looked at
	if string(m.runes[start:end]) == redact.Repeat {
		return "same as a redacted field"
	}
	before := string(m.runes[max(0, start-longest):start])
	if end < len(m.runes) && m.runes[end] == '@' && user.MatchString(before) {
		return "redacted: password in a URL"
	}
	return "redacted by policy"
}

func (m *marker) spaces(i, end int) {
	n, most, thing := end-i, widest, "space"
	if i == 0 {
		most = deepest
	}
	if m.runes[i] == '\t' {
		most, thing = most/4, "tab"
	}
	if n > most {
		m.put(Span{Kind: Gap, Text: approval.Plural(n, thing), N: n})
	} else {
		m.text.WriteString(string(m.runes[i:end]))
	}
}

// needed reports invisible characters without which a language or an emoji can't be written: they
// show in the shapes beside them.
func (m *marker) needed(i int) bool {
	before, after := m.at(i-1), m.at(i+1)
	switch r := m.runes[i]; r {
	case 0x200B, 0x200C, 0x200D:
		if unicode.In(before, joined...) && unicode.In(after, joined...) {
			return true
		}
		return r == 0x200D && emoji(after) && (emoji(before) || before == 0xFE0F)
	case 0xFE0F:
		return emoji(before) || after == 0x20E3 && strings.ContainsRune("0123456789#*", before)
	case 0x3000:
		return unicode.In(before, eastAsian...) || unicode.In(after, eastAsian...)
	case 0xA0, 0x202F: // French, Russian and Czech bind marks, digits and short words by them
		return before != ' ' && after != ' ' && before != 0 && after != 0 && !unseen(after) && !unseen(before)
	}
	return false
}

func (m *marker) at(i int) rune {
	if i < 0 || i >= len(m.runes) {
		return 0
	}
	return m.runes[i]
}

var (
	joined = []*unicode.RangeTable{
		unicode.Arabic, unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya,
		unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Syriac,
		unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan,
	}
	eastAsian = []*unicode.RangeTable{
		unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Bopomofo,
	}
)

func emoji(r rune) bool {
	return unicode.Is(unicode.So, r) || r >= 0x1F3FB && r <= 0x1F3FF || r >= 0x2190 && r <= 0x21FF ||
		r == 0x203C || r == 0x2049 || r == 0x2139 || r == 0x2934 || r == 0x2935 || r == 0x3030 || r == 0x303D
}

// Raw is the text that spans were made of, as far as they show it.
func Raw(spans []Span) string {
	var b strings.Builder
	for _, s := range spans {
		switch s.Kind {
		case Text, Look, Redacted:
			b.WriteString(s.Text)
		case Hidden:
			r := rune(0x1B)
			if hex, ok := strings.CutPrefix(s.Text, "U+"); ok {
				n, _ := strconv.ParseInt(hex, 16, 32)
				r = rune(n)
			}
			b.WriteString(strings.Repeat(string(r), max(s.N, 1)))
		case Gap:
			gap := " "
			switch {
			case strings.Contains(s.Text, "tab"):
				gap = "\t"
			case strings.Contains(s.Text, "line"):
				gap = "\n"
			}
			b.WriteString(strings.Repeat(gap, s.N))
		}
	}
	return b.String()
}
