package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/rest"
)

// document is openapi.yaml, which is known to be a valid document.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	openapi3filter.RegisterBodyDecoder(rest.NDJSON, openapi3filter.RegisteredBodyDecoder("text/plain"))
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.RegisteredBodyDecoder("text/plain"))
	doc, err := openapi3.NewLoader().LoadFromData(contract)
	if err == nil {
		err = doc.Validate(context.Background())
	}
	return doc, err
})

// operation finds what the document says of a request; nil: it does not know the path or the
// method.
func operation(doc *openapi3.T, method, path string) (*routers.Route, map[string]string) {
	asked := strings.Split(path, "/")
	for _, pattern := range doc.Paths.InMatchingOrder() {
		parts, params := strings.Split(pattern, "/"), map[string]string{}
		if len(parts) != len(asked) {
			continue
		}
		fits := true
		for i, part := range parts {
			if name, ok := strings.CutPrefix(part, "{"); ok && asked[i] != "" {
				value, err := url.PathUnescape(asked[i])
				params[strings.TrimSuffix(name, "}")] = value
				fits = fits && err == nil
			} else {
				fits = fits && part == asked[i]
			}
		}
		item := doc.Paths.Value(pattern)
		if op := item.GetOperation(method); fits && op != nil {
			return &routers.Route{Spec: doc, Path: pattern, PathItem: item, Method: method, Operation: op}, params
		}
	}
	return nil, nil
}

// agrees fails the test unless the document allows the answer and, where that is a success, the
// request. What it says of paths that it does not have is tested by hand.
func agrees(t testing.TB, r *http.Request, body string, rec *httptest.ResponseRecorder) {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	r = r.Clone(context.Background())
	r.Body = io.NopCloser(strings.NewReader(body))
	head := r.Method == http.MethodHead
	if head {
		r.Method = http.MethodGet
	}
	route, params := operation(doc, r.Method, r.URL.EscapedPath())
	if route == nil || rec.Code == statusClientGone {
		return
	}
	in := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route, QueryParams: r.URL.Query(),
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true,
			IncludeResponseStatus: true, ExcludeResponseBody: head,
		},
	}
	what := r.Method + " " + r.URL.String()
	if rec.Code < 300 {
		if body == "" {
			r.Body, r.ContentLength = http.NoBody, 0
		}
		if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
			t.Errorf("openapi.yaml refuses a request that is taken: %s %s\n%v", what, body, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: rec.Code, Header: rec.Header(), Options: in.Options,
		Body: io.NopCloser(bytes.NewReader(rec.Body.Bytes())),
	}
	if err := openapi3filter.ValidateResponse(r.Context(), out); err != nil {
		t.Errorf("openapi.yaml has no such answer to %s: %d %s\n%v", what, rec.Code, rec.Body, err)
	}
}

func TestContractHasEveryRoute(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, r := range newWorld(t).server.routes() {
		key := r.method + " " + r.path
		served[key] = true
		item := doc.Paths.Value(r.path)
		if item == nil || item.GetOperation(r.method) == nil {
			t.Errorf("openapi.yaml lacks %s", key)
			continue
		}
		op := item.GetOperation(r.method)
		if open := op.Security != nil && len(*op.Security) > 1; open != r.access.public {
			t.Errorf("%s needs no token: %v, and openapi.yaml says %v", key, r.access.public, open)
		}
		var query []string
		for _, p := range op.Parameters {
			if p.Value.In == "query" {
				query = append(query, p.Value.Name)
			}
		}
		if got := strings.Join(query, " "); got != strings.TrimPrefix(r.params, anyParams) {
			t.Errorf("%s takes the parameters %q, and openapi.yaml has %q", key, r.params, got)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !served[method+" "+path] {
				t.Errorf("openapi.yaml has %s %s, which is no route", method, path)
			}
		}
	}
}

// The types of package rest, and what they hold, have the fields that the document shows.
func TestContractHasEveryField(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"Problem": rest.Problem{}, "FileProblem": rest.FileProblem{}, "Page": rest.Page[int]{},
		"StartRequest": rest.StartRequest{}, "CancelRequest": rest.CancelRequest{}, "Outcome": approval.Outcome{},
		"View": rest.View{}, "OpenCall": rest.OpenCall{}, "Request": rest.Request{},
		"DecisionRequest": rest.DecisionRequest{}, "DecisionAnswer": rest.DecisionAnswer{}, "DecisionState": rest.DecisionState{},
		"Entry": rest.Entry{}, "Tool": rest.Tool{},
		"PolicyChange": rest.PolicyChange{}, "ActivePolicy": rest.ActivePolicy{}, "PolicySet": rest.PolicySet{},
		"PolicyVersion": rest.PolicyVersion{}, "AppliedPolicy": rest.AppliedPolicy{}, "PolicyTrial": rest.PolicyTrial{},
		"Principal": rest.Principal{}, "TokenSpec": rest.TokenSpec{}, "Token": rest.Token{}, "NewToken": rest.NewToken{},
		"SigningKey": rest.SigningKey{}, "RotateRequest": rest.RotateRequest{}, "Rotated": rest.Rotated{},
		"Readiness": rest.Readiness{}, "Proofs": rest.Proofs{}, "Version": rest.Version{},
	} {
		ref := doc.Components.Schemas[name]
		if ref == nil {
			t.Errorf("openapi.yaml lacks the schema %s", name)
			continue
		}
		sameFields(t, name, reflect.TypeOf(v), ref.Value)
	}
}

