package policy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"cel.dev/cel-go/cel"
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
	fewest := 0.0
	for _, n := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			set := compile(b, manyRules(n))
			calls := make([]approval.Call, 8)
			for i := range calls {
				calls[i].Tool = fmt.Sprintf("tool_%d", i*n/len(calls))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				set.Evaluate(calls[i%len(calls)], now)
				i++
			}
			cost := perOp(b)
			if fewest == 0 {
				fewest = cost
			}
			b.ReportMetric(cost/fewest, "x-of-10-rules")
		})
	}
}

// BenchmarkCondition compares a rule under one condition with what cel-go alone takes: over
// arguments that are there as JSON, as they are in a call, and over arguments that something
// decoded before.
func BenchmarkCondition(b *testing.B) {
	for _, c := range []struct{ name, when, args string }{
		{"one", `args.amount > 100`, `{"amount": 150, "currency": "EUR"}`},
		{"several", `args.amount > 100 && args.currency in ["EUR", "USD"] && !args.to.endsWith("@example.com") && now.getHours() >= 0`,
			`{"amount": 150.5, "currency": "EUR", "to": "someone@example.org", "note": "as agreed", "lines": [{"n": 1, "price": 75}, {"n": 2, "price": 75.5}]}`},
		{"counted", `args.lines.all(l, l.price > 0.0 && l.price < 100.0)`, // could take long, so its cost is counted
			`{"lines": [{"price": 1}, {"price": 2}, {"price": 3}, {"price": 4}, {"price": 5}, {"price": 6}, {"price": 7}, {"price": 8}]}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			program := celProgram(b, c.when)
			vars := map[string]any{"tool": "pay", "agent": "", "team": "", "session": "", "requester": "",
				"labels": map[string]string{}, "now": now}
			var alone, decoding float64
			b.Run("cel-go/decoded", func(b *testing.B) {
				decode(b, c.args, vars)
				b.ReportAllocs()
				for b.Loop() {
					evalCEL(b, program, vars)
				}
				alone = perOp(b)
			})
			b.Run("cel-go/json", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					decode(b, c.args, vars)
					evalCEL(b, program, vars)
				}
				decoding = perOp(b)
			})
			b.Run("policy", func(b *testing.B) {
				set := compile(b, file("p.yaml", "rules:\n  - tool: pay\n    when: '"+c.when+"'\n    deny: true\n"))
				call := approval.Call{Tool: "pay", Args: json.RawMessage(c.args)}
				if set.Evaluate(call, now).Kind != approval.VerdictDeny {
					b.Fatal("the condition does not hold")
				}
				b.ReportAllocs()
				for b.Loop() {
					set.Evaluate(call, now)
				}
				b.ReportMetric(perOp(b)/alone, "x-of-cel-decoded")
				b.ReportMetric(perOp(b)/decoding, "x-of-cel-json")
			})
		})
	}
}

// celProgram is how cel-go itself would evaluate a condition.
func celProgram(b *testing.B, when string) cel.Program {
	env, err := cel.NewEnv(cel.Variable("args", cel.DynType), cel.Variable("now", cel.TimestampType))
	if err != nil {
		b.Fatal(err)
	}
	ast, issues := env.Compile(when)
	if issues.Err() != nil {
		b.Fatal(issues.Err())
	}
	program, err := env.Program(ast)
	if err != nil {
		b.Fatal(err)
	}
	return program
}

func evalCEL(b *testing.B, program cel.Program, vars map[string]any) {
	if out, _, err := program.Eval(vars); err != nil || out.Value() != true {
		b.Fatal(out, err)
	}
}

func decode(b *testing.B, args string, vars map[string]any) {
	var v map[string]any
	if err := json.Unmarshal([]byte(args), &v); err != nil {
		b.Fatal(err)
	}
	vars["args"] = v
}

func perOp(b *testing.B) float64 { return float64(b.Elapsed().Nanoseconds()) / float64(b.N) }

func BenchmarkCompile(b *testing.B) {
	f := manyRules(10_000)
	b.SetBytes(int64(len(f.Data)))
	b.ReportAllocs()
	for b.Loop() {
		compile(b, f)
	}
}
