package redact

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// spelling is a text, or what it says once JSON escapes in it are resolved.
type spelling struct {
	text string
	at   []int // where each byte, and the end, stands in the text; nil: where it is
}

func (s spelling) place(i int) int {
	if s.at == nil {
		return i
	}
	return s.at[i]
}

// unescaped resolves one level of JSON escapes, and those of Display. It reports whether there were
// any. What is no escape stays; a cut one goes.
func (s spelling) unescaped() (spelling, bool) {
	if !strings.Contains(s.text, `\`) {
		return s, false
	}
	out, found := spelling{at: make([]int, 0, len(s.text)+1)}, false
	b := make([]byte, 0, len(s.text))
	for i := 0; i < len(s.text); {
		before := len(b)
		r, n, ok := rune(0), 0, false
		if s.text[i] == '\\' {
			r, n, ok = escaped(s.text[i:])
		}
		switch {
		case ok:
			b = utf8.AppendRune(b, r)
		case n == 0:
			b, n = append(b, s.text[i]), 1
		}
		for range len(b) - before {
			out.at = append(out.at, s.place(i))
		}
		found = found || ok || len(b) == before
		i += n
	}
	out.text, out.at = string(b), append(out.at, s.place(len(s.text)))
	return out, found
}

const escapes, escapedAs = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

// escaped reads the escape that s begins with and its length. One that was cut has a length and is
// not ok.
func escaped(s string) (r rune, n int, ok bool) {
	if len(s) > 1 {
		if i := strings.IndexByte(escapes, s[1]); i >= 0 {
			return rune(escapedAs[i]), 2, true
		}
	}
	if r, n := hexEscape(s); n > 0 {
		if utf16.IsSurrogate(r) {
			low, m := hexEscape(s[n:])
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, n + m, true
			}
			r = utf8.RuneError
		}
		return r, n, true
	}
	n = 1
	if strings.HasPrefix(s, `\u`) {
		n = 2
		for n < len(s) && n < len(`\u{10FFF`) && strings.IndexByte("{0123456789abcdefABCDEF", s[n]) >= 0 {
			n++
		}
	}
	if cutOff(s[n:]) {
		return 0, n, false
	}
	return 0, 0, false
}

// hexEscape reads \uXXXX, or Display's \u{X…}. The length is 0 if s begins with neither.
func hexEscape(s string) (rune, int) {
	if len(s) < 6 || s[:2] != `\u` {
		return 0, 0
	}
	digits, n := s[2:6], 6
	if s[2] == '{' {
		end := strings.IndexByte(s[:min(len(s), len(`\u{10FFFF}`))], '}')
		if end < 0 {
			return 0, 0
		}
		digits, n = s[3:end], end+1
	}
	v, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		return 0, 0
	}
	return rune(v), n
}

// unquoted resolves percent escapes, as URLs and form bodies have them. It reports whether there
// were any.
func (s spelling) unquoted() (spelling, bool) {
	if !strings.Contains(s.text, "%") {
		return s, false
	}
	out, found := spelling{at: make([]int, 0, len(s.text)+1)}, false
	var b []byte
	for i := 0; i < len(s.text); i++ {
		out.at = append(out.at, s.place(i))
		if s.text[i] == '%' && i+2 < len(s.text) {
			if v, err := strconv.ParseUint(s.text[i+1:i+3], 16, 8); err == nil {
				b, i, found = append(b, byte(v)), i+2, true
				continue
			}
		}
		b = append(b, s.text[i])
	}
	out.text, out.at = string(b), append(out.at, s.place(len(s.text)))
	return out, found
}

// part is the spelling of a piece of the text.
func (s spelling) part(from, to int) spelling {
	at := make([]int, to-from+1)
	for i := range at {
		at[i] = s.place(from + i)
	}
	return spelling{text: s.text[from:to], at: at}
}
