package tool_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/tool"
)

func nothing(context.Context, tool.Invocation) (json.RawMessage, error) { return nil, nil }

func withSchema(t testing.TB, schema string) *tool.Tool {
	t.Helper()
	made, err := tool.Custom("charge_card", json.RawMessage(schema), nothing, tool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestSchemasThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ schema, want string }{
		"missing":           {``, "it is missing"},
		"not JSON":          {`{"type": "object"`, "ends too early"},
		"not an object":     {`true`, "must be a JSON object"},
		"no type":           {`{"properties": {}}`, `"type": "object" at the top`},
		"several types":     {`{"type": ["object", "null"]}`, `"type": "object" at the top`},
		"duplicate key":     {`{"type": "object", "type": "object"}`, "is given twice"},
		"too big":           {`{"type": "object", "description": "` + strings.Repeat("x", 64<<10) + `"}`, "at most 65536"},
		"not a schema":      {`{"type": "object", "properties": {"a": {"minLength": "1"}}}`, "/properties/a/minLength: is a string"},
		"unknown type":      {`{"type": "object", "properties": {"a": {"type": "money"}}}`, "/properties/a/type"},
		"bad pattern":       {`{"type": "object", "properties": {"a": {"pattern": "("}}}`, "pattern"},
		"other draft":       {`{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}`, "2020-12"},
		"other $schema":     {`{"$schema": 7, "type": "object"}`, "2020-12"},
		"file reference":    {`{"type": "object", "properties": {"a": {"$ref": "file:///etc/hostname"}}}`, "only references inside the schema"},
		"remote reference":  {`{"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/s.json"}}}`, "only references inside the schema"},
		"relative path":     {`{"type": "object", "properties": {"a": {"$ref": "other.json"}}}`, "only references inside the schema"},
		"reference by id":   {`{"$id": "https://schemas.example/a", "type": "object", "properties": {"a": {"$ref": "b"}}}`, "only references inside the schema"},
		"dangling":          {`{"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}`, "not found"},
		"two of one id":     {`{"type": "object", "$defs": {"a": {"$id": "x"}, "b": {"$id": "x"}}}`, "duplicate"},
		"unreadable id":     {`{"type": "object", "$id": "http://%zz"}`, ""},
		"number too big":    {`{"type": "object", "minProperties": 1e400}`, "too large"},
		"remote metaschema": {`{"type": "object", "$defs": {"a": {"$id": "x", "$schema": "http://127.0.0.1:9/m"}}}`, "only references inside the schema"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tool.Custom("charge_card", json.RawMessage(c.schema), nothing, tool.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
			if approval.CodeOf(err) != approval.CodeInvalid || !strings.HasPrefix(err.Error(), `tool "charge_card": schema: `) {
				t.Errorf("error %q (%s) does not name its place", err, approval.CodeOf(err))
			}
		})
	}
}

func TestSchemaInsideReferences(t *testing.T) {
	made := withSchema(t, `{"type": "object", "properties": {"a": {"$ref": "#/$defs/short"}}, "$defs": {"short": {"maxLength": 2}}}`)
	if err := made.CheckArgs(json.RawMessage(`{"a": "xy"}`)); err != nil {
		t.Error(err)
	}
	if err := made.CheckArgs(json.RawMessage(`{"a": "xyz"}`)); err == nil {
		t.Error("the referenced schema is not applied")
	}
}

func TestSchemaDigestFollowsContent(t *testing.T) {
	one := withSchema(t, `{"type": "object", "properties": {"a": {"maximum": 10}}}`)
	same := withSchema(t, "{\n \"properties\": {\"a\": {\"maximum\": 1e1}}, \"type\": \"object\"}")
	other := withSchema(t, `{"type": "object", "properties": {"a": {"maximum": 11}}}`)
	if one.SchemaDigest() != same.SchemaDigest() {
		t.Error("layout changes the digest")
	}
	if one.SchemaDigest() == other.SchemaDigest() || len(one.SchemaDigest()) != 64 {
		t.Errorf("digest %q does not follow the content", one.SchemaDigest())
	}
	one.Schema()[0] = 'x'
	if one.Schema()[0] != '{' {
		t.Error("the schema can be changed from outside")
	}
}

