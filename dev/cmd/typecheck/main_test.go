package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A fault is found on the systems that have it, wherever it is, and on no other.
func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		files           map[string]string
		darwin, windows string // what the error says; empty: there is none
	}{
		"no fault": {files: map[string]string{"a.go": "package a\n"}},
		"what one system lacks": {
			files:   map[string]string{"a.go": "package a\n\nimport \"syscall\"\n\nfunc Stop() { _ = syscall.Kill(1, 9) }\n"},
			windows: "a.go:5",
		},
		"a file of one system": {
			files: map[string]string{"a.go": "package a\n", "b_windows.go": "package a\n\nfunc F() int { return \"x\" }\n"}, windows: "b_windows.go:3",
		},
		"a file that one system has not": {
			files:   map[string]string{"a.go": "package a\n\nfunc G() int { return f() }\n", "b_darwin.go": "package a\n\nfunc f() int { return 1 }\n"},
			windows: "undefined: f",
		},
		"a test": {
			files: map[string]string{"a.go": "package a\n", "a_test.go": "package a\n\nvar x int = \"\"\n"}, darwin: "a_test.go:3", windows: "a_test.go:3",
		},
		"a test from outside": {
			files: map[string]string{
				"a.go": "package a\n", "in_test.go": "package a\n\nfunc InTest() {}\n",
				"a_test.go": "package a_test\n\nimport \"example.com/a\"\n\nvar _ = a.InTest\nvar _ = a.Nowhere\n",
			}, darwin: "a_test.go:6", windows: "a_test.go:6",
		},
		"an import of one of our own": {
			files:   map[string]string{"a.go": "package a\n\nimport \"example.com/a/b\"\n\nvar _ = b.C\n", "b/b_darwin.go": "package b\n\nconst C = 1\n"},
			windows: "example.com/a/b",
		},
		"no such package":     {files: map[string]string{"a.go": "package a\n\nimport \"example.com/none\"\n\nvar _ = none.X\n"}, darwin: "example.com/none", windows: "example.com/none"},
		"what does not parse": {files: map[string]string{"a.go": "package a\n\nfunc {\n"}, darwin: "a.go:3", windows: "a.go:3"},
		"a language too new": {files: map[string]string{"a.go": "package a\n\nfunc F() {\n\tfor range 3 {\n\t}\n}\n", "go.mod": "module example.com/a\n\ngo 1.21\n"},
			darwin: "a.go:4", windows: "a.go:4"},
		"no packages": {files: map[string]string{"README": ""}, darwin: "no package", windows: "no package"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if tt.files["go.mod"] == "" {
				tt.files["go.mod"] = "module example.com/a\n\ngo 1.26\n"
			}
			for file, text := range tt.files {
				path := filepath.Join(dir, file)
				err := os.MkdirAll(filepath.Dir(path), 0o700)
				if err == nil {
					err = os.WriteFile(path, []byte(text), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			for system, want := range map[string]string{"darwin/arm64": tt.darwin, "windows/amd64": tt.windows} {
				n, err := check(dir, system)
				switch {
				case want == "" && (err != nil || n == 0):
					t.Errorf("%s: %d packages, %v", system, n, err)
				case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
					t.Errorf("%s: %v, want %q", system, err, want)
				}
			}
		})
	}
	for _, system := range []string{"windows", "windows/none", "none/amd64"} {
		if _, err := check(t.TempDir(), system); err == nil {
			t.Errorf("%s is a system", system)
		}
	}
}
