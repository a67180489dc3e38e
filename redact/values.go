package redact

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

//go:embed tokens.txt
var tokensFile string

// vendorToken is a form of token.
type vendorToken struct {
	least int
	chars [256]bool // that may stand behind the prefix
	word  bool      // no letter or digit stands before the prefix
}

// known finds well-known secrets in one pass: the anchors that each of them begins with or holds.
type known struct {
	anchors *matcher
	tokens  map[string]*vendorToken // by prefix
	others  map[string]func(s string, from, to int) (span, bool)
}

var knownSecrets = sync.OnceValue(func() *known {
	k := &known{anchors: newMatcher(), tokens: map[string]*vendorToken{}}
	for line := range strings.Lines(tokensFile) {
		if f := strings.Fields(line); len(f) > 0 && f[0] != "#" {
			k.tokens[f[0]] = readToken(f)
			k.anchors.add(f[0], true)
		}
	}
	k.others = map[string]func(string, int, int) (span, bool){
		"-----BEGIN": privateKey, "eyJ": webToken, "://": userInfo, ":A": telegramToken,
		"@tcp(": goUserInfo, "@unix(": goUserInfo, "@udp(": goUserInfo, "@(": goUserInfo,
		"earer ": bearer, "EARER ": bearer, "asic ": basic, "ASIC ": basic, "curl": nil,
	}
	for anchor := range k.others {
		k.anchors.add(anchor, true)
	}
	k.anchors.link()
	return k
})

func readToken(fields []string) *vendorToken {
	t := &vendorToken{word: len(fields) == 4 && fields[3] == "word"}
	least, err := strconv.Atoi(fields[1])
	if err != nil || len(fields) > 4 || len(fields) == 4 && !t.word {
		panic(fmt.Sprintf("tokens.txt: %q can't be read", fields))
	}
	t.least = least
	for chars := fields[2]; chars != ""; {
		if len(chars) > 2 && chars[1] == '-' {
			for c := chars[0]; c <= chars[2]; c++ {
				t.chars[c] = true
			}
			chars = chars[3:]
			continue
		}
		t.chars[chars[0]], chars = true, chars[1:]
	}
	return t
}

// find finds well-known secrets: all of a token, but of user-info and of what follows a scheme only
// what is secret. With cut, also one that was cut off.
func (k *known) find(s string, cut bool, found func(from, to int)) {
	usesCurl, tokenTo := false, 0
	var seen map[string]int // by anchor: how far it need not be looked at again
	k.anchors.find(s, false, func(from, to int) {
		anchor := s[from:to]
		if t := k.tokens[anchor]; t != nil {
			if end := t.end(s, from, to, max(to, tokenTo), cut); end > tokenTo {
				found(max(from, tokenTo), end)
				tokenTo = end
			}
			return
		}
		other := k.others[anchor]
		if other == nil {
			usesCurl = true
			return
		}
		if from < seen[anchor] {
			return
		}
		at, ok := other(s, from, to)
		if ok && at.to > at.from {
			found(at.from, at.to)
		}
		if at.from == from {
			if seen == nil {
				seen = map[string]int{}
			}
			seen[anchor] = at.to
		}
	})
	if usesCurl {
		findCurlUser(s, found)
	}
}

// end returns where a token ends whose prefix stands from from to to, or 0. All up to known is part
// of a token.
func (t *vendorToken) end(s string, from, to, known int, cut bool) int {
	if t.word && from > 0 && wordByte(s[from-1]) {
		return 0
	}
	end := known
	for end < len(s) && t.chars[s[end]] {
		end++
	}
	if end-to >= t.least || cut && end-to >= shortSecret && cutOff(s[end:]) {
		return end
	}
	return 0
}

func wordByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

var (
	keyBegins = regexp.MustCompile(`^-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY`)
	keyEnds   = regexp.MustCompile(`-----END[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----`)
)

// privateKey is a block of a private key, to the end of the text if it has no end.
func privateKey(s string, from, _ int) (span, bool) {
	if !keyBegins.MatchString(s[from:min(len(s), from+130)]) {
		return span{}, false
	}
	if end := keyEnds.FindStringIndex(s[from:]); end != nil {
		return span{from, from + end[1]}, true
	}
	return span{from, len(s)}, true
}

// webToken is a JWT: signed, encrypted or not. If it is none, the span is what can't be one either.
func webToken(s string, from, _ int) (span, bool) {
	const leastHeader, leastDots, mostDots = 11, 2, 4
	end, dots, header := from, 0, 0
	for ; end < len(s); end++ {
		if c := s[end]; c == '.' && dots < mostDots {
			if dots++; dots == 1 {
				header = end - from
			}
		} else if !wordByte(c) && c != '_' && c != '-' {
			break
		}
	}
	if dots == 0 {
		return span{from, end}, false
	}
	if header < leastHeader || dots < leastDots {
		return span{from, from + header}, false
	}
	return span{from, end}, true
}