// Every keyword that quotes values in the library's own texts is here.
func TestProblemsNameThePlaceAndNeverTheValue(t *testing.T) {
	const secret = "s3cr3t"
	for name, c := range map[string]struct{ schema, args, want string }{
		"type":             {`{"type": "object", "properties": {"a": {"type": ["number", "null"]}}}`, `{"a": "s3cr3t"}`, "at /a: is a string, must be null or a number"},
		"enum":             {`{"type": "object", "properties": {"a": {"enum": ["eur", 1]}}}`, `{"a": "s3cr3t"}`, `at /a: must be one of "eur", 1`},
		"const":            {`{"type": "object", "properties": {"a": {"const": {"b": 1}}}}`, `{"a": "s3cr3t"}`, `at /a: must be {"b":1}`},
		"pattern":          {`{"type": "object", "properties": {"a": {"pattern": "^x+$"}}}`, `{"a": "s3cr3t"}`, `at /a: does not match the pattern ^x+$`},
		"email":            {`{"type": "object", "properties": {"a": {"format": "email"}}}`, `{"a": "s3cr3t"}`, "at /a: is not a valid email"},
		"uri":              {`{"type": "object", "properties": {"a": {"format": "uri"}}}`, `{"a": "http://s3cr3t:%zz"}`, "at /a: is not a valid uri"},
		"date-time":        {`{"type": "object", "properties": {"a": {"format": "date-time"}}}`, `{"a": "s3cr3t-s3cr3t-s3cr3t"}`, "at /a: is not a valid date-time"},
		"regex":            {`{"type": "object", "properties": {"a": {"format": "regex"}}}`, `{"a": "(s3cr3t"}`, "at /a: is not a valid regex"},
		"minLength":        {`{"type": "object", "properties": {"a": {"minLength": 9}}}`, `{"a": "s3cr3t"}`, "at /a: is shorter than 9 characters"},
		"maximum":          {`{"type": "object", "properties": {"a": {"maximum": 9.5}}}`, `{"a": 73331}`, "at /a: must be at most 9.5"},
		"multipleOf":       {`{"type": "object", "properties": {"a": {"multipleOf": 0.01}}}`, `{"a": 7.3331}`, "at /a: must be a multiple of 0.01"},
		"required":         {`{"type": "object", "required": ["b", "a"]}`, `{"c": "s3cr3t"}`, `at the top: needs the property "a", "b"`},
		"additional":       {`{"type": "object", "additionalProperties": false}`, `{"z": "s3cr3t", "y": "s3cr3t"}`, `at the top: takes no property "y", "z"`},
		"unevaluated":      {`{"type": "object", "unevaluatedProperties": false}`, `{"z": "s3cr3t"}`, `at /z: is not allowed here`},
		"propertyNames":    {`{"type": "object", "propertyNames": {"maxLength": 1}}`, `{"long": "s3cr3t"}`, `at the top: the property name "long" is not allowed here`},
		"uniqueItems":      {`{"type": "object", "properties": {"a": {"uniqueItems": true}}}`, `{"a": ["s3cr3t", "s3cr3t"]}`, "at /a: items 0 and 1 are equal"},
		"contains":         {`{"type": "object", "properties": {"a": {"contains": {"const": 1}}}}`, `{"a": ["s3cr3t"]}`, "at /a: breaks the schema's rule contains"},
		"not":              {`{"type": "object", "properties": {"a": {"not": {"type": "string"}}}}`, `{"a": "s3cr3t"}`, "at /a: is what the schema forbids (not)"},
		"anyOf":            {`{"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"pattern": "x"}]}}}`, `{"a": "s3cr3t"}`, "at /a: fits none of the alternatives (at /a: is a string, must be null | at /a: does not match the pattern x)"},
		"oneOf":            {`{"type": "object", "properties": {"a": {"oneOf": [{}, {"type": "string"}]}}}`, `{"a": "s3cr3t"}`, "at /a: fits alternatives 0 and 1, must fit exactly one"},
		"allOf and $ref":   {`{"type": "object", "allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"properties": {"a": {"type": "null"}}}}}`, `{"a": "s3cr3t"}`, "at /a: is a string, must be null"},
		"dependent":        {`{"type": "object", "dependentRequired": {"a": ["b"]}}`, `{"a": "s3cr3t"}`, `at the top: has "a", so it also needs "b"`},
		"pointer escapes":  {`{"type": "object", "properties": {"a/b": {"type": "array", "items": {"type": "null"}}}}`, `{"a/b": [null, "s3cr3t"]}`, "at /a~1b/1: is a string, must be null"},
		"hidden character": {`{"type": "object", "additionalProperties": false}`, "{\"a\u202e\": \"s3cr3t\"}", `takes no property "a\u{202E}"`},
		"long name":        {`{"type": "object", "additionalProperties": false}`, `{"` + strings.Repeat("n", 200) + `": 1}`, `(120 bytes more)`},
		"reference cycle":  {`{"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}`, `{"a": "s3cr3t"}`, "at the top: does not fit the schema"},
		"limits":           {`{"type": "object"}`, `{"a": 9007199254740993}`, "beyond 2^53"},
		"duplicate key":    {`{"type": "object"}`, `{"a": 1, "a": "s3cr3t"}`, "is given twice"},
		"not an object":    {`{"type": "object"}`, `["s3cr3t"]`, "must be a JSON object"},
		"nothing":          {`{"type": "object"}`, ``, "ends too early"},
		"too big":          {`{"type": "object"}`, `{"a": "` + strings.Repeat("s3cr3t", approval.MaxArgs) + `"}`, "at most 262144"},
	} {
		t.Run(name, func(t *testing.T) {
			err := withSchema(t, c.schema).CheckArgs(json.RawMessage(c.args))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v\nwant an error with %q", err, c.want)
			}
			if code := approval.CodeOf(err); code != approval.CodeBadArguments {
				t.Errorf("code %s", code)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "7333") || strings.Contains(err.Error(), "9007") {
				t.Errorf("the error quotes a value: %v", err)
			}
		})
	}
}

