package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
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
}

// arguments returns the decoded arguments: texts, int64 and float64, bool, nil,
// []any, map[string]any. Absent ones are empty. What the error stops, stops
// allowing.
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
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var args map[string]any
	if err := dec.Decode(&args); err != nil {
		return nil, errArgs
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errArgs
	}
	if args == nil { // null
		args = map[string]any{}
	}
	if err := plainNumbers(args); err != nil {
		return nil, err
	}
	return args, nil
}

// plainNumbers replaces each json.Number inside v.
func plainNumbers(v any) error {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if n, ok := e.(json.Number); ok {
				plain, err := plainNumber(n)
				if err != nil {
					return err
				}
				v[k] = plain
			} else if err := plainNumbers(e); err != nil {
				return err
			}
		}
	case []any:
		for i, e := range v {
			if n, ok := e.(json.Number); ok {
				plain, err := plainNumber(n)
				if err != nil {
					return err
				}
				v[i] = plain
			} else if err := plainNumbers(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainNumber is an int64 for what is written as an integer, else a float64.
// Integers that a float64 rounds are refused, as calls with them are.
func plainNumber(n json.Number) (any, error) {
	const most = 1 << 53
	if !strings.ContainsAny(string(n), ".eE") {
		i, err := strconv.ParseInt(string(n), 10, 64)
		if err != nil || i > most || i < -most {
			return nil, errArgs
		}
		return i, nil
	}
	f, err := strconv.ParseFloat(string(n), 64)
	if err != nil {
		return nil, errArgs
	}
	return f, nil
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
