package present

import (
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

var (
	wholeURL     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://\S+$`)
	wholeAddress = regexp.MustCompile(`^[^\s@<>,]+@[^\s@<>,]+$`)
)

func isURL(s string) bool     { return len(s) <= 2000 && wholeURL.MatchString(s) }
func isAddress(s string) bool { return len(s) <= 320 && wholeAddress.MatchString(s) }

// urlSpans shows an address: its host stands out, and what leads the eye astray is said.
func urlSpans(s string, style Style) []Span {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return mark(s, style, true)
	}
	end := strings.IndexAny(rest, `/?#\`)
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	out := mark(scheme+"://", Dim, true)
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		out = append(out, mark(authority[:at+1], Danger, true)...)
		out = append(out, Span{Kind: Note, Text: "user name in front of the host"})
		authority = authority[at+1:]
	}
	out = append(out, hostSpans(authority)...)
	out = append(out, mark(tail, style, true)...)
	if strings.HasPrefix(tail, `\`) {
		out = append(out, Span{Kind: Note, Text: `programs differ about the host, because of the \`})
	}
	return out
}

func hostSpans(host string) []Span {
	out := mark(host, Strong, true)
	name, _, _ := strings.Cut(host, ":")
	if ascii, err := idna.ToASCII(name); err == nil && ascii != name {
		out = append(out, Span{Kind: Note, Text: ascii})
	}
	if shown, err := idna.ToUnicode(name); err == nil && shown != name && strings.Contains(name, "xn--") {
		note := "written " + Plain(mark(shown, "", true))
		out = append(out, Span{Kind: Note, Text: note})
	}
	return out
}

// addressSpans shows a mail address: its domain stands out.
func addressSpans(s string) []Span {
	at := strings.LastIndex(s, "@")
	if at < 0 {
		return mark(s, "", true)
	}
	domain, after := s[at+1:], ""
	if end := strings.IndexAny(domain, "> ,;"); end >= 0 {
		domain, after = domain[:end], domain[end:]
	}
	out := mark(s[:at+1], "", true)
	out = append(out, hostSpans(domain)...)
	return append(out, mark(after, "", true)...)
}

// mail shows an object that is one: whom it goes to, and what it says.
func (p *presenter) mail(name []Span, v *value, used map[string]bool) bool {
	to, subject := v.get("to"), v.get("subject")
	field, body := v.first(bodyNames...)
	if to == nil || subject == nil && !body.isText() || !to.short() {
		return false
	}
	b := Block{Kind: BlockMail, Name: name}
	for _, key := range copyNames {
		m := v.get(key)
		if m == nil || m.kind == '{' ||
			slices.ContainsFunc(m.items, func(i *value) bool { return !i.scalar() }) {
			continue
		}
		row := Row{Name: Word(key)}
		if key == "bcc" {
			row.Note = []Span{{Kind: Note, Text: "hidden copy"}}
		}
		for _, one := range addresses(m) {
			if one.isText() && one.text != "" {
				row.Value = append(row.Value, Line{Spans: addressSpans(one.text)})
			} else {
				row.Value = append(row.Value, Line{Spans: cell(one)})
			}
		}
		b.Rows, used[key] = append(b.Rows, row), true
	}
	if subject.isText() {
		b.Rows = append(b.Rows, Row{Name: Word("subject"), Value: textLines(subject.text, false)})
		used["subject"] = true
	}
	if body.isText() {
		b.Lines, used[field] = textLines(body.text, false), true
	}
	p.add(b)
	return true
}

// addresses are the entries of a list of addresses, or the one.
func addresses(v *value) []*value {
	if v.kind == '[' {
		return v.items
	}
	return []*value{v}
}