const credential = `[A-Za-z0-9._~+/=:-]`

var (
	bearerForm = regexp.MustCompile(`^[ \t]*(` + credential + `{4,})`)
	basicForm  = regexp.MustCompile(`^[ \t]*([A-Za-z0-9+/]{4,}={0,2})`)
)

// bearer is what follows "Bearer", unless it is an ordinary word: "bearer token".
func bearer(s string, from, to int) (span, bool) {
	at := bearerForm.FindStringSubmatchIndex(s[to:])
	if from == 0 || s[from-1] != 'B' && s[from-1] != 'b' || from > 1 && wordByte(s[from-2]) || at == nil {
		return span{}, false
	}
	text := strings.TrimRight(s[to+at[2]:to+at[3]], ".:")
	isLetter := func(r rune) bool { return r >= 'a' && r <= 'z' }
	ordinary := len(text) < 16 && strings.TrimFunc(text[1:], isLetter) == ""
	return span{to + at[2], to + at[2] + len(text)}, !ordinary
}

// basic is a user and password as basic authentication has them.
func basic(s string, from, to int) (span, bool) {
	at := basicForm.FindStringSubmatchIndex(s[to:])
	if from == 0 || s[from-1] != 'B' && s[from-1] != 'b' || from > 1 && wordByte(s[from-2]) || at == nil {
		return span{}, false
	}
	text := s[to+at[2] : to+at[3]]
	plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	return span{to + at[2], to + at[3]}, err == nil && utf8.Valid(plain) && strings.Contains(string(plain), ":")
}

// leastUser is the length from which a user without a password, as in https://TOKEN@host, is taken
// for a token.
const leastUser = 16

// Bounds of what user-info is searched in.
const (
	maxAuthority = 2 << 10
	maxDSN       = 512
)

// userInfo is the password in a URL whose "://" ends at to, or a user that looks like a token.
func userInfo(s string, _, to int) (span, bool) {
	rest := s[to:min(len(s), to+maxAuthority)]
	if n := strings.IndexAny(rest, " \t\r\n\"'`<>"); n >= 0 {
		rest = rest[:n]
	}
	host := rest
	if n := strings.IndexAny(rest, "/?#"); n >= 0 {
		host = rest[:n]
	}
	colon := strings.IndexByte(host, ':')
	if end := strings.LastIndexByte(host, '@'); end >= 0 {
		if colon >= 0 && colon < end {
			return span{to + colon + 1, to + end}, true
		}
		return span{to, to + end}, end >= leastUser && host[:end] != Mark
	}
	// A password that holds one of "/?#", unless this is a port, or an address of IPv6.
	if end := strings.LastIndexByte(rest, '@'); end >= 0 && colon >= 0 && rest[0] != '[' &&
		strings.Trim(host[colon+1:], "0123456789") != "" {
		return span{to + colon + 1, to + end}, true
	}
	return span{}, false
}

// goUserInfo is the password in a DSN of Go's MySQL driver: user:password@tcp(host)/db.
func goUserInfo(s string, from, _ int) (span, bool) {
	begin := max(0, from-maxDSN)
	begin += strings.LastIndexAny(s[begin:from], " \t\r\n\"'`<>=") + 1
	user, _, ok := strings.Cut(s[begin:from], ":")
	if !ok || user == "" || strings.Contains(s[begin:from], "://") {
		return span{}, false
	}
	return span{begin + len(user) + 1, from}, true
}

// telegramToken is the number of a bot, a colon and 35 characters, of which the first is an A.
func telegramToken(s string, from, to int) (span, bool) {
	begin, end := from, to
	for begin > 0 && s[begin-1] >= '0' && s[begin-1] <= '9' {
		begin--
	}
	for end < len(s) && (wordByte(s[end]) || s[end] == '_' || s[end] == '-') {
		end++
	}
	return span{begin, end}, from-begin >= 5 && from-begin <= 16 && end-to >= 30
}

var curlFlag = regexp.MustCompile(`^(?:-[A-Za-z]*[uU]|--user|--proxy-user)$`)

var curlUserForm = regexp.MustCompile(`[ \t\n](?:-[A-Za-z]*[uU][ \t]*|--user[ \t=]+|--proxy-user[ \t=]+)` +
	`(?:"[^":]*:([^"]+)|'[^':]*:([^']+)|[^\s"':-][^\s"':]*:([^\s"']+))`)

// findCurlUser finds the passwords of users that curl is given.
func findCurlUser(s string, found func(from, to int)) {
	begin := strings.Index(s, "curl")
	for _, at := range curlUserForm.FindAllStringSubmatchIndex(s[begin:], -1) {
		for i := 2; i < len(at); i += 2 {
			if at[i] >= 0 {
				found(begin+at[i], begin+at[i+1])
			}
		}
	}
}
