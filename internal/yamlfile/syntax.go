package yamlfile

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"gopkg.in/yaml.v3"
)

// lineReader hands out one line at a time, so that when the parser stops, the count of lines read
// is at or just after the line it stopped at. The parser's own line number is often that of a
// block's beginning, or missing.
type lineReader struct {
	rest []byte
	read int // lines begun
	open bool
}

func (l *lineReader) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		return 0, io.EOF
	}
	line, _, _ := bytes.Cut(l.rest, []byte("\n"))
	n := copy(p, l.rest[:min(len(line)+1, len(l.rest))])
	if n > 0 && !l.open {
		l.read++
	}
	l.open = n > 0 && l.rest[n-1] != '\n'
	l.rest = l.rest[n:]
	return n, nil
}

var parserError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntax notes where the parser gave up, after reading so many lines.
func (d *document) syntax(err error, data []byte, read int) {
	reported, text := 0, err.Error()
	if m := parserError.FindStringSubmatch(text); m != nil {
		reported, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	line := reported
	switch {
	case strings.HasSuffix(text, "',' or ']'"), strings.HasSuffix(text, "',' or '}'"):
		line++ // counted from 0, and the line of the bracket: the best place there is
	case line == 0, strings.Contains(text, "tab character"),
		strings.HasPrefix(text, "did not find expected key"),
		strings.HasPrefix(text, "did not find expected '-'"),
		strings.HasPrefix(text, "did not find expected <document start>"):
		line = narrow(lines, read)
	}
	line = max(1, min(line, len(lines)))

	this := strings.TrimRight(string(lines[line-1]), "\r\n")
	indent := this[:len(this)-len(strings.TrimLeft(this, " \t"))]
	column := len(indent) + 1
	for complaint, value := range begins {
		if !strings.Contains(text, complaint) {
			continue
		}
		for _, found := range value.FindAllStringSubmatchIndex(this, -1) {
			if at := found[2]; at >= 0 {
				column = utf8.RuneCountInString(this[:at]) + 1
				break
			}
		}
	}
	message, hint := "not YAML: "+approval.Display(text, 200), mend(text)
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		column, message, hint = tab+1, "there is a tab in the indentation", "indent with spaces"
	}
	d.add(line, column, message, hint)
}

// begins find, by a part of the parser's complaint, the value on the line that it stopped at: what
// they capture. They pass over quoted text, and over comments and whatever a quote leaves open.
var begins = map[string]*regexp.Regexp{
	"alphabetic or numeric": value(`[*&](?:[^\w-]|$)`), // no name is behind it
	"unknown anchor":        value(`\*[\w-]`),
	"end of stream":         value(`["']`), // a quote that does not close on its line
}

func value(form string) *regexp.Regexp {
	return regexp.MustCompile(`(?:^|[ \t\[{,])(?:"(?:\\.|[^"\\])*"|'(?:''|[^'])*'|(` + form + `)|["'#].*)`)
}

// maxLookAhead is how many lines narrow tries. The parser reads on over comments and blank lines,
// but seldom further.
const maxLookAhead = 8

// narrow returns the first of the last lines read that the parser can't do with: the lines before
// it are well-formed.
func narrow(lines [][]byte, read int) int {
	line := min(read, len(lines))
	for range maxLookAhead {
		if line <= 1 {
			break
		}
		var n yaml.Node
		before := bytes.Join(lines[:line-1], nil)
		if err := decode(yaml.NewDecoder(bytes.NewReader(before)), &n); err == nil || errors.Is(err, io.EOF) {
			break
		}
		line--
	}
	return line
}

// mend says what most often causes one of the parser's complaints.
func mend(text string) string {
	has := func(s string) bool { return strings.Contains(text, s) }
	switch {
	case has("alphabetic or numeric"), has("unknown anchor"):
		return `text that starts with * or & needs quotes: "*"`
	case has("cannot start any token"):
		return "text that starts with a special character needs quotes"
	case has("',' or"):
		return "the bracket that opens here is not closed, or a comma is missing"
	case has("end of stream"):
		return "the quote that opens here is not closed"
	case has("mapping values are not allowed"):
		return `text with ": " in it needs quotes, and fields of one mapping have the same indentation`
	case has("could not find expected ':'"):
		return `every field is written "name: value", with a colon and a space`
	case has("escape code"), has("escape character"), has("Unicode"):
		return `use single quotes for text with backslashes, or write \\ for one`
	}
	return "look for wrong indentation, here or just above"
}
