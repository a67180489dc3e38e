package pawl_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Binaries are built without symbols, and those of a release without this machine's paths.
func TestBinariesAreStripped(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("NOT CHECKED how binaries are built:", err)
	}
	for target, binaries := range map[string][]string{
		"build":      {"pawl", "demo-agent", "pawl-dev", "pawl-demo"},
		"release":    {"release/pawl"},
		"bench-load": {"pawl", "demo-agent", "pawl-dev", "pawl-demo", "pawl-load"},
	} {
		out, err := exec.Command("make", "--dry-run", "--no-print-directory", target, "GO=go", "BIN=bin").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		built := map[string]bool{}
		for line := range strings.Lines(string(out)) {
			_, command, isBuild := strings.Cut(line, "go build ")
			if !isBuild {
				continue
			}
			_, rest, _ := strings.Cut(command, "-o bin/")
			name, _, _ := strings.Cut(rest, " ")
			built[name] = true
			if !strings.Contains(command, `-ldflags "-s -w`) {
				t.Errorf("make %s does not strip %s: %s", target, name, line)
			}
			if target == "release" && !strings.Contains(command, "-trimpath") {
				t.Errorf("make release leaves paths in %s: %s", name, line)
			}
		}
		for _, name := range binaries {
			if !built[name] {
				t.Errorf("make %s does not build %s:\n%s", target, name, out)
			}
			delete(built, name)
		}
		for name := range built {
			t.Errorf("make %s builds %s, which nobody looked at", target, name)
		}
	}
}
