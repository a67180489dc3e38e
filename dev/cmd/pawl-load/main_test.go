package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The floor's worker is this program, run again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == bareCommand {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestUsage(t *testing.T) {
	t.Setenv("PAWL_DATABASE_URL", "")
	for want, args := range map[string][]string{
		`"decisions" is none of calls, decision`: {"--scenario", "calls,decisions"},
		"table, markdown or json":                {"-o", "yaml"},
		"no time to measure":                     {"--duration", "0s"},
		"no time to settle":                      {"--settle", "-1s"},
		"at least 10":                            {"--waiting", "9"},
		"compared with 100":                      {"--pending", "100"},
		"is no folder":                           {"--data", "/nowhere/at/all"},
		"postgres://USER@HOST":                   {"--database-url", "mysql://me:secret@host/db"},
		`unexpected argument "now"`:              {"now"},
		"unknown flag":                           {"--fast"},
	} {
		var stderr bytes.Buffer
		if code := run(args, io.Discard, &stderr); code != exitUsage {
			t.Errorf("%v: exit code %d", args, code)
		}
		if !strings.Contains(stderr.String(), want) || strings.Contains(stderr.String(), "secret") {
			t.Errorf("%v: %s", args, stderr.String())
		}
	}
	var stderr bytes.Buffer
	if code := run([]string{"--scenario", "memory", "--pawl-bin", "/nowhere/pawl"}, io.Discard, &stderr); code != exitError || !strings.Contains(stderr.String(), "--pawl-bin") {
		t.Errorf("%d: %s", code, stderr.String())
	}
}

// TestEveryScenario measures everything, so shortly that the figures mean
// nothing.
func TestEveryScenario(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds pawl and pawl-dev")
	}
	bin := t.TempDir()
	for name, folder := range map[string]string{"pawl": "../../..", "pawl-dev": "../.."} {
		out, err := exec.CommandContext(t.Context(), "go", "build", "-C", folder, "-o", filepath.Join(bin, name), "./cmd/"+name).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Setenv("PAWL_DATABASE_URL", os.Getenv("PAWL_TEST_DATABASE_URL")) // none: a throw-away server
	data := t.TempDir()
	// A Postgres that root starts runs as another user, who must get there.
	if err := os.Chmod(filepath.Dir(data), 0o755); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{
		"--duration", "20ms", "--waiting", "10", "--pending", "101", "--settle", "20ms", "-o", "json", "--data", data,
		"--pawl-bin", filepath.Join(bin, "pawl"), "--dev-bin", filepath.Join(bin, "pawl-dev"),
	}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr.String())
	}
	var r report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		if s.name == "memory" && len(r.Notes) > 0 {
			continue // not on this system
		}
		if len(r.of(s.name)) == 0 {
			t.Errorf("%s has no figures", s.name)
		}
	}
	// What does not hang on how fast this machine is.
	for _, want := range []string{"bare", "allowed", "gated, no search attributes"} {
		i := slices.IndexFunc(r.Rows, func(f row) bool { return f.Scenario == "events" && f.What == want })
		if i < 0 || r.Rows[i].Value < 11 || r.Rows[i].Met != nil && !*r.Rows[i].Met {
			t.Errorf("events of %s: %+v", want, r.of("events"))
		}
	}
	if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
