package tool

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/pawlhq/pawl/approval"
)

// deriveSchema makes the schema of a typed tool's arguments. Policies judge arguments by property
// name and the schema refuses every other name, so the schema and encoding/json must agree on which
// property fills which field. Where they would not, the type is refused.
func deriveSchema(in reflect.Type) (json.RawMessage, error) {
	object := in.Kind() == reflect.Struct ||
		in.Kind() == reflect.Map && in.Key().Kind() == reflect.String && in.Elem() == reflect.TypeFor[any]()
	if !object || readsJSON(in) || readsText(in) {
		return nil, fmt.Errorf("its arguments are of type %v; use a struct or map[string]any", in)
	}
	d := deriver{seen: map[reflect.Type]bool{}, forms: map[reflect.Type]*jsonschema.Schema{}}
	if err := d.visit(in, in.String()); err != nil {
		return nil, err
	}
	s, err := jsonschema.ForType(in, &jsonschema.ForOptions{TypeSchemas: d.forms})
	if err != nil {
		return nil, fmt.Errorf("no schema can be derived: %w", err)
	}
	return json.Marshal(s)
}

// deriver walks a type. forms collects the schemas of types that encoding/json reads in another
// form than their Go kind suggests.
type deriver struct {
	seen  map[reflect.Type]bool
	forms map[reflect.Type]*jsonschema.Schema
}

// visit checks the type of the field that at names.
func (d *deriver) visit(t reflect.Type, at string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if d.seen[t] {
		return nil
	}
	d.seen[t] = true

	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		d.forms[t] = &jsonschema.Schema{Types: []string{"null", "boolean", "number", "string", "array", "object"}}
		return nil
	case t == reflect.TypeFor[json.Number]():
		d.forms[t] = &jsonschema.Schema{Type: "number"}
		return nil
	case t == reflect.TypeFor[time.Time]():
		d.forms[t] = &jsonschema.Schema{Type: "string", Format: "date-time"}
		return nil
	case readsJSON(t):
		return fmt.Errorf("%s: %v has its own UnmarshalJSON, so no schema can be derived; "+
			"use json.RawMessage or string and read it in the function, or make the tool with Custom", at, t)
	case readsText(t):
		d.forms[t] = &jsonschema.Schema{Type: "string"}
		return nil
	}

	switch t.Kind() {
	case reflect.Struct:
		return d.fields(t, at, map[string]bool{})
	case reflect.Map:
		if t.Key().Kind() != reflect.String || readsText(t.Key()) {
			return fmt.Errorf("%s: a map's key must be a string, not %v", at, t.Key())
		}
		return d.visit(t.Elem(), at+"[]")
	case reflect.Slice, reflect.Array:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			d.forms[t] = &jsonschema.Schema{Types: []string{"null", "string"}, ContentEncoding: "base64"}
			return nil
		}
		return d.visit(t.Elem(), at+"[]")
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return fmt.Errorf("%s: JSON can't be read into the interface %v; use any or a struct", at, t)
		}
	case reflect.Func, reflect.Chan, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf("%s: %v has no JSON form; tag it json:\"-\" or leave it out", at, t)
	}
	return nil
}

// fields checks a struct's fields and those it embeds; taken holds the property names so far.
func (d *deriver) fields(t reflect.Type, at string, taken map[string]bool) error {
	for i := range t.NumField() {
		f := t.Field(i)
		at := at + "." + f.Name
		tag, tagged := f.Tag.Lookup("json")
		if f.Anonymous {
			if tagged || f.Type.Kind() != reflect.Struct || readsJSON(f.Type) || readsText(f.Type) {
				return fmt.Errorf("%s: only plain structs without a json tag can be embedded; name the field", at)
			}
			if err := d.fields(f.Type, at, taken); err != nil {
				return err
			}
			continue
		}
		if !f.IsExported() || tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		switch name = cmp.Or(name, f.Name); {
		case !validName(name):
			return fmt.Errorf("%s: encoding/json does not take the name in its json tag", at)
		case taken[name]:
			return fmt.Errorf("%s: another field is named %s too", at, quote(name))
		case strings.Contains(","+options+",", ",string,"):
			return fmt.Errorf("%s: the json tag option \"string\" can't be put in a schema; use a string field", at)
		}
		taken[name] = true
		if err := d.visit(f.Type, at); err != nil {
			return err
		}
	}
	return nil
}

// validName is encoding/json's rule; a tag that breaks it is silently ignored there.
func validName(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) &&
			!unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

func readsJSON(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

func readsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// decode reads arguments that fit the derived schema into the Go type. What the schema can't say
// (ranges, text formats) is an error with approval.CodeBadArguments; encoding/json's own text may
// quote a value.
func decode[In any](args json.RawMessage) (In, error) {
	var in In
	dec := json.NewDecoder(bytes.NewReader(args))
	dec.DisallowUnknownFields()
	err := dec.Decode(&in)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return in, nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return in, badArguments("the arguments do not fit the tool's Go type: %s must fit %v",
			approval.Display(wrong.Field, maxShown), wrong.Type)
	}
	return in, badArguments("the arguments do not fit the tool's Go type: " +
		"a text or number is outside of what its field reads")
}
