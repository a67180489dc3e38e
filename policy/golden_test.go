package policy_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/policy"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// Each testdata/NAME.yaml is compiled by itself. NAME.golden holds all its problems, and warnings;
// a file without one has neither.
func TestCompileReportsEveryProblem(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			f := policy.File{Name: filepath.Base(path), Data: data}
			problems := policy.Check(f)
			set, err := policy.Compile(f)
			if (set == nil) != (err != nil) || (err != nil) != (problems.Err() != nil) {
				t.Errorf("set %v with error %v, and problems %v", set, err, problems)
			}
			got := ""
			if len(problems) > 0 {
				got = problems.Error() + "\n"
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".golden", got)
		})
	}
}

// Each directory in testdata/cases is a policy of one or several layers and calls, one JSON
// document a line. explained.golden is what Explain says of each.
func TestExplainGolden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no cases", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			paths, err := filepath.Glob(dir + "/*.yaml")
			if err != nil {
				t.Fatal(err)
			}
			files, err := policy.ReadFiles(paths...)
			if err != nil {
				t.Fatal(err)
			}
			for i := range files {
				files[i].Name = filepath.Base(files[i].Name)
			}
			set, err := policy.Inspect(files...)
			if err != nil {
				t.Fatal(err)
			}
			calls, err := os.ReadFile(dir + "/calls.ndjson")
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for line := range strings.Lines(string(calls)) {
				call, err := approval.ParseCall([]byte(line))
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				e := set.Explain(call, now)
				if v := set.Evaluate(call, now); !reflect.DeepEqual(e.Verdict, v) {
					t.Errorf("%s: explained as %+v, evaluated to %+v", line, e.Verdict, v)
				}
				e.Policy.Digest = ""
				doc, err := json.MarshalIndent(e, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString("# " + line + string(doc) + "\n\n")
			}
			golden(t, dir+"/explained.golden", got.String())
		})
	}
}

// golden compares got with a file, which is empty if it is not there.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update && got != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
