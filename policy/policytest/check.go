package policytest

// T is what Check needs of a *testing.T.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Check runs the suites that paths stand for, as Suites says, and fails t for every verdict that is
// not as expected and for suites or policies that can't be read.
func Check(t T, paths ...string) {
	t.Helper()
	files, err := Suites(paths...)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	suites, err := LoadAll(files...)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	report, err := Run(suites...)
	if err != nil {
		t.Errorf("%v", err)
		return
	}
	for _, r := range report.Results {
		for _, m := range r.Mismatches {
			t.Errorf("%s: %s: %s; the rule is %s", r.Place, r.Name, m, r.Explanation.Policy.Rule)
		}
	}
}
