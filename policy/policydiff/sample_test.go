package policydiff

import "testing"

func TestSample(t *testing.T) {
	for expression, want := range map[string]string{
		`^rm\s+-rf`: "rm -rf", `^(ls|pwd)$`: "ls", `[a-z]{3}\d+`: "xxx0", `(?i)Drop.table?`: "DROPxTABL", `a*b`: "b", `x{2000}`: "",
		`[^a-z ]+`: "X", `\bword\b`: "word", `\x01`: "\x01", `^a|b$`: "a", `[\x{4e00}-\x{9fff}]`: "一", `a\bb`: "", `[`: "",
	} {
		got, ok := sample(expression)
		if want != "" && got != want || ok != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", expression, got, ok, want)
		}
	}
}
