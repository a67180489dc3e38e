package redact

import (
	"encoding/json"
	"path"
	"strings"
)

// Members of an object of which one says a name and the others its value: {"name": "Authorization",
// "value": "…"}.
var (
	nameMembers = exact("name", "key", "k", "id", "label", "column", "selector", "element", "locator",
		"field", "header", "param", "parameter", "variable", "var", "env",
		"attribute", "property", "setting", "option", "flag", "cookie", "field_name", "header_name", "key_name",
		"param_name", "parameter_name", "variable_name", "var_name", "env_name", "attribute_name",
		"property_name", "setting_name", "option_name", "cookie_name", "secret_name")
	valueMembers = exact("value", "values", "val", "v", "content", "contents", "data", "string_value",
		"text_value", "text",
		"secret_value", "plain_value", "raw_value", "new_value", "old_value", "default_value", "default",
		"secret", "secret_string")
)

// isName reports whether a text is a hidden name, and not a sentence that holds one.
func (r *Redactor) isName(text string) bool {
	return len(text) <= maxNameBytes && !strings.ContainsAny(strings.TrimSuffix(text, ":"), "\r\n=:") &&
		strings.Count(text, " ") < maxNameWords && r.names.in(text)
}

// paired reports whether an object says a hidden name, so that its valueMembers are hidden.
func (r *Redactor) paired(object map[string]any) bool {
	if len(object) < 2 || r.names.empty() {
		return false
	}
	for k, v := range object {
		name, ok := v.(string)
		// {"op": "replace", "path": "/password", "value": …} is a JSON Patch.
		if ok && (r.member(k).isName || k == "path" && object["op"] != nil) && r.isName(name) {
			return true
		}
	}
	return false
}

// covered reports which entries of a list are hidden because of the one before: ["--password", "x"],
// ["Authorization", "Bearer x"]. nil is none.
func (r *Redactor) covered(list []any) map[int]bool {
	if len(list) < 2 || r.names.empty() {
		return nil
	}
	out := map[int]bool{}
	for i, e := range list[:len(list)-1] {
		name, ok := e.(string)
		if !ok {
			continue
		}
		if next, isText := list[i+1].(string); r.namesNext(name, i, len(list), next, isText) {
			out[i+1] = true
		}
	}
	return out
}

// namesNext reports whether an entry of a list is the hidden name of the next one. That is what a
// flag is; another name only where the list can be one of names and values in turn.
func (r *Redactor) namesNext(name string, i, length int, next string, isText bool) bool {
	if !strings.HasPrefix(name, "-") && (i%2 != 0 || length%2 != 0) || !r.isName(name) {
		return false
	}
	return !isText || !flagLike.MatchString(next) && !Marked(next)
}

// curlUser are the entries of a list that hold the user and password of a curl command.
func (r *Redactor) curlUser(list []any) map[int]bool {
	if !r.values {
		return nil
	}
	out, isCurl := map[int]bool{}, false
	for i, e := range list {
		word, ok := e.(string)
		switch {
		case !ok:
		case !isCurl:
			isCurl = strings.TrimSuffix(strings.ToLower(path.Base(word)), ".exe") == "curl"
		case i+1 < len(list) && curlFlag.MatchString(word):
			out[i+1] = true
		}
	}
	return out
}

// frame is an open bracket of the JSON that is read.
type frame struct {
	from   int
	object bool
	keyed  bool    // the next value has a key
	member         // by the key
	below  bool    // it stands below a hidden key
	pair   bool    // an object that says a hidden name
	values []entry // that are hidden then
	list   []entry // of an array that may hold names
}

type entry struct {
	span
	text   string
	isText bool // and no object or array
	quoted bool
}

// maxDepth bounds how deep brackets in a text may be nested.
const maxDepth = 10_000

// pairFinder reads JSON that stands in a text, and what looks like it: the text need not be whole,
// nor be JSON. It finds what is hidden by its key, and by a name beside it.
type pairFinder struct {
	*Redactor
	s      string
	wide   bool // see searched
	found  func(from, to int)
	nested []span // texts that are to be read by themselves
	stack  []frame
	open   int // quotes that nothing closes, so far

	checked int // bytes that were checked to be JSON, so far
}

