package wrapped

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Member is a field of a JSON object, by its place in the text.
type Member struct {
	Name     string
	From     int // of the name, with its quotes
	Value    int // where the value begins
	To       int // where it ends
	document []byte
}

// Text is the value as it is written.
func (m Member) Text() []byte { return m.document[m.Value:m.To] }

// mark is the byte-order mark that some editors write before UTF-8.
const mark = "\uFEFF"

// Plain returns JSON with comments, commas too many and a byte-order mark as JSON without, of the
// same length: what is left out becomes blanks.
func Plain(doc []byte) []byte {
	out := bytes.Clone(doc)
	comma := -1 // the last one, if nothing but blanks follows
	blank := func(from, to int) {
		for i := from; i < to; i++ {
			if out[i] != '\n' && out[i] != '\r' {
				out[i] = ' '
			}
		}
	}
	if bytes.HasPrefix(doc, []byte(mark)) {
		blank(0, len(mark))
	}
	for i := 0; i < len(doc); {
		switch c := doc[i]; {
		case c == '"':
			for i++; i < len(doc) && doc[i] != '"'; i++ {
				if doc[i] == '\\' {
					i++
				}
			}
			i++
			comma = -1
		case bytes.HasPrefix(doc[i:], []byte("//")):
			end := i + bytes.IndexByte(append(doc[i:len(doc):len(doc)], '\n'), '\n')
			blank(i, end)
			i = end
		case bytes.HasPrefix(doc[i:], []byte("/*")):
			end := len(doc)
			if at := bytes.Index(doc[i+2:], []byte("*/")); at >= 0 {
				end = i + 2 + at + 2
			}
			blank(i, end)
			i = end
		case c == ',':
			comma = i
			i++
		case c == '}' || c == ']':
			if comma >= 0 {
				out[comma] = ' '
			}
			comma = -1
			i++
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		default:
			comma = -1
			i++
		}
	}
	return out
}

// Members returns the fields of the object that stands in plain[from:to], by their places in doc.
func Members(doc, plain []byte, from, to int) ([]Member, error) {
	dec := json.NewDecoder(bytes.NewReader(plain[from:to]))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("it must be a JSON object")
	}
	var all []Member
	for dec.More() {
		before := int(dec.InputOffset())
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		start := before + bytes.IndexByte(plain[from+before:to], '"')
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		end := from + int(dec.InputOffset())
		if slices.ContainsFunc(all, func(m Member) bool { return m.Name == name }) {
			return nil, fmt.Errorf("the field %q is given twice", name)
		}
		all = append(all, Member{name, from + start, end - len(value), end, doc})
	}
	return all, nil
}

// Entry is a server in a client's settings.
type Entry struct {
	Keys   []string
	Member // its value is the entry
	Fields []Member
	plain  []byte
}

// Plain is the entry without comments.
func (e Entry) Plain() []byte { return e.plain[e.Value:e.To] }

// Entries finds the servers in the settings of Claude Desktop, Claude Code, Cursor or VS Code.
func Entries(doc []byte) ([]Entry, error) {
	plain := Plain(doc)
	var value any
	if err := json.Unmarshal(plain, &value); err != nil {
		at := len(plain)
		if e, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = int(e.Offset)
		}
		return nil, fmt.Errorf("line %d: it is not JSON, even without its comments: %w",
			bytes.Count(plain[:at], []byte("\n"))+1, err)
	}
	if _, object := value.(map[string]any); !object {
		return nil, errors.New("settings must be a JSON object")
	}
	var all []Entry
	var look func(from, to int, keys []string) error
	look = func(from, to int, keys []string) error {
		members, err := Members(doc, plain, from, to)
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(keys, "."), err)
		}
		for _, m := range members {
			path := append(slices.Clone(keys), m.Name)
			switch {
			case holdsServers(path):
				servers, err := Members(doc, plain, m.Value, m.To)
				if err != nil {
					return fmt.Errorf("%s: %w", strings.Join(path, "."), err)
				}
				for _, s := range servers {
					e := Entry{Keys: append(slices.Clone(path), s.Name), Member: s, plain: plain}
					if e.Fields, err = Members(doc, plain, s.Value, s.To); err != nil {
						return fmt.Errorf("%s: %w", strings.Join(e.Keys, "."), err)
					}
					all = append(all, e)
				}
			case len(path) == 1 && (m.Name == "mcp" || m.Name == "projects"), len(path) == 2 && path[0] == "projects":
				if err := look(m.Value, m.To, path); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return all, look(0, len(plain), nil)
}

// holdsServers knows where clients keep their servers.
func holdsServers(path []string) bool {
	switch len(path) {
	case 1:
		return path[0] == "mcpServers" || path[0] == "servers"
	case 2:
		return path[0] == "mcp" && path[1] == "servers"
	case 3:
		return path[0] == "projects" && path[2] == "mcpServers"
	}
	return false
}

// Edit replaces a part of a text.
type Edit struct {
	From, To int
	Text     string
}

// Apply makes all edits, which must not overlap.
func Apply(doc []byte, edits []Edit) []byte {
	slices.SortFunc(edits, func(a, b Edit) int { return b.From - a.From })
	for _, e := range edits {
		doc = slices.Concat(doc[:e.From], []byte(e.Text), doc[e.To:])
	}
	return doc
}
