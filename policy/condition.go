package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/strictjson"
)

const (
	maxCondition = 4096 // bytes of an expression
	// maxCost bounds what one layer's conditions take of an evaluation, in CEL's units: about one for
	// each step, and one for ten characters looked at. Reaching it takes less than a tenth of a
	// second.
	maxCost = 300_000
	// maxRegex bounds a compiled pattern, of which matching takes up to so many steps for each
	// character: in the worst case a second for 256 KiB.
	maxRegex = 500
	// maxDepth and maxComprehensions bound how deep an expression is nested: checking the types of
	// deep ones takes seconds.
	maxDepth          = 100
	maxComprehensions = 8
)

// condition is a CEL expression that is true or false of a call. It is safe for concurrent use.
type condition struct {
	source      string
	program     cel.Program
	args, now   bool              // it looks at the arguments, at the time
	counted     bool              // its cost depends on the call, and could reach maxCost
	openPattern bool              // its patterns depend on the call, which could make them slow
	names       map[string]bool   // the fields it names
	folded      map[string]string // those fields, by what they are when they are folded
	remarks     []remark          // on what it says where it lets calls run
	caller      []string          // what the caller says of itself that it looks at: agent, team, labels
}

// language is what a kind of expression is written in, and how problems speak of it.
type language struct {
	noun      string // what an expression is
	variables []string
	free      string    // the variable that can have any fields
	field     string    // how one of them is written
	gives     *cel.Type // what an expression must give,
	must      string    // in words,
	hint      string    // and how to get there
	env       func() (*cel.Env, error)
}

// calls is what conditions of rules are written in.
var calls = &language{
	noun:      "condition",
	variables: []string{"tool", "args", "agent", "team", "session", "labels", "requester", "now"},
	free:      "args", field: "an argument is args.",
	gives: cel.BoolType, must: "true or false", hint: "compare it with something: args.amount > 100",
	env: sync.OnceValues(func() (*cel.Env, error) {
		return newEnv(
			cel.Variable("tool", cel.StringType),
			cel.Variable("args", cel.MapType(cel.StringType, cel.DynType)),
			cel.Variable("agent", cel.StringType),
			cel.Variable("team", cel.StringType),
			cel.Variable("session", cel.StringType),
			cel.Variable("labels", cel.MapType(cel.StringType, cel.StringType)),
			cel.Variable("requester", cel.StringType),
			cel.Variable("now", cel.TimestampType))
	}),
}

func newEnv(variables ...cel.EnvOption) (*cel.Env, error) {
	return cel.NewEnv(append(variables,
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxCondition),
		cel.ParserRecursionLimit(maxDepth),
		cel.RegexProgramSizeLimit(maxRegex),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
			cel.ValidateRegexLiterals()),
	)...)
}

// condition compiles the expression in v. Equal expressions are compiled once.
func (r *reader) condition(v yamlfile.Value) *condition {
	source, ok := v.Lines()
	if !ok {
		return nil
	}
	if known, ok := r.conditions[source]; ok {
		return known
	}
	made := calls.compile(source, v)
	if made != nil {
		r.conditions[source] = made
	}
	return made
}

