package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/dev/programs"
)

// The worker of unguarded workflows is this program, run again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == unguardedCommand {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestUsage(t *testing.T) {
	t.Setenv("PAWL_DATABASE_URL", "")
	for want, args := range map[string][]string{
		`"decisions" is none of calls, decision, events, memory`: {"--scenario", "calls,decisions"},
		"table, markdown or json":                                {"-o", "yaml"},
		"no time to measure":                                     {"--duration", "0s"},
		"no time to settle":                                      {"--settle", "-1s"},
		"at least 10":                                            {"--waiting", "9"},
		"is not a folder":                                        {"--data", "/nowhere/at/all"},
		"postgres://USER@HOST":                                   {"--database-url", "mysql://me:secret@host/db"},
		`unexpected argument "now"`:                              {"now"},
		"unknown flag":                                           {"--fast"},
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

// TestEveryScenario measures everything, so shortly that the figures mean nothing.
func TestEveryScenario(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds pawl and pawl-dev")
	}
	bin := programs.Build(t, "pawl", "pawl-dev")
	t.Setenv("PAWL_DATABASE_URL", os.Getenv("PAWL_TEST_DATABASE_URL")) // none: a throw-away server
	data := t.TempDir()
	// A Postgres that root starts runs as another user, who must get there.
	if err := os.Chmod(filepath.Dir(data), 0o755); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{
		"--duration", "20ms", "--waiting", "10", "--settle", "20ms", "-o", "json", "--data", data,
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
	// Which figures are expected to keep a bound: on each setup, and once for memory.
	expected := map[string]int{}
	for _, f := range r.Rows {
		if f.Expected != nil {
			expected[f.What]++
		}
	}
	setups := 2
	if r.Machine.Postgres != "not measured" {
		setups = 3
	}
	for _, what := range []string{"allowed / bare, throughput", "allowed / three activities, throughput", "allowed / bare, p50"} {
		if expected[what] != setups {
			t.Errorf("%s is expected to keep a bound on %d of %d setups", what, expected[what], setups)
		}
	}
	if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
