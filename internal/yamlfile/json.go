package yamlfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/strictjson"
	"gopkg.in/yaml.v3"
)

// JSON returns the value as JSON text, keys in the order of the file, numbers exactly as written.
// Numbers that JSON writes otherwise (0x1F, 1_000, .5), that no float64 holds, and integers beyond
// 2^53, which readers of JSON would round, are problems.
func (v Value) JSON() (json.RawMessage, bool) {
	if !v.Present() {
		return nil, false
	}
	var b bytes.Buffer
	if !v.writeJSON(&b, 1) {
		return nil, false
	}
	return b.Bytes(), true
}

func (v Value) writeJSON(b *bytes.Buffer, depth int) bool {
	if !v.readable() || depth > MaxDepth {
		return false
	}
	child := func(n *yaml.Node) bool {
		return Value{doc: v.doc, node: n, what: v.what}.writeJSON(b, depth+1)
	}
	ok := true
	switch v.node.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i < len(v.node.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			key := v.node.Content[i]
			ok = isText(key) && ok
			writeString(b, key.Value)
			b.WriteByte(':')
			ok = child(v.node.Content[i+1]) && ok
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, n := range v.node.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			ok = child(n) && ok
		}
		b.WriteByte(']')
	default:
		ok = v.writeScalar(b)
	}
	return ok
}

func (v Value) writeScalar(b *bytes.Buffer) bool {
	n := v.node
	// The parser takes numbers that overflow float64 for text.
	number := n.Tag == intTag || n.Tag == floatTag || n.Style == 0 && jsonNumber.MatchString(n.Value)
	switch {
	case n.Tag == nullTag:
		b.WriteString("null")
	case n.Tag == boolTag:
		b.WriteString(strings.ToLower(n.Value))
	case number && !v.exact():
		return false
	case number:
		b.WriteString(n.Value)
	default:
		writeString(b, n.Value)
	}
	return true
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// exact reports whether every reader of JSON gets the number that is written.
func (v Value) exact() bool {
	const most = 1 << 53
	n := v.node.Value
	if !jsonNumber.MatchString(n) {
		v.Problem("the number is not written as JSON writes numbers",
			"write it in plain decimal digits, or put it in quotes if it is text")
		return false
	}
	if strings.ContainsAny(n, ".eE") {
		if _, err := strconv.ParseFloat(n, 64); err != nil {
			v.Problem("the number is too large", "use a smaller one")
			return false
		}
		return true
	}
	if i, err := strconv.ParseInt(n, 10, 64); err != nil || i > most || i < -most {
		v.Problem(fmt.Sprintf("the integer is beyond 2^53 (%d) and readers would round it", most),
			"use a smaller one, or text")
		return false
	}
	return true
}

func writeString(b *bytes.Buffer, s string) {
	doc, _ := strictjson.Marshal(s) // a string can always be marshalled
	b.Write(doc)
}
