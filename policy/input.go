package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy/path"
	"github.com/pawlhq/pawl/strictjson"
)

// input is one call under evaluation. Arguments are decoded when a rule first asks for them, once
// for all rules. It is also what conditions see of the call (cel.Activation).
type input struct {
	call *approval.Call
	now  time.Time

	args    map[string]any
	decoded bool
	err     error

	gathered bool
	raw      texts // see rawTexts

	values, keys []string            // see foldedValues and foldedKeys; nil: not folded yet
	inLine       *[2]string          // see line; nil: not read yet
	names        map[string][]string // see argNames; nil: not gathered yet

	pathsRead bool
	inPaths   path.Paths // see paths

	cost uint64 // of one layer's conditions so far that are counted
}

// arguments returns the decoded arguments: texts, float64 for every number (one type, so that a
// condition does not hold for 100.5 and fail for 100), bool, nil, []any, map[string]any. Absent
// ones are empty. What the error stops, stops allowing.
func (in *input) arguments() (map[string]any, error) {
	if !in.decoded {
		in.decoded = true
		in.args, in.err = decodeArgs(in.call.Args)
	}
	return in.args, in.err
}

var errArgs = errors.New("the arguments are not a JSON object that can be read")

func decodeArgs(doc json.RawMessage) (map[string]any, error) {
	if len(doc) == 0 {
		return map[string]any{}, nil
	}
	var value any // which encoding/json fills much faster than a map
	if err := json.Unmarshal(doc, &value); err != nil {
		return nil, errArgs
	}
	switch args := value.(type) {
	case map[string]any:
		return args, nil
	case nil: // null
		return map[string]any{}, nil
	}
	return nil, errArgs
}

// texts are the texts in arguments, in no order.
type texts struct {
	values []string
	keys   []string // of objects
	plain  []string // all else: numbers, true, false and null, as JSON writes them, and {} and []
}

// rawTexts returns the texts in the arguments. They are gathered once for all rules.
func (in *input) rawTexts() *texts {
	if !in.gathered {
		in.gathered = true
		if args, err := in.arguments(); err == nil && len(args) > 0 {
			in.raw.gather(args)
		}
	}
	return &in.raw
}

func (t *texts) gather(v any) {
	switch v := v.(type) {
	case string:
		t.values = append(t.values, v)
	case float64:
		t.plain = append(t.plain, asJSON(v))
	case bool:
		t.plain = append(t.plain, strconv.FormatBool(v))
	case nil:
		t.plain = append(t.plain, "null")
	case []any:
		if len(v) == 0 {
			t.plain = append(t.plain, "[]")
		}
		for _, e := range v {
			t.gather(e)
		}
	case map[string]any:
		if len(v) == 0 {
			t.plain = append(t.plain, "{}")
		}
		for k, e := range v {
			t.keys = append(t.keys, k)
			t.gather(e)
		}
	}
}

// line returns what all values in the arguments say, one after the other, and the same folded:
// numbers as they are written, and True, False and None, which other tools look for. It is read once
// for all rules.
func (in *input) line() (plain, folded string) {
	if in.inLine == nil {
		line := strings.Join(valuesOf(in.call.Args), " ")
		in.inLine = &[2]string{line, strictjson.Fold(line)}
	}
	return in.inLine[0], in.inLine[1]
}

// valuesOf are the values in a document, in its order and at any depth, without the keys.
func valuesOf(doc json.RawMessage) (values []string) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var objects []bool // whether each value that is open is an object
	key := false       // whether a key comes next, or the object ends
	for {
		token, err := d.Token()
		if err != nil {
			return values
		}
		wasKey := false
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				objects, key = append(objects, v == '{'), v == '{'
				continue
			}
			objects = objects[:len(objects)-1]
		case string:
			if wasKey = key; !key {
				values = append(values, v)
			}
		case json.Number:
			values = append(values, v.String())
		case bool:
			values = append(values, map[bool]string{true: "True", false: "False"}[v])
		case nil:
			values = append(values, "None")
		}
		key = !wasKey && len(objects) > 0 && objects[len(objects)-1]
	}
}

// foldedValues returns every text in the arguments, folded. They are folded once for all rules.
func (in *input) foldedValues() []string {
	if in.values == nil {
		in.values = foldAll(in.rawTexts().values)
	}
	return in.values
}

// foldedKeys returns every key of objects in the arguments, folded, in the order of rawTexts.
func (in *input) foldedKeys() []string {
	if in.keys == nil {
		in.keys = foldAll(in.rawTexts().keys)
	}
	return in.keys
}

// argNames returns the arguments' names, by what they are when they are folded.
func (in *input) argNames() map[string][]string {
	if in.names == nil {
		args, _ := in.arguments()
		in.names = make(map[string][]string, len(args))
		for name := range args {
			folded := strictjson.Fold(name)
			in.names[folded] = append(in.names[folded], name)
		}
	}
	return in.names
}

// respell is the input with keys of arguments, at any depth, and labels renamed.
func (in *input) respell(names map[string]string) *input {
	args, err := in.arguments()
	call := *in.call
	call.Labels = renamed(call.Labels, names, func(v string) string { return v })
	out := &input{call: &call, now: in.now, decoded: true, err: err, cost: in.cost}
	if err == nil {
		out.args = renamed(args, names, func(v any) any { return respellValue(v, names) })
	}
	return out
}

func respellValue(v any, names map[string]string) any {
	switch v := v.(type) {
	case map[string]any:
		return renamed(v, names, func(v any) any { return respellValue(v, names) })
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = respellValue(e, names)
		}
		return out
	}
	return v
}

func renamed[V any](m map[string]V, names map[string]string, value func(V) V) map[string]V {
	out := make(map[string]V, len(m))
	for name, v := range m {
		if to, ok := names[name]; ok {
			name = to
		}
		out[name] = value(v)
	}
	return out
}

func foldAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strictjson.Fold(s)
	}
	return out
}

// paths returns the paths in arguments and labels. They are read once for all rules.
func (in *input) paths() path.Paths {
	if !in.pathsRead {
		in.pathsRead = true
		args, _ := in.arguments()
		in.inPaths = path.Of(args, in.call.Labels)
	}
	return in.inPaths
}

// spend adds what a condition took. One that was cut off took all there is.
func (in *input) spend(details *cel.EvalDetails) {
	if details != nil {
		if cost := details.ActualCost(); cost != nil {
			in.cost += *cost
			return
		}
	}
	in.cost = maxCost + 1
}

// ResolveName makes an input what a condition is evaluated over.
func (in *input) ResolveName(name string) (any, bool) {
	switch name {
	case "tool":
		return in.call.Tool, true
	case "args":
		args, err := in.arguments()
		return args, err == nil
	case "agent":
		return in.call.Agent, true
	case "team":
		return in.call.Team, true
	case "session":
		return in.call.Session, true
	case "labels":
		return in.call.Labels, true
	case "requester":
		return in.call.Requester, true
	case "now":
		return in.now, true
	}
	return nil, false
}

// Parent is no other activation.
func (in *input) Parent() cel.Activation { return nil }
