package pawl_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What lint makes of govulncheck's answers: only a database that is away may be passed over.
func TestVulncheck(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip(err)
	}
	const found = `=== Symbol Results ===\n\nVulnerability #1: GO-2099-0001\n    Made up\nVulnerability #2: GO-2099-0002\n`
	const away = `govulncheck: fetching vulnerabilities: Get "https://vuln.go.dev/index/modules.json.gz": no such host\n`
	for _, c := range []struct {
		name, answer, allowed string
		exits                 int
		strict, fails         bool
		says                  string
	}{
		{"nothing found", "No vulnerabilities found.", "", 0, false, false, ""},
		{"found", found, "", 3, false, true, "VULNERABLE: GO-2099-0001 GO-2099-0002."},
		{"one of them may stay", found, "GO-2099-0001  it is made up", 3, false, true, "VULNERABLE: GO-2099-0002."},
		{"all may stay", found, "GO-2099-0001  it is made up\nGO-2099-0002\tthis, too", 3, false, false, "GO-2099-0002 may stay: this, too"},
		{"a longer ID may stay", found, "GO-2099-00011 x\nGO-2099-0002 x", 3, false, true, "VULNERABLE: GO-2099-0001."},
		{"no reason", found, "GO-2099-0001\nGO-2099-0002  ", 3, false, true, "VULNERABLE: GO-2099-0001 GO-2099-0002."},
		{"found, and unreadable", "something else", "", 3, false, true, "VULNERABLE"},
		{"database away", away, "", 1, false, false, "NOT CHECKED"},
		{"database away, and needed", away, "", 1, true, true, "NOT CHECKED"},
		{"code that does not compile", "govulncheck: loading packages: expected ')'", "", 1, false, true, "could not look"},
		{"it crashed", "panic: nil", "", 2, false, true, "could not look"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			script, err := os.ReadFile(".ci/vulncheck")
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				".ci/vulncheck": string(script), ".ci/vulnerabilities.txt": "# GO-2099-0001 no reason\n" + c.allowed + "\n",
				"govulncheck": fmt.Sprintf("#!/bin/sh\nprintf '%s'\nexit %d\n", strings.ReplaceAll(c.answer, "'", `'\''`), c.exits), "dev/x": "",
			} {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			args := []string{filepath.Join(dir, ".ci/vulncheck")}
			if c.strict {
				args = append(args, "--strict")
			}
			out, err := exec.Command("bash", append(args, filepath.Join(dir, "govulncheck"), ".", "dev")...).CombinedOutput()
			if (err != nil) != c.fails || !strings.Contains(string(out), c.says) {
				t.Errorf("%v, want a failure: %t, and %q:\n%s", err, c.fails, c.says, out)
			}
		})
	}
}
