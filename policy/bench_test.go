package policy_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

// manyRules is a file of so many exact rules, and a star.
func manyRules(n int) policy.File {
	var b bytes.Buffer
	b.WriteString("default_timeout: 30m\nredact_fields: [password]\nrules:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {tool: tool_%d, risk_level: high, timeout: 90}\n", i)
	}
	b.WriteString("  - tool: \"*\"\n")
	return policy.File{Name: "policy.yaml", Data: b.Bytes()}
}

func BenchmarkEvaluate(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			set := compile(b, manyRules(n))
			call := approval.Call{Tool: fmt.Sprintf("tool_%d", n/2)}
			b.ReportAllocs()
			for b.Loop() {
				set.Evaluate(call, now)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	f := manyRules(10_000)
	b.SetBytes(int64(len(f.Data)))
	b.ReportAllocs()
	for b.Loop() {
		compile(b, f)
	}
}