func TestProblemsComeAtOnceInOrderAndBounded(t *testing.T) {
	made := withSchema(t, `{"type": "object", "additionalProperties": {"type": "null"}}`)
	few := json.RawMessage(`{"c": 1, "a": "x", "b": true}`)
	for range 20 { // the library walks maps
		got := made.CheckArgs(few).Error()
		const want = "the arguments do not fit the tool's schema: at /a: is a string, must be null; at /b: is a boolean, must be null; at /c: is a number, must be null"
		if got != want {
			t.Fatalf("got %s", got)
		}
	}
	many := map[string]int{}
	for i := range 500 {
		many[fmt.Sprintf("p%03d", i)] = i
	}
	args, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	got := made.CheckArgs(args).Error()
	if strings.Count(got, "at /") != 10 || !strings.HasSuffix(got, "; and 490 more") {
		t.Errorf("not bounded to ten: %s", got)
	}
}

func TestNumbersCostNoMoreThanTheirSize(t *testing.T) {
	made := withSchema(t, `{"type": "object", "properties": {"a": {"items": {"type": "integer", "multipleOf": 3}}}}`)
	// As exact rationals each of these would have a million digits.
	args := `{"a": [` + strings.TrimSuffix(strings.Repeat("1e-1000000,", 20_000), ",") + `]}`
	if err := made.CheckArgs(json.RawMessage(args)); err != nil {
		t.Errorf("a float64 zero is an integer: %v", err)
	}
}

func FuzzCheckArgs(f *testing.F) {
	const secret = "planted-s3cr3t"
	for _, seed := range [][2]string{
		{`{"type": "object"}`, `{"a": 1}`},
		{`{"type": "object", "properties": {"a": {"type": "number"}}, "additionalProperties": false}`, `{"a": "planted-s3cr3t"}`},
		{`{"type": "object", "properties": {"a": {"enum": ["x", {"y": 1}]}}}`, `{"a": "planted-s3cr3t"}`},
		{`{"type": "object", "properties": {"a": {"format": "email"}}}`, `{"a": "planted-s3cr3t@["}`},
		{`{"type": "object", "properties": {"a": {"format": "time"}, "b": {"format": "date-time"}, "c": {"format": "uri-template"}}}`, `{"a": "12:00:00+1:2:3", "b": "2006-01-02Tplanted-s3cr3t", "c": "{planted-s3cr3t%zz"}`},
		{`{"type": "object", "properties": {"a": {"format": "period"}, "b": {"format": "ipv6"}, "c": {"format": "duration"}}}`, `{"a": "P/planted-s3cr3t", "b": "::planted-s3cr3t", "c": "Pplanted-s3cr3t"}`},
		{`{"type": "object", "properties": {"a": {"pattern": "^(a|b)*$"}}}`, `{"a": "planted-s3cr3t"}`},
		{`{"type": "object", "oneOf": [{"required": ["a"]}, {"$ref": "#/$defs/b"}], "$defs": {"b": {"properties": {"c": {"const": 1}}}}}`, `{"a": 1, "c": ["planted-s3cr3t"]}`},
		{`{"type": "object", "properties": {"a": {"uniqueItems": true, "contains": {"type": "null"}}}}`, `{"a": ["planted-s3cr3t", "planted-s3cr3t"]}`},
		{`{"type": "object", "unevaluatedProperties": false, "if": {"required": ["a"]}, "then": {"properties": {"a": {"multipleOf": 0.1}}}}`, `{"a": 0.35, "b": "planted-s3cr3t"}`},
		{`{"type": "object", "$dynamicRef": "#x", "$defs": {"x": {"$dynamicAnchor": "x", "minProperties": 2}}}`, `{"a": "planted-s3cr3t"}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, schema, args string) {
		made, err := tool.Custom("fuzzed", json.RawMessage(schema), nothing, tool.Options{})
		if err != nil {
			return
		}
		err = made.CheckArgs(json.RawMessage(args))
		if err == nil {
			if !json.Valid([]byte(args)) {
				t.Fatalf("took what is not JSON: %q", args)
			}
			return
		}
		if approval.CodeOf(err) != approval.CodeBadArguments {
			t.Errorf("code %s: %v", approval.CodeOf(err), err)
		}
		// Names may be shown, and so may the schema: only values are secret.
		if !strings.Contains(schema, secret) && !keyHolds(args, secret) && strings.Contains(err.Error(), secret) {
			t.Errorf("the error quotes a value: %v", err)
		}
	})
}

// keyHolds reports whether a property name of the JSON text, or text that is not JSON, holds s.
func keyHolds(doc, s string) bool {
	var v any
	if json.Unmarshal([]byte(doc), &v) != nil {
		return strings.Contains(doc, s)
	}
	var walk func(any) bool
	walk = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				if strings.Contains(k, s) || walk(e) {
					return true
				}
			}
		case []any:
			for _, e := range v {
				if walk(e) {
					return true
				}
			}
		}
		return false
	}
	return walk(v)
}
