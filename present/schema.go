package present

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
)

// Keywords in the schema of an operator's tool that say how its calls are shown.
const (
	KeywordSummary = "x-pawl-summary"     // at the top: the line that says what a call does
	KeywordAs      = "x-pawl-as"          // of a property: one of Presentations
	KeywordMinor   = "x-pawl-minor-units" // of a property: true if it counts cents or the like
)

// Presentations are what KeywordAs may say.
var Presentations = []string{"text", "code", "shell", "sql", "diff", "url", "email", "money", "tree"}

// maxSummary bounds a template, in bytes.
const maxSummary = 200

// schema is what counts here of a tool's schema.
type schema struct {
	known      bool
	trusted    bool
	summary    string
	required   []string
	order      []string // of the properties
	properties map[string]property
}

type property struct {
	Enum        []any           `json:"enum"`
	Default     json.RawMessage `json:"default"`
	Format      string          `json:"format"`
	Media       string          `json:"contentMediaType"`
	As          string          `json:"x-pawl-as"`
	Minor       bool            `json:"x-pawl-minor-units"`
	Description string          `json:"description"`
}

func readSchema(t Tool) schema {
	s := schema{properties: map[string]property{}, trusted: t.Trusted}
	var top struct {
		Summary    string                     `json:"x-pawl-summary"`
		Required   []string                   `json:"required"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if len(t.Schema) == 0 || json.Unmarshal(t.Schema, &top) != nil {
		return s
	}
	s.known, s.required = len(top.Properties) > 0, top.Required
	if t.Trusted {
		s.summary = top.Summary
	}
	for name, doc := range top.Properties {
		var p property
		if json.Unmarshal(doc, &p) != nil {
			p = property{}
		}
		if !t.Trusted {
			p.As, p.Minor, p.Media, p.Description = "", false, "", ""
		}
		s.properties[name] = p
	}
	if doc, err := parse(t.Schema); err == nil {
		for _, m := range doc.get("properties").list() {
			s.order = append(s.order, m.name)
		}
	}
	slices.SortStableFunc(s.order, func(a, b string) int {
		return s.rank(a) - s.rank(b)
	})
	return s
}

func (s schema) rank(name string) int {
	if slices.Contains(s.required, name) {
		return 0
	}
	return 1
}

func (v *value) list() []member {
	if v == nil {
		return nil
	}
	return v.members
}

// CheckSchema refuses keywords of Pawl's in a schema that say nothing. The schema is a valid one.
func CheckSchema(doc json.RawMessage) error {
	top, err := parse(doc)
	if err != nil {
		return err
	}
	if t := top.get(KeywordSummary); t != nil {
		if !t.isText() {
			return fmt.Errorf("%s is not a text: write one like \"Deploy {service}\"", KeywordSummary)
		}
		if err := CheckSummary(t.text, doc); err != nil {
			return fmt.Errorf("%s: %w", KeywordSummary, err)
		}
	}
	return checkKeywords("", top)
}

func checkKeywords(path string, v *value) error {
	for _, m := range v.members {
		at := path + "/" + m.name
		switch m.name {
		case KeywordAs:
			if !m.value.isText() || !slices.Contains(Presentations, m.value.text) {
				return fmt.Errorf("%s is none of %s", approval.Display(at, 200), strings.Join(Presentations, ", "))
			}
		case KeywordMinor:
			if m.value.kind != 'b' {
				return fmt.Errorf("%s is neither true nor false", approval.Display(at, 200))
			}
			if kind := v.get("type"); m.value.text == "true" && (kind == nil || kind.text != "integer") {
				return fmt.Errorf(`%s: minor units are whole numbers: write "type": "integer" beside it`,
					approval.Display(at, 200))
			}
		case "enum", "const", "default", "examples": // values, not schemas
			continue
		}
		if err := checkKeywords(at, m.value); err != nil {
			return err
		}
	}
	for i, item := range v.items {
		if err := checkKeywords(fmt.Sprintf("%s/%d", path, i), item); err != nil {
			return err
		}
	}
	return nil
}

// CheckSummary refuses templates that can't be filled in: see Summary.
func CheckSummary(template string, schema json.RawMessage) error {
	if strings.TrimSpace(template) == "" || len(template) > maxSummary ||
		approval.Display(template, 0) != template {
		return fmt.Errorf("write one line of 1 to %d bytes of visible text", maxSummary)
	}
	pieces, err := split(template)
	if err != nil {
		return err
	}
	var top struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(schema, &top); err != nil {
		return err
	}
	for _, p := range pieces {
		if _, there := top.Properties[p.name]; p.name != "" && !there {
			return fmt.Errorf("{%s} is no property of the schema: name one of its properties, "+
				"or write {{ for a brace", approval.Display(p.name, 80))
		}
	}
	return nil
}

// piece of a template: a text, or the name of a property.
type piece struct{ text, name string }

func split(template string) (pieces []piece, err error) {
	text := ""
	for rest := template; rest != ""; {
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			text, rest = text+rest[:1], rest[2:]
		case rest[0] == '{':
			name, after, closed := strings.Cut(rest[1:], "}")
			if !closed || name == "" {
				return nil, fmt.Errorf("a { has no name and } after it: write {name}, or {{ for a brace")
			}
			pieces, text, rest = append(pieces, piece{text: text}, piece{name: name}), "", after
		case rest[0] == '}':
			return nil, fmt.Errorf("a } ends nothing: write {name}, or }} for a brace")
		default:
			end := strings.IndexAny(rest, "{}")
			if end < 0 {
				end = len(rest)
			}
			text, rest = text+rest[:end], rest[end:]
		}
	}
	return append(pieces, piece{text: text}), nil
}
