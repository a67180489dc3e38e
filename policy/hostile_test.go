package policy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/policy"
)

// conditionFile is a file of one rule under one condition.
func conditionFile(when string) policy.File {
	quoted, err := json.Marshal(when)
	if err != nil {
		panic(err)
	}
	return file("p.yaml", "rules: [{tool: t, deny: true, when: "+string(quoted)+"}]")
}

// nested is a text of so many levels.
func nested(open, inside, end string, levels int) string {
	return strings.Repeat(open, levels) + inside + strings.Repeat(end, levels)
}

// Conditions that stop the compiler, or keep it busy, are problems, and what
// people write is not.
func TestConditionsTheCompilerCanTake(t *testing.T) {
	for _, tt := range []struct {
		name, when string
		problem    string // "": none
	}{
		{"a counted repetition", `args.pin.matches("^[0-9]{4}$")`, ""},
		{"a repetition with bounds", `args.host.matches("^[a-z0-9-]{1,63}$")`, ""},
		{"a repetition of repetitions", `args.s.matches("((a{1,10}){1,10}){1,10}")`, "or too large"},
		{"macros in each other", nested("args.a.all(x, ", "x > 1.0", ")", 8), ""},
		{"macros too deep", nested("args.a.map(x, ", "x", ")", 9) + " == []", "nested deeper than 8"},
		{"lists too deep", nested("[", "1", "]", 300) + " == []", "nested too deep"},
		{"a sum too long", strings.Repeat("1.0 + ", 500) + "1.0 == 1.0", "nested too deep"},
		{"many alternatives", strings.Repeat("args.a || ", 300) + "args.b", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.Compile(conditionFile(tt.when))
			switch {
			case tt.problem == "" && err != nil:
				t.Error(err)
			case tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)):
				t.Errorf("got %v, want %q", err, tt.problem)
			case err != nil && strings.Contains(err.Error(), "line -1"):
				t.Errorf("a place that is none: %v", err)
			}
		})
	}
}
