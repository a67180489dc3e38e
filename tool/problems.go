package tool

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Bounds of one message. Runes where text is meant.
const (
	maxProblems     = 10
	maxListed       = 10
	maxAlternatives = 3
	maxShown        = 80
)

// describe lists what is wrong. The library's own texts quote the arguments' values, so messages
// are built here from the kinds, out of places, property names and the schema's words alone.
func describe(e *jsonschema.ValidationError) string {
	found := problems(e)
	slices.Sort(found) // the library walks maps, in random order
	found = slices.Compact(found)
	if more := len(found) - maxProblems; more > 0 {
		found = append(found[:maxProblems], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(found, "; ")
}

func problems(e *jsonschema.ValidationError) []string {
	switch e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		var all []string
		for _, cause := range e.Causes {
			all = append(all, problems(cause)...)
		}
		return all
	}
	return []string{place(e.InstanceLocation) + ": " + message(e)}
}

func place(location []string) string {
	if len(location) == 0 {
		return "at the top"
	}
	var b strings.Builder
	b.WriteString("at ")
	for _, token := range location {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(approval.Display(token, maxShown)))
	}
	return b.String()
}

func message(e *jsonschema.ValidationError) string {
	switch k := e.ErrorKind.(type) {
	case *kind.Type:
		return fmt.Sprintf("is %s, must be %s", typeName(k.Got), listed(k.Want, typeName, " or "))
	case *kind.Required:
		return "needs the property " + names(k.Missing)
	case *kind.AdditionalProperties:
		return "takes no property " + names(k.Properties)
	case *kind.FalseSchema:
		return "is not allowed here"
	case *kind.PropertyNames:
		return fmt.Sprintf("the property name %s is not allowed here", quote(k.Property))
	case *kind.DependentRequired:
		return fmt.Sprintf("has %s, so it also needs %s", quote(k.Prop), names(k.Missing))
	case *kind.Enum:
		return "must be one of " + listed(k.Want, schemaValue, ", ")
	case *kind.Const:
		return "must be " + schemaValue(k.Want)
	case *kind.Format:
		return "is not a valid " + approval.Display(k.Want, maxShown)
	case *kind.Pattern:
		return "does not match the pattern " + approval.Display(k.Want, maxShown)
	case *kind.MinLength:
		return fmt.Sprintf("is shorter than %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("is longer than %d characters", k.Want)
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be more than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("has %d items, needs at least %d", k.Got, k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has %d items, takes at most %d", k.Got, k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("items %d and %d are equal", k.Duplicates[0], k.Duplicates[1])
	case *kind.AnyOf:
		return "fits none of the alternatives" + alternatives(e.Causes)
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			return fmt.Sprintf("fits alternatives %d and %d, must fit exactly one", k.Subschemas[0], k.Subschemas[1])
		}
		return "fits none of the alternatives" + alternatives(e.Causes)
	case *kind.Not:
		return "is what the schema forbids (not)"
	case nil:
		return "does not fit the schema"
	default:
		if rule := k.KeywordPath(); len(rule) > 0 {
			return "breaks the schema's rule " + approval.Display(strings.Join(rule, "/"), maxShown)
		}
		return "does not fit the schema"
	}
}

// alternatives says, for each of the first ones, the first reason against it.
func alternatives(causes []*jsonschema.ValidationError) string {
	var reasons []string
	for _, cause := range causes {
		if found := problems(cause); len(found) > 0 {
			slices.Sort(found)
			reasons = append(reasons, found[0])
		}
	}
	reasons = slices.Compact(reasons)
	if len(reasons) == 0 {
		return ""
	}
	if more := len(reasons) - maxAlternatives; more > 0 {
		reasons = append(reasons[:maxAlternatives], fmt.Sprintf("%d more", more))
	}
	return " (" + strings.Join(reasons, " | ") + ")"
}

func typeName(t string) string {
	switch t {
	case "array":
		return "a list"
	case "object", "integer":
		return "an " + t
	case "null":
		return t
	}
	return "a " + t
}

// schemaValue shows a value that stands in the schema.
func schemaValue(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "the schema's value"
	}
	return approval.Display(string(text), maxShown)
}

func number(r *big.Rat) string {
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func names(all []string) string {
	all = slices.Sorted(slices.Values(all))
	return listed(all, quote, ", ")
}

func quote(name string) string { return `"` + approval.Display(name, maxShown) + `"` }

func listed[T any](all []T, show func(T) string, separator string) string {
	var shown []string
	for _, v := range all[:min(len(all), maxListed)] {
		shown = append(shown, show(v))
	}
	text := strings.Join(shown, separator)
	if more := len(all) - maxListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
