package toolfile_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
	"github.com/pawlhq/pawl/tool/toolfile"
)

// Whatever the file and the environment: no panic, either tools or problems, no problem shows the
// variable's value, and what is returned can be sent.
func FuzzParse(f *testing.F) {
	const secret = "s3cr3t-Zq8"
	for _, seed := range []string{
		"tools: [{name: a, http: {url: 'http://h/', headers: {X: 'Bearer ${T}'}}}]",
		"tools: [{name: a, schema: {type: object, properties: {x: {maximum: 1.50}}}, http: {url: 'https://[::1]:1/?a=b', timeout: 1}}]",
		"tools:\n- name: a\n  activity: {task_queue: q}\n- name: a\n", "tools: [{name: a, http: {url: 'http://u:p@h/#x'}}]",
		"tools: [{name: a, http: {url: 'http://h/', headers: {${T}: x, Host: '${', X: '${T}${T}'}}}]",
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "\n")
	}
	f.Fuzz(func(t *testing.T, data []byte, end string) {
		env := func(string) (string, bool) { return secret + end, true }
		specs, err := toolfile.Parse("t", data, env)
		if err != nil {
			if specs != nil || err.Error() == "" {
				t.Errorf("error %q with tools %v", err, specs)
			}
			if strings.Contains(err.Error(), secret) && !strings.Contains(string(data), secret) {
				t.Errorf("the error shows the variable's value: %v", err)
			}
			return
		}
		names := map[string]bool{}
		for _, s := range specs {
			if approval.CheckTool(s.Name) != nil || names[s.Name] || s.HTTP == nil || s.Where == "" {
				t.Fatalf("the tool %+v is not one", s)
			}
			names[s.Name] = true
			var schema struct{ Type string }
			if err := strictjson.Check(s.Schema); err != nil {
				t.Errorf("schema %s: %v", s.Schema, err)
			}
			if json.Unmarshal(s.Schema, &schema) != nil || schema.Type != "object" {
				t.Errorf("schema %s", s.Schema)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.HTTP.URL, nil)
			if err != nil || req.URL.User != nil || req.URL.Host == "" || s.HTTP.Timeout <= 0 || s.HTTP.Timeout > toolfile.MaxTimeout {
				t.Errorf("http %+v: %v", s.HTTP, err)
			}
			for name, value := range s.HTTP.Headers {
				if http.CanonicalHeaderKey(name) != name || strings.ContainsAny(value, "\r\n\x00") {
					t.Errorf("header %q: %q", name, value)
				}
			}
			if shown, err := json.Marshal(s); err != nil || strings.Contains(string(shown), secret) && !strings.Contains(string(data), secret) {
				t.Errorf("as JSON %s: %v", shown, err)
			}
		}
	})
}
