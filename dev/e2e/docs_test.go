//go:build unix

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/dev/stack"
)

// TestFirstToken runs the commands under "The first token, in a minute" as docs/security.md has
// them: what it says is approved runs, by a signed decision.
func TestFirstToken(t *testing.T) {
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```text\n(export PAWL_TOKEN_FILE=.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/security.md shows no commands")
	}
	w := newWorld(t, func(c *stack.Config) { c.Auth, c.SampleTools, c.Tools = stack.AuthTokens, true, "" })
	dir := t.TempDir()
	programs.BuildInto(t, filepath.Join(dir, "bin"), "pawl")
	data, err := filepath.Abs(w.config.Data)
	if err == nil {
		err = os.Symlink(data, filepath.Join(dir, ".pawl"))
	}
	if err != nil {
		t.Fatal(err)
	}
	// The reader takes the ID from the list.
	script := strings.Replace(string(block[1]), "bin/pawl approve", "ID=$(bin/pawl pending -o json --token-file rita.token | grep -o 'pawl-[a-z0-9]*' | head -n 1)\nbin/pawl approve", 1)
	script = strings.ReplaceAll(script, " ID ", ` "$ID" `)
	// A call that waits ends with exit code 5.
	script = "set -e\n" + regexp.MustCompile(`(?m)^bin/pawl call .*$`).ReplaceAllString(script, "$0 || test $$? = 5")
	run := exec.CommandContext(t.Context(), "sh", "-c", script)
	run.Dir, run.Env = dir, append(os.Environ(), "PAWL_API="+w.API)
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "approved by rita via cli") || strings.Contains(string(out), "unauthenticated") {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
}
