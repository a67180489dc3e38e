package attempts

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/strictjson"
)

// Bounds of what one comparison shows.
const (
	maxChanges     = 200
	maxChangeBytes = 2 << 20 // arguments and their names are smaller; paths repeat names
)

// comparison gathers what differs between two JSON documents.
type comparison struct {
	changes []present.Change
	more    int // that are not kept
	size    int // bytes of those that are
}

// diff compares two documents with hidden values. A document that is no JSON has no members.
func diff(was, now []byte) (changes []present.Change, more int) {
	var c comparison
	c.compare("", decode(was), decode(now))
	return c.changes, c.more
}

// absent is a value that is not there.
type absent struct{}

func decode(doc []byte) any {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any = absent{}
	if err := dec.Decode(&v); err != nil {
		return absent{}
	}
	return v
}

func (c *comparison) compare(path string, was, now any) {
	switch before := was.(type) {
	case map[string]any:
		if after, ok := now.(map[string]any); ok {
			c.members(path, before, after)
			return
		}
	case []any:
		if after, ok := now.([]any); ok {
			c.items(path, before, after)
			return
		}
	}
	hidden := marked(was) || marked(now)
	if hidden || !equal(was, now) {
		c.add(path, was, now, hidden)
	}
}

func (c *comparison) members(path string, was, now map[string]any) {
	names := append(strictjson.SortedKeys(was), strictjson.SortedKeys(now)...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		c.compare(path+"/"+pointer.Replace(name), member(was, name), member(now, name))
	}
}

// pointer escapes a name in a JSON Pointer (RFC 6901).
var pointer = strings.NewReplacer("~", "~0", "/", "~1")

func member(of map[string]any, name string) any {
	if v, ok := of[name]; ok {
		return v
	}
	return absent{}
}

// items compares lists place by place, but for what they begin and end with alike: one item put in or
// taken out is one change.
func (c *comparison) items(path string, was, now []any) {
	first, shorter := 0, min(len(was), len(now))
	for first < shorter && same(was[first], now[first]) {
		first++
	}
	last := 0
	for last < shorter-first && same(was[len(was)-1-last], now[len(now)-1-last]) {
		last++
	}
	for i := first; i < max(len(was), len(now))-last; i++ {
		before, after := any(absent{}), any(absent{})
		if i < len(was)-last {
			before = was[i]
		}
		if i < len(now)-last {
			after = now[i]
		}
		c.compare(path+"/"+strconv.Itoa(i), before, after)
	}
}

// same reports whether two values are equal and nothing in them is hidden.
func same(a, b any) bool { return !marked(a) && equal(a, b) }

func (c *comparison) add(path string, was, now any, hidden bool) {
	change := present.Change{Path: path, Was: text(was), Now: text(now), Hidden: hidden}
	if hidden { // the other side may be what is hidden on this one
		change.Was, change.Now = cover(was, now), cover(now, was)
	}
	size := len(path) + len(change.Was) + len(change.Now)
	if len(c.changes) == maxChanges || c.size+size > maxChangeBytes {
		c.more++
		return
	}
	c.changes, c.size = append(c.changes, change), c.size+size
}

// cover is a value of which something is hidden, here or in the other one.
func cover(v, other any) json.RawMessage {
	if _, none := v.(absent); none || marked(v) || !marked(other) {
		return text(v)
	}
	return json.RawMessage(`"` + redact.Mark + `"`)
}

func text(v any) json.RawMessage {
	if _, none := v.(absent); none {
		return nil
	}
	doc, err := strictjson.Marshal(v)
	if err != nil { // it came from JSON
		return json.RawMessage(`"` + redact.Mark + `"`)
	}
	return doc
}

// equal compares what two values mean: 1.0 is 1.
func equal(a, b any) bool {
	x, y := text(a), text(b)
	switch {
	case x == nil || y == nil: // absent; both never are
		return false
	case bytes.Equal(x, y):
		return true
	}
	one, errOne := strictjson.Canonical([]json.RawMessage{x})
	other, errOther := strictjson.Canonical([]json.RawMessage{y})
	return errOne == nil && errOther == nil && bytes.Equal(one, other)
}

// marked reports whether something is hidden in a value, or its text says so itself.
func marked(v any) bool {
	switch v := v.(type) {
	case string:
		return redact.Marked(v)
	case []any:
		return slices.ContainsFunc(v, marked)
	case map[string]any:
		for name, member := range v {
			if redact.Marked(name) || marked(member) {
				return true
			}
		}
	}
	return false
}
