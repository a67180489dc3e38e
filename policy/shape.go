package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // so that all machines know the same zones

	celast "cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// dateParts are the functions of a time that take a time zone.
var dateParts = []string{
	"getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds",
	"getMinutes", "getMonth", "getSeconds",
}

var zoneOffset = regexp.MustCompile(`^[+-]?([01]?[0-9]|2[0-3]):[0-5][0-9]$`)

// checkZones notes time zones that can't be told. Without this the condition would fail for every
// call, and a deny with it would never deny.
func checkZones(v yamlfile.Value, ast *celast.AST) (ok bool) {
	ok = true
	celast.PreOrderVisit(ast.Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		if e.Kind() != celast.CallKind || !slices.Contains(dateParts, e.AsCall().FunctionName()) ||
			len(e.AsCall().Args()) == 0 {
			return
		}
		zone := e.AsCall().Args()[0]
		if problem := zoneProblem(zone); problem != "" {
			at := ast.SourceInfo().GetStartLocation(zone.ID())
			v.Within(at.Line(), at.Column()+1, problem,
				`write a name of the IANA database, "Europe/Berlin" or "UTC", or an offset like "+02:00"`)
			ok = false
		}
	}))
	return ok
}

func zoneProblem(zone celast.Expr) string {
	if zone.Kind() != celast.LiteralKind {
		return "the time zone is not written out"
	}
	name, _ := zone.AsLiteral().Value().(string)
	if name == "" || name == "Local" {
		return fmt.Sprintf("the time zone %q is another one on each machine", name)
	}
	if zoneOffset.MatchString(name) {
		return ""
	}
	if _, err := time.LoadLocation(name); err != nil {
		return fmt.Sprintf("the time zone %q is not known", approval.Display(name, 80))
	}
	return ""
}

// shape is what an expression has in it that is hardly meant where it allows.
type shape struct {
	above, below map[string]bool // what is compared with a number, by what bounds it
	paths        []string        // of both, in order
	remarks      []remark
}

type remark struct{ message, hint string }

// remarksOf are the remarks on an expression that lets calls run.
func remarksOf(e celast.Expr) []remark {
	s := shape{above: map[string]bool{}, below: map[string]bool{}}
	s.visit(e, false)
	for _, path := range s.paths {
		switch {
		case !s.below[path]:
			s.add(fmt.Sprintf("%s has no lower bound here: negative numbers are allowed, too", path),
				fmt.Sprintf("bound it on both sides: %s >= 0 && …", path))
		case !s.above[path]:
			s.add(fmt.Sprintf("%s has no upper bound here: any larger number is allowed, too", path),
				fmt.Sprintf("bound it on both sides: %s <= 100 && …", path))
		}
	}
	return s.remarks
}

func (s *shape) add(message, hint string) { s.remarks = append(s.remarks, remark{message, hint}) }

// visit goes through what decides whether an expression is true. negated is whether it must be false
// for that.
func (s *shape) visit(e celast.Expr, negated bool) {
	if e.Kind() == celast.ComprehensionKind { // all, exists
		s.visit(e.AsComprehension().LoopStep(), negated)
		return
	}
	if e.Kind() != celast.CallKind {
		return
	}
	name, args := e.AsCall().FunctionName(), e.AsCall().Args()
	switch name {
	case operators.LogicalNot:
		s.visit(args[0], !negated)
	case operators.LogicalAnd, operators.LogicalOr:
		s.visit(args[0], negated)
		s.visit(args[1], negated)
	case operators.Conditional:
		// What comes of it decides, and so does the question, unless the answer to it can't.
		for i, answer := range args[1:] {
			s.visit(answer, negated)
			if never := answer.Kind() == celast.LiteralKind && answer.AsLiteral().Value() == negated; !never {
				s.visit(args[0], i == 1)
			}
		}
	case operators.Equals, operators.In, operators.NotEquals:
		if (name == operators.NotEquals) == negated {
			s.bound(args[0], true, true)
			s.bound(args[1], true, true)
			return
		}
		s.excludes()
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		upper := name == operators.Less || name == operators.LessEquals
		switch upper = upper != negated; {
		case isNumber(args[1]):
			s.bound(args[0], upper, !upper)
		case isNumber(args[0]):
			s.bound(args[1], !upper, upper)
		case ofCall(args[0]) && ofCall(args[1]):
			s.add("what the call says is compared with what the call says itself: it can be any number",
				"compare it with a number: args.amount >= 0 && args.amount <= 100")
		}
	case "contains", "startsWith", "endsWith", "matches":
		if negated {
			s.excludes()
			return
		}
		if text, ok := literalText(args[len(args)-1]); ok && name == "matches" && !anchoredText(text) {
			s.add("the pattern of matches may match a part of a text, whatever the rest says",
				"write it as ^…$, to match whole texts only")
		}
	}
}

func (s *shape) excludes() {
	s.add("what is excluded here allows everything else: other types and spellings, too",
		`allow what you want: args.env in ["dev", "test"]`)
}

// ofCall reports whether a number is what the call says, as it is or as a number of another type.
func ofCall(e celast.Expr) bool {
	if e.Kind() == celast.CallKind && slices.Contains(conversions, e.AsCall().FunctionName()) {
		e = e.AsCall().Args()[0]
	}
	path := pathOf(e)
	return strings.HasPrefix(path, "args.") || strings.HasPrefix(path, "labels.")
}

var (
	conversions = []string{"double", "int", "uint"}
	arithmetic  = []string{operators.Add, operators.Subtract, operators.Multiply, operators.Divide}
)

// bound notes that something is bounded, also by what is computed from it.
func (s *shape) bound(e celast.Expr, above, below bool) {
	if e.Kind() == celast.CallKind {
		args := e.AsCall().Args()
		switch name := e.AsCall().FunctionName(); {
		case slices.Contains(conversions, name):
			s.bound(args[0], above, below)
			return
		case name == operators.Negate:
			s.bound(args[0], below, above)
			return
		case slices.Contains(arithmetic, name):
			s.bound(args[0], above, below)
			if name == operators.Subtract {
				above, below = below, above
			}
			s.bound(args[1], above, below)
			return
		}
	}
	path := pathOf(e)
	if path == "" {
		return
	}
	if !slices.Contains(s.paths, path) {
		s.paths = append(s.paths, path)
	}
	s.above[path] = s.above[path] || above
	s.below[path] = s.below[path] || below
}

// pathOf is a field as it is written, args.lines[0].price, or nothing for another expression.
func pathOf(e celast.Expr) string {
	switch e.Kind() {
	case celast.IdentKind:
		return e.AsIdent()
	case celast.SelectKind:
		if of := pathOf(e.AsSelect().Operand()); of != "" && !e.AsSelect().IsTestOnly() {
			return of + "." + approval.Display(e.AsSelect().FieldName(), 80)
		}
	case celast.CallKind:
		if call := e.AsCall(); call.FunctionName() == operators.Index {
			of, key := pathOf(call.Args()[0]), call.Args()[1]
			if text, ok := literalText(key); ok && of != "" {
				return of + "." + approval.Display(text, 80)
			}
			if of != "" && key.Kind() == celast.LiteralKind {
				return fmt.Sprintf("%s[%v]", of, key.AsLiteral().Value())
			}
		}
	}
	return ""
}

func isNumber(e celast.Expr) bool {
	if e.Kind() != celast.LiteralKind {
		return false
	}
	switch e.AsLiteral().Value().(type) {
	case int64, uint64, float64:
		return true
	}
	return false
}

func literalText(e celast.Expr) (string, bool) {
	if e.Kind() != celast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().Value().(string)
	return text, ok
}
