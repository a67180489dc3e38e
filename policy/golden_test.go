package policy_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/policy"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// Each testdata/NAME.yaml is compiled by itself. NAME.golden holds all its
// problems; a file without one compiles.
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
			set, err := policy.Compile(policy.File{Name: filepath.Base(path), Data: data})
			got := ""
			if err != nil {
				got = err.Error() + "\n"
			}
			if (set == nil) != (err != nil) {
				t.Errorf("set %v with error %v: want one of them", set, err)
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".golden"
			if *update && got != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
