package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"gopkg.in/yaml.v3"
)

// Parse reads data as one YAML document and notes everything wrong with its form. name is how
// problems call the file. A file that can't be taken apart gives the absent Value, which reads as
// nothing without further problems.
func Parse(name string, data []byte, problems *Problems) Value {
	d := &document{name: displayName(name), problems: problems}
	data = bytes.TrimPrefix(data, utf8BOM)
	d.lines = bytes.Count(data, []byte("\n")) + 1
	if !d.sizeFits(data) || !d.valuesFit(data) || !d.checkText(data) {
		return Value{}
	}
	root, ok := d.parse(data)
	if !ok {
		return Value{}
	}
	if root == nil || root.Tag == nullTag {
		d.add(1, 1, "the file is empty", "fill it in, or leave the file out")
		return Value{}
	}
	d.check(root, 1)
	return Value{doc: d, node: root, what: "the file"}
}

// document is what all values of one file share.
type document struct {
	name     string
	lines    int
	problems *Problems
}

func (d *document) add(line, column int, message, hint string) {
	d.note(Problem{Line: line, Column: column, Message: message, Hint: hint})
}

func (d *document) note(p Problem) {
	p.File = d.name
	if p.Line > d.lines { // the parser puts some absent values past the end
		p.Line, p.Column = d.lines, 1
	}
	d.problems.Add(p)
}

func (d *document) parse(data []byte) (*yaml.Node, bool) {
	lines := &lineReader{rest: data}
	dec := yaml.NewDecoder(lines)
	var doc, more yaml.Node
	err := decode(dec, &doc)
	if errors.Is(err, io.EOF) {
		return nil, true
	}
	if err != nil {
		d.syntax(err, data, lines.read)
		return nil, false
	}
	switch err = decode(dec, &more); {
	case err == nil:
		d.add(more.Line, more.Column, "a second document starts here",
			"one file holds one document: put it into a file of its own")
		return nil, false
	case !errors.Is(err, io.EOF):
		d.syntax(err, data, lines.read)
		return nil, false
	}
	return doc.Content[0], true
}

// decode turns the parser's own panics into errors: it has some left for states it believes to be
// impossible.
func decode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("yaml: the parser can't read this")
		}
	}()
	return dec.Decode(n)
}

// Tags of plain values, as the parser resolves them.
const (
	nullTag  = "!!null"
	boolTag  = "!!bool"
	strTag   = "!!str"
	intTag   = "!!int"
	floatTag = "!!float"
	timeTag  = "!!timestamp"
	mergeTag = "!!merge"
)

const noMark = "remove it; if it is meant as text, put it in quotes"

// check notes what YAML allows and Pawl's files do not use.
func (d *document) check(n *yaml.Node, depth int) {
	if n.Kind == yaml.AliasNode {
		d.add(n.Line, n.Column, "aliases (*name) are not taken",
			`write the value out; if a star is meant as text, put it in quotes: "*"`)
		return
	}
	if n.Anchor != "" {
		d.add(n.Line, n.Column, "anchors (&name) are not taken", noMark)
	}
	if n.Style&yaml.TaggedStyle != 0 {
		d.add(n.Line, n.Column, "tags (!name) are not taken", noMark)
	}
	if n.Kind == yaml.ScalarNode {
		if strings.ContainsRune(n.Value, 0) {
			d.add(n.Line, n.Column, "the text holds a NUL character", "remove it")
		}
		return
	}
	if depth > MaxDepth {
		d.add(n.Line, n.Column, fmt.Sprintf("nested deeper than %d", MaxDepth), "make it flatter")
		return
	}
	if n.Kind == yaml.MappingNode {
		d.checkKeys(n)
	}
	for _, child := range n.Content {
		d.check(child, depth+1)
	}
}