// find reports whether the text could be read: it is not nested too deep.
func (p *pairFinder) find() bool {
	for i := 0; i < len(p.s); {
		if len(p.stack) == 0 {
			if i = brackets.next(p.s, i); i == len(p.s) {
				return true
			}
		}
		switch c := p.s[i]; c {
		case '{', '[':
			if len(p.stack) == maxDepth {
				return false
			}
			below := len(p.stack) > 0 && (p.top().below || p.top().keyed && p.top().hidden)
			p.stack = append(p.stack, frame{from: i, object: c == '{', below: below})
			i++
		case '}', ']':
			i++
			p.close(i)
		case '"', '\'':
			end := -1
			if p.open < maxOpen && (c == '"' || inJSON(p.s, i)) {
				if end = quoteEnd(p.s, i); end < 0 {
					p.open++
				}
			}
			if end < 0 {
				i++
				continue
			}
			p.scalar(span{i, end}, p.s[i+1:end-1], true)
			i = end
		case ',':
			p.top().keyed = false
			i++
		case ' ', '\t', '\r', '\n', ':', '\\':
			i++
		default:
			end := wordEnds.next(p.s, i+1)
			p.scalar(span{i, end}, strings.TrimSpace(p.s[i:end]), false)
			i = end
		}
	}
	for len(p.stack) > 0 {
		p.finish(p.top())
		p.stack = p.stack[:len(p.stack)-1]
	}
	return true
}

func (p *pairFinder) top() *frame { return &p.stack[len(p.stack)-1] }

// inJSON reports whether a quote begins a text where JSON has one.
func inJSON(s string, i int) bool {
	before := strings.TrimRight(s[max(0, i-8):i], " \t\r\n")
	return before != "" && strings.IndexByte("{[,:(", before[len(before)-1]) >= 0
}

// scalar takes a text or a bare word in.
func (p *pairFinder) scalar(at span, text string, quoted bool) {
	if quoted && strings.ContainsAny(text, `\{[`) {
		p.nested = append(p.nested, span{at.from + 1, at.to - 1})
		if len(text) <= maxNameBytes*len(`\u{10FFFF}`) { // else it is no name, however it is escaped
			if plain, _ := (spelling{text: text}).unescaped(); len(plain.text) <= maxNameBytes {
				text = plain.text
			}
		}
	}
	f := p.top()
	if f.object && !f.keyed {
		rest := strings.TrimLeft(p.s[at.to:], " \t\r\n")
		if strings.HasPrefix(rest, ":") {
			f.member, f.keyed = p.member(text), true
		}
		return
	}
	p.value(f, entry{at, text, true, quoted})
}

func (p *pairFinder) value(f *frame, e entry) {
	if f.below && e.quoted {
		p.found(e.from, e.to)
	}
	if !f.object {
		f.list = append(f.list, e)
		return
	}
	switch {
	case !f.keyed:
		return
	case f.hidden && (e.isText || !f.below): // what is below is hidden with what is above
		p.hide(e)
	case f.isName && e.isText && p.isName(e.text):
		f.pair = true
	case f.isValue:
		f.values = append(f.values, e)
	}
}

// hide finds a value. In arguments, what is neither quoted nor JSON may be a command: of that only
// one word is hidden. What takes long to check is hidden.
func (p *pairFinder) hide(e entry) {
	const mostChecks = 16 // of the whole text
	if !p.wide && !e.quoted {
		p.checked += e.to - e.from
	}
	switch {
	case p.wide || e.quoted || p.checked > mostChecks*len(p.s) || json.Valid([]byte(p.s[e.from:e.to])):
		p.found(e.from, e.to)
	case e.isText:
		word := p.s[e.from:e.to]
		if n := strings.IndexAny(word, " \t\r\n;|&`"); n >= 0 {
			word = word[:n]
		}
		p.found(e.from, e.from+len(word))
	}
}

func (p *pairFinder) close(end int) {
	f := p.top()
	p.finish(f)
	at := span{f.from, end}
	p.stack = p.stack[:len(p.stack)-1]
	if len(p.stack) > 0 {
		p.value(p.top(), entry{span: at})
	}
}

// finish finds what is known to be hidden once an object or array was read.
func (p *pairFinder) finish(f *frame) {
	if f.pair {
		for _, e := range f.values {
			p.hide(e)
		}
	}
	for i, e := range f.list[:max(0, len(f.list)-1)] {
		next := f.list[i+1]
		if e.isText && p.namesNext(e.text, i, len(f.list), next.text, next.isText) {
			p.hide(next)
		}
	}
}
