package policy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

const (
	maxCondition = 4096 // bytes of an expression
	// maxCost bounds one evaluation, in CEL's units: about one for each step,
	// and one for ten characters looked at. Reaching it takes some tens of ms.
	maxCost = 1_000_000
)

// condition is a CEL expression that is true or false of a call. It is safe for
// concurrent use.
type condition struct {
	source  string
	program cel.Program
	args    bool            // it looks at the arguments
	names   map[string]bool // the fields it names
}

var celEnv = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.Variable("tool", cel.StringType),
		cel.Variable("args", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("agent", cel.StringType),
		cel.Variable("team", cel.StringType),
		cel.Variable("session", cel.StringType),
		cel.Variable("labels", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("requester", cel.StringType),
		cel.Variable("now", cel.TimestampType),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxCondition),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
	)
})

var variables = []string{"tool", "args", "agent", "team", "session", "labels", "requester", "now"}

// condition compiles the expression in v. Equal expressions are compiled once.
func (c *compiler) condition(v yamlfile.Value) *condition {
	source, ok := v.Lines()
	if !ok {
		return nil
	}
	if known, ok := c.conditions[source]; ok {
		return known
	}
	if len(source) > maxCondition {
		v.Problem(fmt.Sprintf("the condition is longer than %d bytes", maxCondition), "split the rule in several")
		return nil
	}
	env, err := celEnv()
	if err != nil {
		v.Problem("conditions can't be compiled: "+err.Error(), "")
		return nil
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			message, hint := celProblem(e.Message)
			v.Within(e.Location.Line(), e.Location.Column()+1, message, hint)
		}
		return nil
	}
	// What comes out of the arguments has a type only when the call is there.
	if out := checked.OutputType(); !out.IsExactType(types.BoolType) && !out.IsExactType(types.DynType) {
		v.Problem(fmt.Sprintf("the condition gives %s, must give true or false", out), `compare it with something: args.amount > 100`)
		return nil
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	if err != nil {
		v.Problem("the condition can't be compiled: "+approval.Display(err.Error(), 200), "")
		return nil
	}
	made := &condition{source: source, program: program, names: map[string]bool{}}
	made.look(checked.NativeRep().Expr())
	c.conditions[source] = made
	return made
}

var undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)

// celProblem is what the compiler complains of, and how to mend it.
func celProblem(message string) (string, string) {
	hint := "conditions are CEL over " + strings.Join(variables, ", ")
	if m := undeclared.FindStringSubmatch(message); m != nil {
		if near := yamlfile.Nearest(m[1], variables); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		} else {
			hint += "; an argument is args." + approval.Display(m[1], 80)
		}
		return fmt.Sprintf("the condition knows no %q", approval.Display(m[1], 80)), hint
	}
	return "the condition is not valid: " + approval.Display(strings.TrimPrefix(message, "Syntax error: "), 200), hint
}

// look notes which fields the expression names, and whether it needs the
// arguments.
func (c *condition) look(e celast.Expr) {
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) {
		switch e.Kind() {
		case celast.IdentKind:
			c.args = c.args || e.AsIdent() == "args"
		case celast.SelectKind:
			c.names[e.AsSelect().FieldName()] = true
		case celast.LiteralKind:
			if text, ok := e.AsLiteral().Value().(string); ok {
				c.names[text] = true
			}
		}
	}))
}

// holds says whether the condition holds for a call. If that can't be told,
// problem says why, and quotes nothing of the call.
func (c *condition) holds(in *input) (held bool, problem string) {
	if c.args {
		if _, err := in.arguments(); err != nil {
			return false, err.Error()
		}
	}
	out, _, err := c.program.Eval(in)
	if err != nil {
		return false, c.explain(err)
	}
	value, ok := out.Value().(bool)
	if !ok {
		return false, "it gives neither true nor false"
	}
	return value, ""
}

var missingKey = regexp.MustCompile(`^no such key: (.*)$`)

// explain turns an evaluation's error, which may quote arguments, into what may
// be shown.
func (c *condition) explain(err error) string {
	text := err.Error()
	if cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err); ok && cancelled.Cause == interpreter.CostLimitExceeded {
		return "it takes too long for these arguments"
	}
	if m := missingKey.FindStringSubmatch(text); m != nil {
		if c.names[m[1]] {
			return approval.Display(m[1], 80) + " is missing"
		}
		return "a field is missing"
	}
	if strings.HasPrefix(text, "no such overload") {
		return "a value has another type than the condition is for"
	}
	return "it can't be computed for these values"
}
