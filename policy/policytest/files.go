package policytest

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// IsSuite reports whether a file is a suite by its name: *_test.yaml or *_test.yml.
func IsSuite(path string) bool {
	ext := filepath.Ext(path)
	return isYAML(path) && strings.HasSuffix(strings.TrimSuffix(path, ext), "_test")
}

func isYAML(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".yaml" || ext == ".yml"
}

// Suites returns the suites that paths stand for, in order: a file itself, a folder's suites by
// their names. A folder without one is a problem, so that a mistyped path does not pass for tests
// that pass. The error is yamlfile.Problems; the other paths' files are returned all the same.
func Suites(paths ...string) ([]string, error) {
	return expand(paths, IsSuite, "holds no suite", "name suites *_test.yaml, or give their paths")
}

// PolicyFiles is Suites for the files of a policy: a folder's YAML files that are not suites.
func PolicyFiles(paths ...string) ([]string, error) {
	return expand(paths, func(name string) bool { return isYAML(name) && !IsSuite(name) },
		"holds no policy", "name the policy's files *.yaml, or give their paths")
}

func expand(paths []string, takes func(name string) bool, none, hint string) ([]string, error) {
	var problems yamlfile.Problems
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			files = append(files, path) // what can't be read is said by whoever reads it
			continue
		}
		entries, err := os.ReadDir(path) // sorted by name
		if err != nil {
			yamlfile.ReadFile(path, &problems)
			continue
		}
		found := len(files)
		for _, e := range entries {
			if name := e.Name(); !strings.HasPrefix(name, ".") && !e.IsDir() && takes(name) {
				files = append(files, filepath.Join(path, name))
			}
		}
		if len(files) == found {
			problems.Add(yamlfile.Problem{
				File: approval.Display(path, 300), Message: "the folder " + none, Hint: hint,
			})
		}
	}
	return files, problems.Err()
}