// sameFields compares the fields of a type's JSON with those of a schema, at every depth.
func sameFields(t *testing.T, where string, typ reflect.Type, schema *openapi3.Schema) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case typ.Kind() == reflect.Slice && typ.Elem().Kind() != reflect.Uint8 && schema.Items != nil:
		sameFields(t, where+"[]", typ.Elem(), schema.Items.Value)
	case typ.Kind() == reflect.Struct && !typ.Implements(reflect.TypeFor[json.Marshaler]()):
		want, got := jsonFields(typ), schemaFields(schema)
		for name, field := range want {
			if got[name] == nil {
				t.Errorf("openapi.yaml lacks %s.%s", where, name)
				continue
			}
			sameFields(t, where+"."+name, field, got[name])
		}
		for name := range got {
			if want[name] == nil {
				t.Errorf("openapi.yaml has %s.%s, which is no field", where, name)
			}
		}
	}
}

func jsonFields(typ reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "-" || name == "" {
			continue
		}
		fields[name] = f.Type
	}
	return fields
}

func schemaFields(s *openapi3.Schema) map[string]*openapi3.Schema {
	fields := map[string]*openapi3.Schema{}
	for _, part := range s.AllOf {
		maps.Copy(fields, schemaFields(part.Value))
	}
	for name, ref := range s.Properties {
		fields[name] = ref.Value
	}
	return fields
}

// Every code of the sources is in the document and in docs/api.md, and every word of an enumeration is known there.
func TestContractHasEveryCode(t *testing.T) {
	sources := map[string]string{
		"../rest/problem.go":    `(?m)^\tCode\w+ += "([a-z_]+)"`,
		"../approval/errors.go": `(?m)^\tCode\w+ += "([a-z_]+)"`,
		"../rest/calls.go":      `(?m)^\tObstacle\w+ += "([a-z_]+)"`,
	}
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for file, pattern := range sources {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s has no codes", file)
		}
		for _, m := range found {
			if !regexp.MustCompile(`[\s\[,` + "`" + `]` + m[1] + `[\s\],}` + "`" + `]`).Match(contract) {
				t.Errorf("openapi.yaml lacks the code %s", m[1])
			}
			if !strings.Contains(string(page), "`"+m[1]+"`") {
				t.Errorf("docs/api.md lacks the code %s", m[1])
			}
		}
	}
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	for name, words := range map[string][]string{
		"Status": texts(approval.Statuses), "Risk": texts(approval.Risks), "Role": texts(rest.Roles), "EntryKind": texts(audit.Kinds),
	} {
		var shown []string
		for _, word := range doc.Components.Schemas[name].Value.Enum {
			shown = append(shown, word.(string))
		}
		if !slices.Equal(shown, words) {
			t.Errorf("openapi.yaml has for %s %v, want %v", name, shown, words)
		}
	}
}

func texts[T ~string](words []T) (all []string) {
	for _, w := range words {
		all = append(all, string(w))
	}
	return all
}

func TestContractIsServed(t *testing.T) {
	w := guardedWorld(t)
	rec := w.get("/openapi.yaml")
	if rec.Code != 200 || rec.Header().Get("Content-Type") != "application/yaml" || !bytes.Equal(rec.Body.Bytes(), contract) {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	body := expect(t, w.get("/api/version"), 200, "")
	if body["version"] != "devel" || fmt.Sprint(body["features"]) != "[caller events sessions]" {
		t.Errorf("version: %v", body)
	}
}

// Pages may be as long as the document says, and no longer.
func TestContractOfPages(t *testing.T) {
	w := newWorld(t)
	for limit, status := range map[string]int{"": 200, "1": 200, "101": 200, "500": 200, "0": 400, "501": 400, "ten": 400} {
		for _, path := range []string{"/api/requests", "/api/audit", "/api/policy/history"} {
			if rec := w.get(path + "?limit=" + limit); rec.Code != status {
				t.Errorf("%s with limit %q: %d %s", path, limit, rec.Code, rec.Body)
			}
		}
	}
}

// What the document says of the codec endpoint is so, with and without it.
func TestContractOfTheCodec(t *testing.T) {
	for _, w := range []*world{newWorld(t), guardedWorld(t, func(o *Options) { o.Codec = &CodecOptions{Keyring: keyring(t)} })} {
		admin := w.token("root", rest.RoleAdmin)
		for _, path := range []string{"/codec/decode", "/codec/encode"} {
			for _, body := range []string{"", "{}", `{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"MQ=="}]}`, "[]"} {
				w.with(admin, "POST", path, body)
				w.send("POST", path, body)
				w.send("POST", path, body, "Content-Type", "text/plain")
			}
		}
	}
}
