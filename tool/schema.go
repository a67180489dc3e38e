package tool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/present"
	"github.com/pawlhq/pawl/strictjson"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

const (
	maxSchema = 64 << 10 // bytes

	// schemaURL is the base of references. It has a path, so that a relative reference leads away from
	// the schema and is refused.
	schemaURL = "pawl://tool/schema"

	draft = "https://json-schema.org/draft/2020-12/schema"
)

// schema is a compiled JSON Schema. It is immutable.
type schema struct {
	doc      json.RawMessage
	digest   string
	compiled *jsonschema.Schema
}

// noLoader keeps schemas from reading files and networks.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("only references inside the schema (#/$defs/…) are followed")
}

// IsOpen reports whether a schema takes arguments that it does not name. What can't be told counts
// as open.
func IsOpen(schema json.RawMessage) bool {
	var top struct {
		Additional  json.RawMessage `json:"additionalProperties"`
		Unevaluated json.RawMessage `json:"unevaluatedProperties"`
	}
	err := json.Unmarshal(schema, &top)
	return err != nil || string(top.Additional) != "false" && string(top.Unevaluated) != "false"
}

// CheckSchema refuses what Custom refuses as a schema. The error quotes no more of it than names.
func CheckSchema(doc json.RawMessage) error {
	_, err := compileSchema(doc)
	return err
}

func compileSchema(doc json.RawMessage) (s *schema, err error) {
	if len(bytes.TrimSpace(doc)) == 0 {
		return nil, errors.New(`it is missing; {"type": "object"} takes any arguments`)
	}
	if err := strictjson.CheckObject("it", doc, maxSchema); err != nil {
		return nil, err
	}
	// Plain float64 numbers, here and in check, keep big exponents from becoming big rationals;
	// CheckObject has refused what would be rounded.
	var top map[string]any
	if err := json.Unmarshal(doc, &top); err != nil {
		return nil, err
	}
	if top["type"] != "object" {
		return nil, errors.New(`it must say "type": "object" at the top: arguments are always an object`)
	}
	if dialect, said := top["$schema"]; said {
		if text, _ := dialect.(string); strings.TrimSuffix(text, "#") != draft {
			return nil, fmt.Errorf("its $schema is not JSON Schema 2020-12 (%s)", draft)
		}
	}
	compiled, err := compile(top)
	if err != nil {
		return nil, err
	}
	if err := present.CheckSchema(doc); err != nil {
		return nil, err
	}
	canonical, err := strictjson.Canonical(doc)
	if err != nil {
		return nil, fmt.Errorf("it has no canonical form: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return &schema{doc: slices.Clone(doc), digest: hex.EncodeToString(sum[:]), compiled: compiled}, nil
}

func compile(doc any) (compiled *jsonschema.Schema, err error) {
	defer func() { // the library panics on some malformed identifiers
		if recover() != nil {
			err = errors.New("it can't be compiled")
		}
	}()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.AssertFormat()
	if err := c.AddResource(schemaURL, doc); err != nil {
		return nil, err
	}
	compiled, err = c.Compile(schemaURL)
	var invalid *jsonschema.SchemaValidationError
	var details *jsonschema.ValidationError
	switch {
	case err == nil:
		return compiled, nil
	case errors.As(err, &invalid) && errors.As(invalid.Err, &details):
		return nil, fmt.Errorf("it is not a JSON Schema: %s", describe(details))
	}
	return nil, errors.New(approval.Display(err.Error(), 500))
}

// check returns an error with approval.CodeBadArguments, or nil.
func (s *schema) check(args json.RawMessage) error {
	var v any
	if err := json.Unmarshal(args, &v); err != nil {
		return badArguments("the arguments are not JSON")
	}
	err := s.compiled.Validate(v)
	var details *jsonschema.ValidationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &details):
		return badArguments("the arguments do not fit the tool's schema: %s", describe(details))
	}
	return badArguments("the arguments do not fit the tool's schema")
}

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
		return "is shorter than " + approval.Plural(k.Want, "character")
	case *kind.MaxLength:
		return "is longer than " + approval.Plural(k.Want, "character")
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
		return fmt.Sprintf("has %s, needs at least %d", approval.Plural(k.Got, "item"), k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has %s, takes at most %d", approval.Plural(k.Got, "item"), k.Want)
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
