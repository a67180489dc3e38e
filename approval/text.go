package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
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
			b.WriteString(CutMark + " (" + Plural(len(s)-i, "byte") + " more)")
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

// Plural writes "1 byte", "2 bytes": a number of things whose plural ends in s.
func Plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// hidden reports characters a reader can't see, or that move other ones about: C0/C1 controls,
// format characters (bidi overrides and isolates, zero-width, tags), line and paragraph separators,
// every space but the ordinary one, variation selectors, and all else that renders as nothing.
func hidden(r rune) bool {
	switch {
	case r == ' ':
		return false
	case r == 0x2800: // the empty Braille pattern
		return true
	}
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Z, unicode.Co, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point)
}

// SamePerson reports whether two names are taken for one person's: they differ in case only, by
// Unicode's full case folding (ß and SS are one, ı and i are not), or in how Unicode writes the same
// letters (é as one character or two, letters of full width). Letters of different scripts that look
// alike are different.
func SamePerson(a, b string) bool {
	// EqualFold knows Cherokee, whose case package cases does not fold.
	return a == b || strings.EqualFold(folded(a), folded(b))
}

func folded(name string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(name)))
}

// MaxID bounds a call's ID, in bytes; Temporal's IDs end there too.
const MaxID = 1000

// CheckID refuses IDs that no call can have, as the ID of a workflow that somebody else started may
// be: an ID is also a header in requests to Temporal, which holds printable ASCII only. The error's
// code is CodeInvalid.
func CheckID(id string) error {
	if id == "" || len(id) > MaxID {
		return Errorf(CodeInvalid, "the workflow ID has %d bytes; give one of 1 to %d", len(id), MaxID)
	}
	for _, r := range id {
		if r < ' ' || r > '~' {
			return Errorf(CodeInvalid, "the workflow ID holds the character %U; start the call again under an ID "+
				"of printable ASCII", r)
		}
	}
	return nil
}

// EscapeID is the ID under which a call is kept that CheckID refuses: printable ASCII, and different
// for different IDs.
func EscapeID(id string) string {
	const most = 200
	quoted := strconv.QuoteToASCII(id)
	escaped := quoted[1 : len(quoted)-1]
	if len(escaped) <= most {
		return escaped
	}
	sum := sha256.Sum256([]byte(id))
	return escaped[:most-33] + "-" + hex.EncodeToString(sum[:16])
}

// CheckPublicURL checks the address under which people reach Pawl's page. The error's code is
// CodeInvalid; it does not quote the address, which may hold a password.
func CheckPublicURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" {
		return Errorf(CodeInvalid, "it is not an address like https://pawl.example.com")
	}
	if u.User != nil || strings.ContainsAny(s, "?#") {
		return Errorf(CodeInvalid, "it holds a user, a query or a fragment: give scheme, host, port and path only")
	}
	return nil
}

// RequestURL is the address of a request's page under a public URL, or empty without one.
func RequestURL(publicURL, id string) string {
	if publicURL == "" {
		return ""
	}
	return strings.TrimSuffix(publicURL, "/") + "/requests/" + url.PathEscape(id)
}
