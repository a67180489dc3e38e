package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/strictjson"
	"github.com/pawlhq/pawl/tool"
)

// Answer tells from a tool's answer whether the tool did what was asked, by expressions over its
// result. It never changes and is safe for concurrent use.
type Answer struct {
	success *condition
	failure *condition // nil: nothing says why not
}

var resultEnv = sync.OnceValues(func() (*cel.Env, error) {
	return newEnv(cel.Variable("result", cel.DynType))
})

var successes = &language{
	noun: "condition", variables: []string{"result"}, free: "result", field: "a field is result.",
	gives: cel.BoolType, must: "true or false",
	hint: "compare it with something: result.status == \"ok\"", env: resultEnv,
}

var reasons = &language{
	noun: "expression", variables: []string{"result"}, free: "result", field: "a field is result.",
	gives: cel.StringType, must: "a text",
	hint: "name the field that says why: result.error.message", env: resultEnv,
}

// ReadAnswer reads what success and error say in a tools file. What is wrong is noted, and the
// answer is of no use then. It is nil if neither is there.
func ReadAnswer(success, failure yamlfile.Value) *Answer {
	source, given := success.Lines()
	if !given {
		if failure.Present() && !success.Present() {
			failure.Problem("error says why success is false, but there is no success", "write success: beside it")
		}
		return nil
	}
	a := &Answer{success: successes.compile(source, success)}
	if source, given := failure.Lines(); given {
		a.failure = reasons.compile(source, failure)
	}
	return a
}

// Judge returns nil if the tool did what was asked. Else the error is tool.Failed, with what the
// tool says about it, or tool.Unknown where that can't be told.
func (a *Answer) Judge(result json.RawMessage) (err error) {
	defer func() {
		if recover() != nil {
			err = unjudged("it can't be computed for this result")
		}
	}()
	var v any
	if err := json.Unmarshal(result, &v); err != nil {
		return unjudged("the result is not JSON")
	}
	if members(v) != strictjson.Members(result) {
		return unjudged("a field of the result is there twice")
	}
	value, problem := a.success.of(v)
	succeeded, isBool := value.(bool)
	switch {
	case problem != "":
		return unjudged(problem)
	case !isBool:
		return unjudged("it gives neither true nor false")
	case succeeded:
		return nil
	}
	const without = "the tool answered that it did not do what was asked"
	if a.failure == nil {
		return tool.Failed(errors.New(without + " (success: is false)"))
	}
	said, problem := a.failure.of(v)
	text, isText := said.(string)
	switch {
	case problem != "":
		return tool.Failed(fmt.Errorf("%s; error: can't be evaluated: %s", without, problem))
	case !isText || strings.TrimSpace(text) == "":
		return tool.Failed(errors.New(without + "; error: gives no text"))
	}
	return tool.Failed(errors.New(approval.DisplayLines(text, 0)))
}

// members counts the members of all objects.
func members(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		n = len(v)
		for _, e := range v {
			n += members(e)
		}
	case []any:
		for _, e := range v {
			n += members(e)
		}
	}
	return n
}

func unjudged(why string) error {
	return tool.Unknown(errors.New("the tool ran, but success: can't be evaluated: " + why))
}

// of is what the expression gives for a result. Problems quote nothing of the result.
func (c *condition) of(result any) (value any, problem string) {
	out, _, err := c.program.Eval(map[string]any{"result": result})
	if err != nil {
		if problem = c.explain(err); problem == tooLong {
			problem = "it takes too long for this result"
		}
		return nil, problem
	}
	return out.Value(), ""
}
