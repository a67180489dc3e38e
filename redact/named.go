package redact

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// span is a part of a text.
type span struct{ from, to int }

const (
	maxNameBytes = 256 // of a name in a text: what stands further in front is not looked at
	maxNameWords = 5   // of a name with spaces
)

// searched is a text in which values are searched that stand behind a hidden name: name=value,
// "name": "value", name: value, --name value, <name>value</name>. In arguments less is hidden than
// elsewhere (wide): reviewers must see what a command does behind its --password=x.
type searched struct {
	*Redactor
	s        string
	wide     bool
	skip     []span // of s, in order, that are searched by themselves
	open     int    // brackets and quotes that nothing closes, so far
	said     span   // the last hidden name that stood where a value's name is said
	connects int    // whether the text says how to connect to a database: 0 is not known yet, -1 no
}

// chars are the ASCII characters that are looked for, in one text after the other.
type chars [utf8.RuneSelf]bool

func charsOf(list string) *chars {
	var c chars
	for i := range len(list) {
		c[list[i]] = true
	}
	return &c
}

// next is where the first of them stands from i on, or the length of s.
func (c *chars) next(s string, i int) int {
	for i < len(s) && (s[i] >= utf8.RuneSelf || !c[s[i]]) {
		i++
	}
	return i
}

var (
	valueSigns = charsOf(":=>")
	quotes     = charsOf(`"'`)
	brackets   = charsOf("{[")
	wordEnds   = charsOf("{}[]\",:\n\\")
)

// maxOpen bounds how often the end of a bracket or quote is searched in vain: that takes the whole
// text.
const maxOpen = 16

func (r *searched) find(found func(from, to int)) {
	s, skip := r.s, r.skip
	for i := 0; i < len(s); i++ {
		if i = valueSigns.next(s, i); i == len(s) {
			break
		}
		if r.skips(&skip, &i) {
			continue
		}
		if from, to, ok := r.valueBehind(i); ok {
			found(from, to)
			i = max(i, to-1)
		}
	}
	skip = r.skip
	for i := 0; i < len(s) && !r.names.empty(); i++ {
		n := strings.IndexByte(s[i:], '-')
		if n < 0 {
			break
		}
		if i += n; r.skips(&skip, &i) {
			continue
		}
		if i > 0 && !strings.ContainsRune(" \t\r\n\"'`=(", rune(s[i-1])) {
			continue
		}
		end := i
		for end < len(s) && nameByte(s[end]) {
			end++
		}
		from := end + spaces(s[end:])
		if from > end && r.names.in(s[i:end]) {
			to := r.token(from, false)
			if to > from && !flagLike.MatchString(s[from:to]) && !strings.HasPrefix(s[from:], Mark) {
				found(from, to)
			}
		}
		i = end
	}
	r.findQuoted(found)
}

// skips reports whether i is in what is searched by itself, and moves it to the end of that.
func (r *searched) skips(rest *[]span, i *int) bool {
	for len(*rest) > 0 && (*rest)[0].to <= *i {
		*rest = (*rest)[1:]
	}
	if len(*rest) == 0 || *i < (*rest)[0].from {
		return false
	}
	*i = (*rest)[0].to
	return true
}

// valueBehind returns the value of the name that ends before the sign at i, if it is hidden.
func (r *searched) valueBehind(i int) (from, to int, ok bool) {
	s, wide := r.s, r.wide
	if s[i] == '>' {
		return r.element(s, i)
	}
	if strings.HasPrefix(s[i:], "://") {
		return 0, 0, false
	}
	end, least := i, max(0, i-maxPair)
	for end > least && strings.IndexByte(" \t!+?:", s[end-1]) >= 0 {
		end--
	}
	for end > least && strings.IndexByte("\"'`\\])", s[end-1]) >= 0 {
		end--
	}
	begin := end // user[password][]=x has one name
	for begin > 0 && end-begin < maxNameBytes &&
		(nameByte(s[begin-1]) || strings.IndexByte("[]", s[begin-1]) >= 0) {
		begin--
	}
	if begin == end {
		return 0, 0, false
	}
	if !r.hiddenName(s, begin, end) && !(s[i] == '=' && r.connecting(s[begin:end])) {
		return r.pair(s[begin:end], i)
	}
	for from = i + 1; from < len(s) && from < i+4 && strings.IndexByte("=>:~", s[from]) >= 0; {
		from++
	}
	from += len(s[from:]) - len(strings.TrimLeftFunc(s[from:], unicode.IsSpace))
	if s[i] == ':' && begin > 0 && strings.IndexByte("\"'", s[begin-1]) >= 0 && end == i && !inJSON(s, begin-1) {
		// -H "Name: value" ends with its quote.
		if n := strings.IndexByte(s[from:], s[begin-1]); n > 0 && !Marked(s[from:from+n]) {
			return from, from + n, true
		}
	}
	to = r.valueEnd(from)
	if wide && to < len(s) && s[to] == ';' && cookie.in(s[begin:end]) {
		to = lineEnd(s, to)
	}
	for !wide && cookie.in(s[begin:end]) {
		more := nextCookie.FindStringIndex(s[to:])
		if more == nil {
			break
		}
		to += more[1]
	}
	return from, to, to > from
}

var (
	cookie     = newNames([]string{"cookie"})
	nextCookie = regexp.MustCompile(`^; *[\w.-]+=[^\s;"']*`)
)

