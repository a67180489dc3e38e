// Package strictjson reads JSON so that no two readers can understand one text differently: it
// refuses duplicate keys, numbers that float64 rounds, unknown fields and their like. It also
// writes the canonical form of RFC 8785, over which digests are taken.
//
// Errors are of type *Error. They name the place by JSON pointer and quote no value. Functions are
// safe for concurrent use.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

const maxDepth = 100

// Error says what is wrong with a JSON text, without any of its values.
type Error struct{ message string }

func (e *Error) Error() string { return e.message }

func errorf(format string, a ...any) error { return &Error{fmt.Sprintf(format, a...)} }

// clip makes a key safe to show: at most 80 characters, none of them invisible.
func clip(key string) string {
	more := ""
	if runes := []rune(key); len(runes) > 80 {
		key, more = string(runes[:80]), "…"
	}
	quoted := strconv.Quote(key)
	return quoted[1:len(quoted)-1] + more
}

// Marshal is json.Marshal, but writes <, > and & as they are, also inside raw JSON.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Canonical returns v's RFC 8785 canonical JSON. v must marshal to an object or array that Check
// takes. The error of one that has no such form quotes nothing of it.
func Canonical(v any) ([]byte, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	canonical, err := jcs.Transform(doc)
	if err != nil {
		return nil, errorf("the JSON has no canonical form (RFC 8785)")
	}
	return canonical, nil
}

// Check refuses what two readers of one JSON text could read differently: duplicate keys, integers
// beyond 2^53 in any spelling that float64 rounds or that has no exponent, numbers no float64
// holds, NUL characters, invalid UTF-8, lone surrogates, trailing data, and nesting beyond 100.
func Check(doc []byte) error { return check(doc, func(key string) string { return key }) }