// compile notes what is wrong with an expression, and returns nil then.
func (l *language) compile(source string, v yamlfile.Value) (made *condition) {
	if len(source) > maxCondition {
		v.Problem(fmt.Sprintf("the %s is longer than %d bytes", l.noun, maxCondition), "split the rule in several")
		return nil
	}
	env, err := l.env()
	if err != nil {
		v.Problem(l.noun+"s can't be compiled: "+err.Error(), "this is a mistake in Pawl")
		return nil
	}
	// A panic of the compiler's must not end a worker that takes up a policy.
	defer func() {
		if recover() != nil {
			made = nil
			v.Problem("the "+l.noun+" can't be compiled", "write it in another way")
		}
	}()
	parsed, issues := env.Parse(source)
	checked := parsed
	if issues.Err() == nil {
		if nesting(parsed) > maxComprehensions {
			v.Problem(fmt.Sprintf("all, exists, map and filter are nested deeper than %d", maxComprehensions),
				"make it simpler")
			return nil
		}
		checked, issues = env.Check(parsed)
	}
	if issues.Err() != nil {
		errs := issues.Errors()
		// After a = the parser complains of what follows, too.
		isAssignment := func(e *cel.Error) bool { return strings.Contains(e.Message, assigned) }
		if i := slices.IndexFunc(errs, isAssignment); i >= 0 {
			errs = errs[i : i+1]
		}
		for _, e := range errs {
			message, hint := l.problem(env, e.Message, source)
			if e.Location.Line() < 1 {
				v.Problem(message, hint)
				continue
			}
			v.Within(e.Location.Line(), e.Location.Column()+1, message, hint)
		}
		return nil
	}
	// What comes out of the arguments has a type only when the call is there.
	if out := checked.OutputType(); !out.IsExactType(l.gives) && !out.IsExactType(types.DynType) {
		v.Problem(fmt.Sprintf("the %s gives %s, must give %s", l.noun, out, l.must), l.hint)
		return nil
	}
	// Counting costs time, so it is done only where the limit can be reached.
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	estimate, err := env.EstimateCost(checked, largest{})
	if err != nil || estimate.Max > maxCost {
		options = append(options, cel.CostLimit(maxCost))
	}
	program, err := env.Program(checked, options...)
	if err != nil {
		v.Problem("the "+l.noun+" can't be compiled: "+approval.Display(err.Error(), 200),
			"write it in another way")
		return nil
	}
	if estimate.Min > maxCost {
		v.Problem("the "+l.noun+" always takes too long", "make it simpler")
	}
	made = &condition{source: source, program: program, counted: len(options) > 1, names: map[string]bool{}}
	if made.inspect(checked.NativeRep().Expr()); made.openPattern {
		v.Problem("the pattern of matches is not written out",
			"write it as one text: args.path.matches(\"^/tmp/\")")
		return nil
	}
	if !checkZones(v, checked.NativeRep()) {
		return nil
	}
	made.remarks = remarksOf(checked.NativeRep().Expr())
	made.folded = make(map[string]string, len(made.names))
	for name := range made.names {
		made.folded[strictjson.Fold(name)] = name
	}
	return made
}

// nesting is how deep macros like all and exists stand inside each other.
func nesting(parsed *cel.Ast) int {
	most := 0
	comprehensions := celast.KindMatcher(celast.ComprehensionKind)
	for _, e := range celast.MatchDescendants(celast.NavigateAST(parsed.NativeRep()), comprehensions) {
		depth := 1
		for outer, ok := e.Parent(); ok; outer, ok = outer.Parent() {
			if outer.Kind() == celast.ComprehensionKind {
				depth++
			}
		}
		most = max(most, depth)
	}
	return most
}

// largest takes everything in a call to be as large as arguments may be.
type largest struct{}

func (largest) EstimateSize(cost.AstNode) *cost.SizeEstimate {
	return &cost.SizeEstimate{Max: approval.MaxArgs}
}

func (largest) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	misapplied = regexp.MustCompile(`^found no matching overload for '_?([^']*?)_?' applied to '(.*)'$`)
	expecting  = regexp.MustCompile(` expecting .*$`)
)

// assigned is in the parser's complaint of a single =.
const assigned = "token recognition error at: '="

