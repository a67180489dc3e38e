package policy_test

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// Whatever the file and the call: no panic, either a set or problems, and
// every verdict is valid, never laxer than the call asks for, and the same
// after the sources are compiled again.
func FuzzCompile(f *testing.F) {
	for _, name := range []string{"good", "rules", "redact", "structure"} {
		data, err := os.ReadFile("testdata/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "send_email", int64(0), false)
	}
	f.Add([]byte("rules: [{tool: '*', auto_approve: true, timeout: 1e-9}]"), "*", int64(-1), true)
	f.Add([]byte("{layer: x, default_timeout: 2592000, rules: []}"), "", int64(1), true)
	f.Fuzz(func(t *testing.T, data []byte, tool string, timeout int64, asks bool) {
		other := policy.File{Name: "other.yaml", Data: []byte("{layer: other, rules: [{tool: a, auto_approve: true}]}")}
		set, err := policy.Compile(policy.File{Name: "p.yaml", Data: data}, other)
		if (set == nil) != (err != nil) {
			t.Fatalf("set %v, error %v", set, err)
		}
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a problem")
			}
			return
		}
		again, err := policy.Compile(set.Sources()...)
		if err != nil || again.Digest() != set.Digest() {
			t.Fatalf("the sources compile to another set: %v", err)
		}
		for _, tool := range []string{tool, "a", "send_email", "*", ""} {
			call := approval.Call{Tool: tool, Args: json.RawMessage("{"), Timeout: approval.Duration(timeout), RequireApproval: asks}
			v := set.Evaluate(call, now)
			if err := v.Validate(); err != nil {
				t.Errorf("tool %q: %v", tool, err)
			}
			if asks && v.Kind == approval.VerdictAllow {
				t.Errorf("tool %q: allowed, but the call asks for approval", tool)
			}
			if timeout > 0 && v.Timeout > call.Timeout {
				t.Errorf("tool %q: waits %v, but the call asks for %v", tool, v.Timeout, call.Timeout)
			}
			if !reflect.DeepEqual(v, again.Evaluate(call, now)) {
				t.Errorf("tool %q: two verdicts", tool)
			}
		}
	})
}
