package policy

import (
	"encoding/json"
	"errors"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/pawlhq/pawl/approval"
)

// input is one call under evaluation. Arguments are decoded when a rule first
// asks for them, once for all rules. It is also what conditions see of the
// call (cel.Activation).
type input struct {
	call *approval.Call
	now  time.Time

	args    map[string]any
	decoded bool
	err     error

	folded       bool
	values, keys []string // see texts

	cost uint64 // of one layer's conditions so far that are counted
}

// arguments returns the decoded arguments: texts, float64 for every number (one
// type, so that a condition does not hold for 100.5 and fail for 100), bool,
// nil, []any, map[string]any. Absent ones are empty. What the error stops,
// stops allowing.
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

// texts returns every text in the arguments and every key of their objects,
// folded, in no order. They are folded once for all rules.
func (in *input) texts() (values, keys []string) {
	if !in.folded {
		in.folded = true
		if args, err := in.arguments(); err == nil {
			in.gather(args)
		}
	}
	return in.values, in.keys
}

func (in *input) gather(v any) {
	switch v := v.(type) {
	case string:
		in.values = append(in.values, fold(v))
	case []any:
		for _, e := range v {
			in.gather(e)
		}
	case map[string]any:
		for k, e := range v {
			in.keys = append(in.keys, fold(k))
			in.gather(e)
		}
	}
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
