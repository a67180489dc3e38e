package redact

import "strings"

// findQuoted finds what is quoted right behind a hidden name: PASSWORD 'x', setPassword("x").
func (r *searched) findQuoted(found func(from, to int)) {
	s, skip := r.s, r.skip
	for i := 0; i < len(s) && !r.names.empty(); i++ {
		if i = quotes.next(s, i); i == len(s) {
			return
		}
		if r.skips(&skip, &i) || i == 0 || i+1 == len(s) || strings.IndexByte(" \t(", s[i-1]) < 0 ||
			strings.IndexByte(" \t\r\n,:;)}]", s[i+1]) >= 0 {
			continue
		}
		end := len(strings.TrimRight(s[max(0, i-maxPair):i], " \t(")) + max(0, i-maxPair)
		begin := end
		for begin > 0 && end-begin < maxNameBytes && nameByte(s[begin-1]) {
			begin--
		}
		if begin == end || r.open >= maxOpen || !r.hiddenName(s, begin, end) {
			continue
		}
		to := quoteEnd(s, i)
		if to < 0 {
			r.open++
			continue
		}
		found(i, to)
		i = to - 1
	}
}

// maxPair is how far a value may stand behind the text that says its name: - name: A, value: x in
// YAML on two lines, <add key="A" value="x"/>.
const maxPair = 80

// pair takes in what stands behind the sign at i, after a name that is not hidden itself: the name
// of a value, or the value if its name stood before.
func (r *searched) pair(name string, i int) (from, to int, ok bool) {
	m := r.member(name)
	if !m.isName && !m.isValue {
		return 0, 0, false
	}
	from = i + 1 + spaces(r.s[i+1:])
	if m.isName {
		to, r.said = r.token(from, false), span{}
		if r.isName(strings.Trim(r.s[from:to], "\"'")) {
			r.said = span{from, to}
		}
		return 0, 0, false
	}
	said := r.said.to
	r.said = span{}
	if said == 0 || from-said > maxPair {
		return 0, 0, false
	}
	to = r.valueEnd(from)
	return from, to, to > from
}