func (d *document) checkKeys(mapping *yaml.Node) {
	seen := make(map[string]*yaml.Node, len(mapping.Content)/2)
	for i := 0; i < len(mapping.Content); i += 2 {
		key := mapping.Content[i]
		switch {
		case key.Kind == yaml.AliasNode: // check says so
		case key.Kind == yaml.ScalarNode && key.Tag == mergeTag:
			d.add(key.Line, key.Column, "merge keys (<<) are not taken", "write the fields out")
		case key.Kind != yaml.ScalarNode:
			d.add(key.Line, key.Column, "a mapping or list is used as a key", "keys are text")
		case key.Style&yaml.TaggedStyle != 0: // check says so
		case !isText(key):
			d.add(key.Line, key.Column, "the key is not text", "put it in quotes")
		case seen[key.Value] != nil:
			d.add(key.Line, key.Column, fmt.Sprintf("the key %q is given twice", approval.Display(key.Value, 80)),
				"keep one; the first is at "+Value{doc: d, node: seen[key.Value]}.Where())
		default:
			seen[key.Value] = key
		}
	}
}

// isText: YAML 1.2 knows no dates, so what the parser takes for one is text.
func isText(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && (n.Tag == strTag || n.Tag == timeTag)
}

// ReadFile returns a file's bytes, or false and a problem: it can't be read, or is larger than
// MaxSize.
func ReadFile(path string, problems *Problems) ([]byte, bool) {
	d := &document{name: displayName(path), problems: problems}
	var data []byte
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		data, err = io.ReadAll(io.LimitReader(f, MaxSize+1))
	}
	if err != nil {
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err // the path is in the problem already
		}
		d.add(0, 0, "can't be read: "+err.Error(), "give the path of a file that this user may read")
		return nil, false
	}
	return data, d.sizeFits(data)
}

func displayName(name string) string { return approval.Display(name, 300) }

func (d *document) sizeFits(data []byte) bool {
	if len(data) > MaxSize {
		d.add(0, 0, fmt.Sprintf("the file is larger than %d MiB", MaxSize>>20), "split it into several files")
	}
	return len(data) <= MaxSize
}

// valuesFit refuses, before the parser makes a node for each, files of too many values. Behind each
// value but the last stands one of the characters that are counted, so that texts with many of them
// count for more than they are.
func (d *document) valuesFit(data []byte) bool {
	n := 1
	for _, c := range data {
		switch c {
		case '\n', ',', ':', '[', '{', '-', '?':
			n++
		}
	}
	if n > MaxValues {
		d.add(0, 0, fmt.Sprintf("the file may hold more than %d values", MaxValues), "split it into several files")
	}
	return n <= MaxValues
}

var utf8BOM = []byte("\ufeff")

// checkText refuses what would make people and the parser see different lines or different words:
// text that is not UTF-8, control characters, line breaks that only YAML knows, and characters that
// reorder a line. Each kind is reported once, where it first stands.
func (d *document) checkText(data []byte) bool {
	if bytes.HasPrefix(data, []byte{0xFF, 0xFE}) || bytes.HasPrefix(data, []byte{0xFE, 0xFF}) {
		d.add(1, 1, "the file is UTF-16", "save it as UTF-8")
		return false
	}
	seen := map[rune]bool{}
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			d.add(line, column, "the file is not valid UTF-8 from here on", "save it as UTF-8")
			return false
		case r == '\r' && i+1 < len(data) && data[i+1] == '\n':
		case misleading(r) && !seen[r]:
			seen[r] = true
			d.add(line, column, fmt.Sprintf("the character %U does not belong into a text file", r),
				"remove it, or write it as an escape inside double quotes")
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
		i += size
	}
	return len(seen) == 0
}

func misleading(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < ' ', r >= 0x7F && r <= 0x9F: // C0, DEL, C1 with NEL; a lone CR too
		return true
	case r == '\u2028', r == '\u2029': // line breaks to YAML, not to most editors
		return true
	case r >= '\u202A' && r <= '\u202E', r >= '\u2066' && r <= '\u2069': // text direction
		return true
	}
	return r == '\uFEFF' || r == '\uFFFE' || r == '\uFFFF'
}
