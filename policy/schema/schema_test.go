package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policytest"
	"github.com/pawlhq/pawl/policy/schema"
)

func decode(t *testing.T, text string) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func compiled(t *testing.T, text string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("schema.json", decode(t, text)); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// document reads YAML as editors would; false if it is none that Pawl reads.
func document(t *testing.T, data []byte) (any, bool) {
	t.Helper()
	var problems yamlfile.Problems
	doc, ok := yamlfile.Parse("f", data, &problems).JSON()
	if !ok || problems.Err() != nil {
		return nil, false
	}
	return decode(t, string(doc)), true
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func glob(t *testing.T, patterns ...string) []string {
	t.Helper()
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("no file fits %s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	return files
}

var snippet = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

// Whatever loads is valid to editors, too: examples, the documentation's snippets and the loader's
// own test files.
func TestWhatLoadsIsValid(t *testing.T) {
	texts := map[string][]byte{}
	for _, path := range glob(t, "../testdata/*.yaml", "../../examples/policy.yaml", "../../examples/policy/*.yaml", "../../examples/policy/ready/*.yaml", "../../examples/typescript/policy.yaml") {
		texts[path] = read(t, path)
	}
	for _, path := range append(glob(t, "../../docs/*.md"), "../../README.md") {
		for i, m := range snippet.FindAllSubmatch(read(t, path), -1) {
			texts[fmt.Sprintf("%s %d", path, i)] = m[1]
		}
	}
	policies, suites := compiled(t, schema.Policy), compiled(t, schema.Suite)
	valid := map[string]int{}
	for name, data := range texts {
		kind, s := "policy", policies
		_, err := policy.Inspect(policy.File{Name: "f.yaml", Data: data})
		if err != nil {
			kind, s = "suite", suites
			_, err = policytest.Parse("f.yaml", data)
		}
		doc, ok := document(t, data)
		if err != nil || !ok {
			continue
		}
		valid[kind]++
		if err := s.Validate(doc); err != nil {
			t.Errorf("%s loads as a %s, and its schema refuses it: %v", name, kind, err)
		}
	}
	if valid["policy"] < 5 || valid["suite"] < 1 {
		t.Errorf("too little was tried: %v", valid)
	}
}

// What editors can tell, they do: unknown fields and wrong types in the loader's test files.
func TestUnknownFieldsAndWrongTypesAreInvalid(t *testing.T) {
	s, tried := compiled(t, schema.Policy), 0
	for _, golden := range glob(t, "../testdata/*.golden") {
		problems := string(read(t, golden))
		doc, ok := document(t, read(t, strings.TrimSuffix(golden, ".golden")+".yaml"))
		if !ok || !strings.Contains(problems, ": unknown field ") && !strings.Contains(problems, ", must be ") {
			continue
		}
		tried++
		if err := s.Validate(doc); err == nil {
			t.Errorf("%s: the schema takes what the loader refuses", golden)
		}
	}
	if tried == 0 {
		t.Error("nothing was tried")
	}
}

// place is an object with known fields: YAML that has it, with %s for one more field, and where the
// schema describes it.
type place struct{ yaml, pointer string }

var policyPlaces = []place{
	{"{rules: [], %s: 1}", ""},
	{"{rules: [], applies_to: {agent: a, %s: 1}}", "/properties/applies_to"},
	{"{rules: [{tool: a, %s: 1}]}", "/$defs/rule"},
	{"{rules: [{tool: a, approvals: [{count: 1, %s: 1}]}]}", "/$defs/approvals/anyOf/1/items"},
	{"{rules: [{tool: a, stages: [{approvals: 1, %s: 1}]}]}", "/$defs/stages/items"},
	{"{rules: [{tool: a, escalate: {after: 1m, to: b, %s: 1}}]}", "/$defs/escalation"},
	{"{rules: [{tool: a, grant: {max: 1m, %s: 1}}]}", "/$defs/grant"},
	{"{allow: [{capability: a, fields: {b: {%s: 1}}}]}", "/$defs/capability/anyOf/1/properties/fields/additionalProperties"},
}

var suitePlaces = []place{
	{"{policy: [a], tests: [], %s: 1}", ""},
	{"{policy: [a], tests: [{%s: 1}]}", "/properties/tests/items"},
	{"{policy: [a], calls: [{%s: 1}]}", "/properties/calls/items"},
	{"{policy: [a], calls: [{call: {tool: a, %s: 1}}]}", "/$defs/call"},
	{"{policy: [a], tests: [{expect: {verdict: allow, %s: 1}}]}", "/$defs/expect"},
}

var known = regexp.MustCompile(`the fields here are ([a-z_, ]+)`)

// The loader names all fields that it knows when it refuses one that nothing is near to. They are
// those of the schema.
func TestFieldsAreInStep(t *testing.T) {
	stranger := strings.Repeat("x", 50)
	for _, c := range []struct {
		schema string
		places []place
		more   []string // pointers of objects that are checked elsewhere
		load   func([]byte) error
	}{
		{schema.Policy, policyPlaces, nil, func(data []byte) error {
			_, err := policy.Inspect(policy.File{Name: "f.yaml", Data: data})
			return err
		}},
		{schema.Suite, suitePlaces, requirementPointers(), func(data []byte) error {
			_, err := policytest.Parse("f.yaml", data)
			return err
		}},
	} {
		root := decode(t, c.schema)
		pointers := slices.Clone(c.more)
		for _, p := range c.places {
			pointers = append(pointers, p.pointer)
			err := c.load(fmt.Appendf(nil, p.yaml, stranger))
			m := known.FindStringSubmatch(fmt.Sprint(err))
			if m == nil {
				t.Errorf("%s: the loader does not say which fields it knows: %v", p.yaml, err)
				continue
			}
			loader := slices.Sorted(slices.Values(strings.Split(m[1], ", ")))
			if fields := properties(at(root, p.pointer)); !slices.Equal(loader, fields) {
				t.Errorf("%q: the loader knows\n%q, the schema\n%q", p.pointer, loader, fields)
			}
		}
		for _, pointer := range closed("", root) {
			if !slices.Contains(pointers, pointer) {
				t.Errorf("the fields at %q are not compared with the loader's", pointer)
			}
		}
	}
}

// A suite's requirement has the fields of a verdict's.
func TestRequirementIsInStep(t *testing.T) {
	root := decode(t, schema.Suite)
	for pointer, typ := range requirementTypes {
		var want []string
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			want = append(want, name)
		}
		slices.Sort(want)
		if got := properties(at(root, pointer)); !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %q, the verdict %q", pointer, got, want)
		}
	}
}

const inRequirement = "/$defs/expect/properties/requirement"

var requirementTypes = map[string]reflect.Type{
	inRequirement: reflect.TypeFor[approval.Requirement](),
	inRequirement + "/properties/stages/items":   reflect.TypeFor[approval.Stage](),
	inRequirement + "/properties/escalate/items": reflect.TypeFor[approval.Escalation](),
	inRequirement + "/properties/grant":          reflect.TypeFor[approval.Grant](),
	"/$defs/approvals/items":                     reflect.TypeFor[approval.Approvals](),
}

func requirementPointers() []string { return slices.Collect(maps.Keys(requirementTypes)) }

// In a section's entry every name is a field to compare, but for the words that mean more: the
// terms of every rule, and some that are refused.
func TestSectionWordsAreInStep(t *testing.T) {
	root := decode(t, schema.Policy)
	entry := at(root, "/$defs/capability/anyOf/1")
	words := entry["properties"].(map[string]any)
	for _, field := range properties(at(root, "/$defs/rule")) {
		switch field {
		case "tool", "require_approval", "auto_approve", "audit", "deny": // the section says it
		default:
			if _, ok := words[field]; !ok {
				t.Errorf("a rule's %s is not a word of sections in the schema", field)
			}
		}
	}
	s := compiled(t, schema.Policy)
	for word, sub := range words {
		text := fmt.Sprintf("{require_approval: [{capability: a, %s: {}}]}", word)
		if word == "capability" {
			text = "{require_approval: [{capability: {}}]}"
		}
		if sub == false {
			text = fmt.Sprintf("{require_approval: [{capability: a, %s: b}]}", word)
		}
		doc, ok := document(t, []byte(text))
		if !ok {
			t.Fatal(text)
		}
		_, err := policy.Inspect(policy.File{Name: "f.yaml", Data: []byte(text)})
		if _, ok := errors.AsType[yamlfile.Problems](err); !ok || s.Validate(doc) == nil {
			t.Errorf("%s: loader %v, schema %v: both must refuse it", text, err, s.Validate(doc))
		}
	}
}

// at follows a JSON pointer without escapes.
func at(root any, pointer string) map[string]any {
	for _, key := range strings.Split(pointer, "/")[1:] {
		switch v := root.(type) {
		case map[string]any:
			root = v[key]
		case []any:
			root = v[key[0]-'0']
		}
	}
	return root.(map[string]any)
}

func properties(object map[string]any) []string {
	of, _ := object["properties"].(map[string]any)
	return slices.Sorted(maps.Keys(of))
}

// closed returns where the schema describes an object that takes no other fields.
func closed(pointer string, v any) []string {
	var out []string
	switch v := v.(type) {
	case map[string]any:
		if v["additionalProperties"] == false {
			out = append(out, pointer)
		}
		for key, e := range v {
			out = append(out, closed(pointer+"/"+key, e)...)
		}
	case []any:
		for i, e := range v {
			out = append(out, closed(fmt.Sprintf("%s/%d", pointer, i), e)...)
		}
	}
	return out
}

func TestSchemasAreJSON(t *testing.T) {
	for _, text := range []string{schema.Policy, schema.Suite} {
		if !json.Valid([]byte(text)) || !strings.HasSuffix(text, "}\n") {
			t.Error("not a JSON text that ends with a line")
		}
	}
}
