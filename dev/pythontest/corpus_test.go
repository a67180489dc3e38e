package pythontest

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// foreignCall is a call as CapFence takes it. Ours has the capability as its tool, the payload as
// its arguments and the context as its labels.
type foreignCall struct {
	Capability string            `json:"capability"`
	Context    map[string]string `json:"context"`
	Payload    map[string]any    `json:"payload"`
}

// derive makes calls out of a policy file: what each of its entries is about, and what is near it.
func derive(text []byte) (calls []foreignCall, err error) {
	var file map[string]any
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	for _, section := range []string{"deny", "require_approval", "allow"} {
		entries, _ := file[section].([]any)
		for _, e := range entries {
			entry, isMapping := e.(map[string]any)
			if !isMapping {
				entry = map[string]any{"capability": e}
			}
			calls = append(calls, deriveEntry(entry)...)
		}
	}
	return calls, nil
}

func deriveEntry(entry map[string]any) (calls []foreignCall) {
	capability := strings.TrimSuffix(fmt.Sprint(entry["capability"]), ".*")
	environments := []string{"", "production", "development"}
	payloads := []map[string]any{{}, {"note": "nothing"}}
	contexts := []map[string]string{{}}
	for _, word := range slices.Sorted(maps.Keys(entry)) {
		switch v := entry[word]; word {
		case "capability":
		case "contains", "match_keywords":
			for _, keyword := range list(v) {
				payloads = append(payloads, around(fmt.Sprint(keyword))...)
			}
		case "match_regex":
			for _, pattern := range list(v) {
				for _, sample := range samples(fmt.Sprint(pattern)) {
					payloads = append(payloads, around(sample)...)
				}
			}
		case "path_prefix":
			for _, path := range []string{"x", "../../etc/passwd", ".env", ""} {
				payloads = append(payloads, map[string]any{"path": fmt.Sprint(v) + path},
					map[string]any{"target": fmt.Sprint(v) + path, "path": "/etc/passwd"})
			}
			payloads = append(payloads, map[string]any{"path": "/etc/passwd"}, map[string]any{"destination": "/etc/passwd"})
		case "environment":
			environments = append(environments, fmt.Sprint(v))
			payloads = append(payloads, map[string]any{"environment": v})
		default:
			if strings.HasPrefix(word, "amount_") {
				payloads = append(payloads, amounts(v)...)
				continue
			}
			for _, value := range []string{"x", "users", ""} {
				value = strings.ReplaceAll(fmt.Sprint(v), "*", value)
				contexts = append(contexts, map[string]string{word: value})
				payloads = append(payloads, map[string]any{word: value})
			}
		}
	}
	for i, payload := range payloads {
		for j, context := range contexts {
			// Each payload in one environment, so that the corpus stays small; the plain ones in all.
			some := environments
			if i > 1 {
				some = environments[(i+j)%len(environments):][:1]
			}
			for _, environment := range some {
				calls = append(calls, named(capability, environment, context, payload)...)
			}
		}
	}
	return calls
}

// named are the names under which a call is known: its environment may be a part of it.
func named(capability, environment string, context map[string]string, payload map[string]any) []foreignCall {
	with := maps.Clone(context)
	if environment == "" {
		return []foreignCall{{capability, with, payload}}
	}
	with["environment"] = environment
	return []foreignCall{{capability, with, payload}, {capability + "." + environment, with, payload}}
}

// around are arguments that have a text in them, and some that have not quite.
func around(text string) []map[string]any {
	return []map[string]any{
		{"command": text},
		{"command": "x " + text + " y", "timeout": 30},
		{"command": strings.ToUpper(text)},
		{"command": "ls", "note": text},
		{"command": "ls", "options": map[string]any{"deep": []any{text}}},
		{"command": "ls", text: true},
		{"a_first": "ls", "command": text},
		{"command": strings.ReplaceAll(text, " ", "\u00a0")},
		{"command": text + "\n"},
		{"command": text + "; rm -rf /"},
		{"query": strings.Fields(text + " x")},
	}
}

func amounts(v any) (payloads []map[string]any) {
	var n float64
	_, _ = fmt.Sscan(fmt.Sprint(v), &n)
	for _, amount := range []any{n, n + 1, n - 1, -n, n * 1000, fmt.Sprint(n + 1), fmt.Sprint(n - 1), nil, true, []any{n + 1}} {
		payloads = append(payloads, map[string]any{"amount": amount}, map[string]any{"total": amount},
			map[string]any{"amount": amount, "note": "unknown unsupported_currency"})
	}
	return payloads
}

func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// samples are texts that an expression matches: one for each alternative, outermost ones only.
func samples(pattern string) (texts []string) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	for i := range 4 {
		if text := sample(parsed, i); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

func sample(re *syntax.Regexp, alternative int) string {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "x"
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if r >= ' ' && r < 0x7f {
					return string(r)
				}
			}
		}
		return ""
	case syntax.OpAlternate:
		return sample(re.Sub[alternative%len(re.Sub)], alternative)
	case syntax.OpConcat:
		text := ""
		for _, sub := range re.Sub {
			text += sample(sub, alternative)
		}
		return text
	case syntax.OpCapture, syntax.OpPlus, syntax.OpRepeat:
		return sample(re.Sub[0], alternative)
	}
	return ""
}