// problem is what the compiler complains of in source, and how to mend it.
func (l *language) problem(env *cel.Env, message, source string) (string, string) {
	if strings.Contains(message, assigned) {
		return "a single = does not compare", "use == to compare"
	}
	hint := l.noun + "s are CEL over " + strings.Join(l.variables, ", ")
	message = strings.TrimPrefix(message, "Syntax error: ")
	if m := undeclared.FindStringSubmatch(message); m != nil {
		known := l.variables
		called := regexp.MustCompile(`(^|\W)` + regexp.QuoteMeta(m[1]) + `\s*\(`).MatchString(source)
		if called {
			known = slices.Sorted(maps.Keys(env.Functions()))
		}
		if near := yamlfile.Nearest(m[1], known); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		} else if !called {
			hint += "; " + l.field + approval.Display(m[1], 80)
		}
		return fmt.Sprintf("the %s knows no %q", l.noun, approval.Display(m[1], 80)), hint
	}
	if m := misapplied.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("the %s applies %s to %s", l.noun, m[1], approval.Display(m[2], 100)),
			"compare values of one type; numbers in " + l.free + " are doubles"
	}
	if message == "invalid matches argument" || strings.HasPrefix(message, "regex program size") {
		return "the pattern of matches is not a regular expression, or too large", re2
	}
	if strings.Contains(message, "recursion") {
		return "the " + l.noun + " is nested too deep", "split the rule in several"
	}
	if strings.HasPrefix(message, "mismatched input '<EOF>'") {
		return "the " + l.noun + " ends too early", hint
	}
	message = expecting.ReplaceAllString(message, "")
	return "the " + l.noun + " is not valid: " + approval.Display(message, 200), hint
}

// inspect notes what the expression has in it.
func (c *condition) inspect(e celast.Expr) {
	celast.PreOrderVisit(e, celast.NewExprVisitor(func(e celast.Expr) {
		switch e.Kind() {
		case celast.IdentKind:
			c.args = c.args || e.AsIdent() == "args"
			c.now = c.now || e.AsIdent() == "now"
			if name := e.AsIdent(); slices.Contains([]string{"agent", "team", "labels"}, name) &&
				!slices.Contains(c.caller, name) {
				c.caller = append(c.caller, name)
			}
		case celast.CallKind:
			args := e.AsCall().Args()
			c.openPattern = c.openPattern || e.AsCall().FunctionName() == "matches" &&
				args[len(args)-1].Kind() != celast.LiteralKind
		case celast.SelectKind:
			c.names[e.AsSelect().FieldName()] = true
		case celast.LiteralKind:
			if text, ok := e.AsLiteral().Value().(string); ok {
				c.names[text] = true
			}
		}
	}))
}

// holds says whether the condition holds for a call. If that can't be told, problem says why, and
// quotes nothing of the call. A field that it names and that is there in another case counts as the
// field, or with exactly keeps the answer from being told.
func (c *condition) holds(in *input, exactly bool) (held bool, problem string) {
	if c.args {
		if _, err := in.arguments(); err != nil {
			return false, err.Error()
		}
	}
	if c.counted && in.cost > maxCost {
		return false, tooLong
	}
	seen := in
	if names := c.misspelt(in); len(names) > 0 {
		if exactly {
			return false, "a field that it names is there in another case"
		}
		seen = in.respell(names)
	}
	out, details, err := c.program.Eval(seen)
	if c.counted {
		in.spend(details)
	}
	if err != nil {
		return false, c.explain(err)
	}
	value, ok := out.Value().(bool)
	if !ok {
		return false, "it gives neither true nor false"
	}
	return value, ""
}

// misspelt are the keys and labels of a call that differ from a field of the condition in case only,
// and that field for each.
func (c *condition) misspelt(in *input) map[string]string {
	names := map[string]string{}
	note := func(key, folded string) {
		if name, ok := c.folded[folded]; ok && name != key && !c.names[key] {
			names[key] = name
		}
	}
	if c.args {
		for i, folded := range in.foldedKeys() {
			note(in.raw.keys[i], folded)
		}
	}
	for label := range in.call.Labels {
		note(label, strictjson.Fold(label))
	}
	return names
}

const tooLong = "conditions take too long for these arguments"

var missingKey = regexp.MustCompile(`^no such key: (.*)$`)

// explain turns an evaluation's error, which may quote arguments, into what may be shown.
func (c *condition) explain(err error) string {
	text := err.Error()
	cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err)
	if ok && cancelled.Cause == interpreter.CostLimitExceeded {
		return tooLong
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
