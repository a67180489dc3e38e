package tool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
	"github.com/santhosh-tekuri/jsonschema/v6"
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