// hiddenName reports whether the word from begin to end is hidden, alone or with the words before
// it: "api key: x".
func (r *Redactor) hiddenName(s string, begin, end int) bool {
	name := strings.TrimPrefix(s[begin:end], "-D") // of Java: -Dpassword=x
	if strings.Contains(name, "%") {
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
	}
	if r.names.in(name) {
		return true
	}
	for range maxNameWords - 1 {
		if !r.names.words || begin < 2 || s[begin-1] != ' ' || !nameByte(s[begin-2]) {
			return false
		}
		for begin--; begin > 0 && end-begin < maxNameBytes && nameByte(s[begin-1]); {
			begin--
		}
		if r.names.atEnd(s[begin:end]) {
			return true
		}
	}
	return false
}

var (
	passwordNames = exact("password", "passwd", "pwd", "AccountKey", "SharedAccessKey")
	connection    = regexp.MustCompile(
		`(?i)://|\b(?:host|server|data source|dbname|user id|accountname|endpoint)=`)
)

// connecting reports whether a name is that of the password in a text that says how to connect to a
// database.
func (r *searched) connecting(name string) bool {
	if !r.values || len(name) > len("SharedAccessKey") || !passwordNames.has(name) {
		return false
	}
	if r.connects == 0 {
		if r.connects = -1; connection.MatchString(r.s) {
			r.connects = 1
		}
	}
	return r.connects > 0
}

// element returns the text of an XML element whose tag ends at i.
func (r *searched) element(s string, i int) (from, to int, ok bool) {
	begin := strings.LastIndexByte(s[max(0, i-maxNameBytes):i], '<')
	if begin < 0 {
		return 0, 0, false
	}
	begin += max(0, i-maxNameBytes) + 1
	end := begin
	for end < i && (nameByte(s[end]) || s[end] == ':') {
		end++
	}
	if end == begin || !r.names.in(s[begin:end]) {
		return 0, 0, false
	}
	n := -1
	if r.open < maxOpen {
		if n = strings.Index(s[i:], "</"+s[begin:end]); n < 0 {
			r.open++
		}
	}
	if n < 0 {
		n = strings.IndexByte(s[i:], '<')
	}
	if n <= 1 {
		return 0, 0, false
	}
	return i + 1, i + n, true
}

func nameByte(b byte) bool {
	return b >= utf8.RuneSelf || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' ||
		b == '_' || b == '-' || b == '.' || b == '%' || b == '+' || b == '$'
}

func spaces(s string) int { return len(s) - len(strings.TrimLeft(s, " \t")) }

func lineEnd(s string, from int) int {
	if n := strings.IndexAny(s[from:], "\r\n"); n >= 0 {
		return from + n
	}
	return len(s)
}

var scheme = regexp.MustCompile(`^(?i:bearer|basic|digest|token|apikey)[ \t]+`)

// valueEnd is where a value ends that begins at from.
func (r *searched) valueEnd(from int) int {
	s, wide := r.s, r.wide
	rest := s[from:]
	for _, mark := range []string{Mark, Repeat} {
		if strings.HasPrefix(rest, mark) {
			return from + len(mark)
		}
	}
	if rest == "" {
		return from
	}
	switch {
	case (rest[0] == '{' || rest[0] == '[') && r.open < maxOpen:
		// What is no JSON may be a command.
		if to := closing(s, from); to > from && (wide || json.Valid([]byte(s[from:to]))) {
			return to
		}
		r.open++
	case rest[0] == '"' || rest[0] == '\'':
		return r.token(from, wide)
	case wide:
		to := from
		for to < len(s) && strings.IndexByte("\r\n&", s[to]) < 0 && !separates(s, to) {
			to++
		}
		return to
	}
	return r.token(from+len(scheme.FindString(rest)), wide)
}

// token is where one word of a command, a query or a list ends: with what is quoted in it. A quote
// that nothing closes, as where the text was cut, is quoted to the end (cut), or is a character.
func (r *searched) token(from int, cut bool) int {
	s, to := r.s, from
	for to < len(s) {
		switch c := s[to]; {
		case strings.IndexByte(" \t\r\n\v\f&", c) >= 0 || separates(s, to):
			return to
		case c == '"' || c == '\'':
			end := -1
			if r.open < maxOpen {
				if end = quoteEnd(s, to); end < 0 {
					r.open++
				}
			}
			switch {
			case to > from && (to+1 == len(s) || s[to+1] <= ' ' || separates(s, to+1)):
				return to // it closes what stands around the value
			case end > 0:
				to = end
			case to == from && cut:
				return len(s)
			default:
				to++
			}
		case c == '\\' && to+1 < len(s) && s[to+1] != '"':
			to += 2
		default:
			to++
		}
	}
	return min(to, len(s))
}

// separates reports whether the character at i ends a value. A comma or bracket in the middle of
// a word may be part of it; one before another name=value is not.
func separates(s string, i int) bool {
	switch s[i] {
	case ';':
		return true
	case ',', '}', ']':
		rest := s[i+1:]
		if rest == "" || !nameByte(rest[0]) && strings.IndexByte("!#*@^~/", rest[0]) < 0 {
			return true
		}
		end := 0
		for end < len(rest) && end < maxNameBytes && nameByte(rest[end]) {
			end++
		}
		return end < len(rest) && (rest[end] == '=' || rest[end] == ':')
	}
	return false
}

// quoteEnd is behind the quote that closes the one at i, or -1.
func quoteEnd(s string, i int) int {
	for to := i + 1; to < len(s); to++ {
		switch s[to] {
		case '\\':
			to++
		case s[i]:
			return to + 1
		}
	}
	return -1
}

// closing is behind the bracket that closes the one at from; 0 if there is none.
func closing(s string, from int) int {
	depth := 0
	for to := from; to < len(s); to++ {
		switch s[to] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return to + 1
			}
		case '"':
			if end := quoteEnd(s, to); end > 0 {
				to = end - 1
			}
		}
	}
	return 0
}
