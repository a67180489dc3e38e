package policy

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy/path"
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

	folded       bool
	values, keys []string // see foldedTexts

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
	plain  []string // numbers, true and false, as JSON writes them
}

// rawTexts returns the texts in the arguments. They are gathered once for all rules.
func (in *input) rawTexts() *texts {
	if !in.gathered {
		in.gathered = true
		if args, err := in.arguments(); err == nil {
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
	case []any:
		for _, e := range v {
			t.gather(e)
		}
	case map[string]any:
		for k, e := range v {
			t.keys = append(t.keys, k)
			t.gather(e)
		}
	}
}

// foldedTexts returns every text in the arguments and every key of their objects, folded. They are
// folded once for all rules.
func (in *input) foldedTexts() (values, keys []string) {
	if !in.folded {
		in.folded = true
		w := in.rawTexts()
		in.values, in.keys = foldAll(w.values), foldAll(w.keys)
	}
	return in.values, in.keys
}

func foldAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = path.Fold(s)
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
