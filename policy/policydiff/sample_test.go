package policydiff

import (
	"slices"
	"testing"
)

func TestSample(t *testing.T) {
	for expression, want := range map[string]string{
		`^rm\s+-rf`: "rm -rf", `^(ls|pwd)$`: "ls", `[a-z]{3}\d+`: "xxx0", `(?i)Drop.table?`: "DROPxTABL", `a*b`: "b", `x{2000}`: "",
		`[^a-z ]+`: "X", `\bword\b`: "word", `\x01`: "\x01", `^a|b$`: "a", `[\x{4e00}-\x{9fff}]`: "一", `a\bb`: "", `[`: "",
	} {
		got := samples(expression)
		if (want == "") != (len(got) == 0) || want != "" && got[0] != want {
			t.Errorf("%s: got %q, want %q", expression, got, want)
		}
	}
}

// What an edit may take away is in one of the samples.
func TestSamplesDiffer(t *testing.T) {
	for expression, want := range map[string][]string{
		`^[a-c]{3}$`: {"aaa", "ccc"}, `a(bar|baz|x)`: {"abar", "abaz", "ax"}, `^a?b$`: {"b", "ab"}, `^x{1,3}$`: {"x", "xxx"},
		`^x{2,}$`: {"xx", "xxx"}, `(?i)^rm$`: {"RM", "rm"}, `[a-cx-z]`: {"a", "c", "x", "z"}, `^a+$`: {"a", "aa"},
	} {
		got := samples(expression)
		for _, text := range want {
			if !slices.Contains(got, text) {
				t.Errorf("%s: %q is not in %q", expression, text, got)
			}
		}
	}
}