// check is Check for a reader to whom keys are the same where same is.
func check(doc []byte, same func(string) string) error {
	if !utf8.Valid(doc) {
		return errorf("the JSON is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	w := walker{dec: dec, doc: doc, same: same}
	if err := w.value("", 0); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errorf("there is more after the end of the JSON value, at byte %d", dec.InputOffset())
	}
	return nil
}

type walker struct {
	dec  *json.Decoder
	doc  []byte
	same func(key string) string
}

func (w walker) value(at string, depth int) error {
	if depth > maxDepth {
		return errorf("JSON is nested deeper than %d", maxDepth)
	}
	from := w.dec.InputOffset()
	tok, err := w.dec.Token()
	if err != nil {
		return w.syntax(err)
	}
	switch t := tok.(type) {
	case json.Delim:
		if t == '[' {
			for i := 0; w.dec.More(); i++ {
				if err := w.value(at+"/"+strconv.Itoa(i), depth+1); err != nil {
					return err
				}
			}
		} else if err := w.object(at, depth); err != nil {
			return err
		}
		if _, err := w.dec.Token(); err != nil { // the closing delimiter
			return w.syntax(err)
		}
	case json.Number:
		return checkNumber(at, t.String())
	case string:
		return w.text(at, t, from)
	}
	return nil
}

func (w walker) object(at string, depth int) error {
	seen := map[string]string{}
	for w.dec.More() {
		from := w.dec.InputOffset()
		tok, err := w.dec.Token()
		if err != nil {
			return w.syntax(err)
		}
		key, ok := tok.(string)
		if !ok {
			return errorf("%s: an object's key must be a string", place(at))
		}
		if err := w.text(at, key, from); err != nil {
			return err
		}
		switch before, taken := seen[w.same(key)]; {
		case taken && before == key:
			return errorf("%s: the key \"%s\" is given twice", place(at), clip(key))
		case taken:
			return errorf("%s: the keys \"%s\" and \"%s\" differ in case only, and some readers take them for one",
				place(at), clip(before), clip(key))
		}
		seen[w.same(key)] = key
		if err := w.value(at+"/"+clip(key), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// text refuses NUL and lone surrogates in the string s, which was read from the bytes since from.
// encoding/json silently puts another character for a lone surrogate, so only the bytes show it.
func (w walker) text(at, s string, from int64) error {
	if strings.ContainsRune(s, 0) {
		return errorf("%s: text holds a NUL character", place(at))
	}
	if strings.ContainsRune(s, utf8.RuneError) && halfPair(w.doc[from:w.dec.InputOffset()]) {
		return errorf("%s: text holds half of a surrogate pair", place(at))
	}
	return nil
}

// halfPair reports whether the valid JSON string in raw escapes a lone surrogate.
func halfPair(raw []byte) bool {
	for i := 0; i < len(raw); {
		switch {
		case raw[i] != '\\':
			i++
		case raw[i+1] != 'u':
			i += 2
		default:
			first, n := hexEscape(string(raw[i:min(i+6, len(raw))]))
			i += n
			if !utf16.IsSurrogate(first) {
				continue
			}
			second, n := hexEscape(string(raw[i:min(i+6, len(raw))]))
			if utf16.DecodeRune(first, second) == utf8.RuneError {
				return true
			}
			i += n
		}
	}
	return false
}

// hexEscape reads \uXXXX. The length is 0 if s does not begin with one.
func hexEscape(s string) (rune, int) {
	if len(s) < 6 || s[:2] != `\u` {
		return 0, 0
	}
	v, err := strconv.ParseUint(s[2:6], 16, 32)
	if err != nil {
		return 0, 0
	}
	return rune(v), 6
}

func (w walker) syntax(err error) error {
	var se *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errorf("the JSON ends too early")
	case errors.As(err, &se):
		return errorf("not JSON, at byte %d", se.Offset)
	}
	return errorf("not JSON, at byte %d", w.dec.InputOffset())
}

// checkNumber takes from 2^53 on, where float64 has whole numbers only and not all of them, 2^53
// itself and what is written with an exponent and keeps all its digits in a float64, as 1e20 does.
func checkNumber(at, n string) error {
	f, err := strconv.ParseFloat(n, 64)
	if err != nil {
		return errorf("%s: the number is too large; send it as text", place(at))
	}
	const most = 1 << 53
	if math.Abs(f) < most {
		return nil
	}
	if !keepsDigits(n, f) || math.Abs(f) > most && !strings.ContainsAny(n, "eE") {
		return errorf("%s: the integer is beyond 2^53 and readers would round it; send it as text", place(at))
	}
	return nil
}

// keepsDigits reports whether the shortest spelling of f has the digits of n.
func keepsDigits(n string, f float64) bool {
	digits, point := decimal(n)
	kept, keptPoint := decimal(strconv.FormatFloat(f, 'e', -1, 64))
	return digits == kept && point == keptPoint
}

// decimal returns a JSON number's significant digits, without zeros around them, and where the
// point stands, counted from the first.
func decimal(n string) (digits string, point int) {
	mantissa, exponent := strings.TrimPrefix(n, "-"), ""
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		mantissa, exponent = mantissa[:i], mantissa[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	point, _ = strconv.Atoi(exponent) // "" is 0; a float64 that is not 0 bounds it
	point += len(whole)
	digits = strings.TrimLeft(whole+fraction, "0")
	point -= len(whole) + len(fraction) - len(digits)
	return strings.TrimRight(digits, "0"), point
}

func place(at string) string {
	if at == "" {
		return "at the top"
	}
	return "at " + at
}

// Members counts the members of all objects in a document of valid JSON, each that stands there: of
// two of one name, readers keep one.
func Members(doc []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			quoted = !quoted
		case '\\':
			i++
		case ':':
			if !quoted {
				n++
			}
		}
	}
	return n
}

// CheckObject checks that doc is a JSON object of at most most bytes that Check takes. name says
// what it is, for the error.
func CheckObject(name string, doc []byte, most int) error {
	return checkObject(name, doc, most, Check)
}

// CheckFolded is CheckObject, and also refuses two keys of one object that Fold makes equal: readers
// such as encoding/json match keys without case, and would take the last one.
func CheckFolded(name string, doc []byte, most int) error {
	return checkObject(name, doc, most, func(doc []byte) error { return check(doc, Fold) })
}

func checkObject(name string, doc []byte, most int, check func([]byte) error) error {
	if len(doc) > most {
		return errorf("%s: %d bytes of JSON; at most %d are taken", name, len(doc), most)
	}
	if err := check(doc); err != nil {
		return errorf("%s: %v", name, err)
	}
	if trimmed := bytes.TrimSpace(doc); len(trimmed) == 0 || trimmed[0] != '{' {
		return errorf("%s: must be a JSON object", name)
	}
	return nil
}
