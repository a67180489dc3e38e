package approval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

const maxDepth = 100

// Canonical returns v's RFC 8785 canonical JSON. v must marshal to an object
// or array that CheckJSON takes.
func Canonical(v any) ([]byte, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return CanonicalDoc(doc)
}

// CanonicalDoc returns the RFC 8785 canonical form of a JSON object or array.
// Its error quotes nothing of the document.
func CanonicalDoc(doc []byte) ([]byte, error) {
	canonical, err := jcs.Transform(doc)
	if err != nil {
		return nil, Errorf(CodeInvalid, "the JSON has no canonical form (RFC 8785)")
	}
	return canonical, nil
}

// CheckJSON refuses what two readers of one JSON text could read differently:
// duplicate keys, integers beyond 2^53, numbers no float64 holds, NUL
// characters, invalid UTF-8, lone surrogates, trailing data, and nesting
// beyond 100. The error's code is CodeInvalid; it names the place by JSON
// pointer and never quotes a value.
func CheckJSON(doc []byte) error {
	if !utf8.Valid(doc) {
		return Errorf(CodeInvalid, "the JSON is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	w := walker{dec: dec, doc: doc}
	if err := w.value("", 0); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return Errorf(CodeInvalid, "there is more after the end of the JSON value, at byte %d", dec.InputOffset())
	}
	return nil
}

type walker struct {
	dec *json.Decoder
	doc []byte
}

func (w walker) value(at string, depth int) error {
	if depth > maxDepth {
		return Errorf(CodeInvalid, "JSON is nested deeper than %d", maxDepth)
	}
	tok, err := w.dec.Token()
	if err != nil {
		return w.syntax(err)
	}
	switch t := tok.(type) {
	case json.Delim:
		if t == '[' {
			for i := 0; w.dec.More(); i++ {
				if err := w.value(at+"/"+strconv.Itoa(i), depth+1); err != nil {
					return err
				}
			}
		} else if err := w.object(at, depth); err != nil {
			return err
		}
		if _, err := w.dec.Token(); err != nil { // the closing delimiter
			return w.syntax(err)
		}
	case json.Number:
		return checkNumber(at, t.String())
	case string:
		return w.text(at, t)
	}
	return nil
}

func (w walker) object(at string, depth int) error {
	seen := map[string]bool{}
	for w.dec.More() {
		tok, err := w.dec.Token()
		if err != nil {
			return w.syntax(err)
		}
		key, ok := tok.(string)
		if !ok {
			return Errorf(CodeInvalid, "%s: an object's key must be a string", place(at))
		}
		if err := w.text(at, key); err != nil {
			return err
		}
		if seen[key] {
			return Errorf(CodeInvalid, "%s: the key %q stands twice", place(at), Display(key, 80))
		}
		seen[key] = true
		if err := w.value(at+"/"+Display(key, 80), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// text refuses NUL and the replacement character that encoding/json silently
// puts for a lone surrogate.
func (w walker) text(at, s string) error {
	if strings.ContainsRune(s, 0) {
		return Errorf(CodeInvalid, "%s: text holds a NUL character", place(at))
	}
	if strings.ContainsRune(s, utf8.RuneError) {
		start := bytes.LastIndexByte(w.doc[:w.dec.InputOffset()-1], '"')
		if lower := bytes.ToLower(w.doc[max(start, 0):w.dec.InputOffset()]); bytes.Contains(lower, []byte(`\ud`)) {
			return Errorf(CodeInvalid, "%s: text holds half of a surrogate pair", place(at))
		}
	}
	return nil
}

func (w walker) syntax(err error) error {
	var se *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Errorf(CodeInvalid, "the JSON ends too early")
	case errors.As(err, &se):
		return Errorf(CodeInvalid, "not JSON, at byte %d", se.Offset)
	}
	return Errorf(CodeInvalid, "not JSON, at byte %d", w.dec.InputOffset())
}

func checkNumber(at, n string) error {
	if strings.ContainsAny(n, ".eE") {
		if _, err := strconv.ParseFloat(n, 64); err != nil {
			return Errorf(CodeInvalid, "%s: the number is too large; send it as text", place(at))
		}
		return nil
	}
	const most = 1 << 53
	if i, err := strconv.ParseInt(n, 10, 64); err != nil || i > most || i < -most {
		return Errorf(CodeInvalid, "%s: the integer is beyond 2^53 and readers would round it; send it as text", place(at))
	}
	return nil
}

func place(at string) string {
	if at == "" {
		return "at the top"
	}
	return "at " + at
}

// CheckObject checks that doc is a JSON object of at most most bytes that
// CheckJSON takes. name says what it is, for the error.
func CheckObject(name string, doc []byte, most int) error {
	if len(doc) > most {
		return Errorf(CodeInvalid, "%s: %d bytes of JSON; at most %d are taken", name, len(doc), most)
	}
	if err := CheckJSON(doc); err != nil {
		return Errorf(CodeInvalid, "%s: %w", name, err)
	}
	if trimmed := bytes.TrimSpace(doc); len(trimmed) == 0 || trimmed[0] != '{' {
		return Errorf(CodeInvalid, "%s: must be a JSON object", name)
	}
	return nil
}

// DecodeStrict reads one JSON object into the struct v points to. Beyond what
// CheckJSON refuses, unknown fields, fields in the wrong case and wrong types
// are errors with CodeInvalid that name the field.
func DecodeStrict(doc []byte, v any) error {
	if err := CheckJSON(doc); err != nil {
		return err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(doc, &fields); err != nil || fields == nil {
		return Errorf(CodeInvalid, "must be a JSON object")
	}
	known := fieldNames(reflect.TypeOf(v).Elem())
	for _, name := range sortedKeys(fields) {
		if !slices.Contains(known, name) {
			return Errorf(CodeInvalid, "unknown field %q%s", Display(name, 80), didYouMean(name, known))
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
		return Errorf(CodeInvalid, "%s: is a %s, must be %s", onWire(te.Field, reflect.TypeOf(v).Elem()), kind, jsonKind(te.Type))
	}
	return Errorf(CodeInvalid, "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// onWire drops the names of embedded structs, which encoding/json puts into
// the path but no document shows.
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

// sortedKeys keeps what workflow code sees in one order.
//
//workflowcheck:ignore
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

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
