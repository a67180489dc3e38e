package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Decode reads one JSON object into the struct v points to. Beyond what Check refuses, unknown
// fields, fields in the wrong case and wrong types are errors that name the field.
func Decode(doc []byte, v any) error { return decode(doc, v, false) }

// DecodeKnown is Decode, but passes over fields that v does not have.
func DecodeKnown(doc []byte, v any) error { return decode(doc, v, true) }

func decode(doc []byte, v any, passOver bool) error {
	if err := Check(doc); err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(doc, &fields); err != nil || fields == nil {
		return errorf("must be a JSON object")
	}
	known := fieldNames(reflect.TypeOf(v).Elem())
	for _, name := range SortedKeys(fields) {
		switch {
		case slices.Contains(known, name):
		case passOver:
			delete(fields, name)
		default:
			return errorf("unknown field \"%s\"%s", clip(name), didYouMean(name, known))
		}
	}
	if passOver { // encoding/json would take a field in the wrong case for the one that is meant
		var err error
		if doc, err = Marshal(fields); err != nil {
			return errorf("not JSON")
		}
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	var te *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &te):
		kind, _, _ := strings.Cut(te.Value, " ") // behind a blank stands the value itself
		field := onWire(te.Field, reflect.TypeOf(v).Elem())
		return errorf("%s: is a %s, must be %s", field, kind, jsonKind(te.Type))
	}
	return errorf("%s", strings.TrimPrefix(err.Error(), "json: "))
}

// onWire drops the names of embedded structs, which encoding/json puts into the path but no
// document shows.
func onWire(path string, t reflect.Type) string {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			if rest, ok := strings.CutPrefix(path, f.Name+"."); ok {
				return onWire(rest, f.Type)
			}
		}
	}
	return path
}

// SortedKeys returns a map's keys in order, so that workflow code sees them in one order.
//
//workflowcheck:ignore
func SortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, fieldNames(f.Type)...)
		} else if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

func didYouMean(name string, known []string) string {
	fold := strings.NewReplacer("_", "", "-", "")
	for _, k := range known {
		if strings.EqualFold(fold.Replace(k), fold.Replace(name)) {
			return fmt.Sprintf("; did you mean %q?", k)
		}
	}
	return ""
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "a number"
}
