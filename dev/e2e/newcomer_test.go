//go:build unix

package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/dev/programs"
)

// TestNewcomer goes a new user's way: an empty module, the README's program,
// go run, and pawl approve in another terminal.
func TestNewcomer(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?ms)^```go\n(package main\n.*?)^```").FindSubmatch(readme)
	if program == nil {
		t.Fatal("the README shows no Go program")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "main.go", string(program[1]))
	write(t, dir, "go.sum", string(sums))
	write(t, dir, "go.mod", "module newcomer\n\ngo 1.26.0\n\nrequire github.com/pawlhq/pawl v0.0.0\n\nreplace github.com/pawlhq/pawl => "+root+"\n")

	w := newWorld(t)
	bin := filepath.Join(programs.Build(t, "pawl"), "pawl")
	// Everything it needs was downloaded to build this test.
	env := append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "TEMPORAL_ADDRESS="+w.Temporal)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, ".") // may take long the first time
	build.Dir, build.Env = dir, env
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var printed, complained bytes.Buffer
	run := exec.CommandContext(t.Context(), "go", "run", ".")
	run.Dir, run.Stdout, run.Stderr = dir, &printed, &complained
	run.Env = env
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.Cancel = func() error { return syscall.Kill(-run.Process.Pid, syscall.SIGKILL) } // go run and the program
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()

	var id string
	w.until("the program's call waits for people", func() bool {
		out, err := exec.Command(bin, "pending", "--api", w.API, "-o", "json").Output()
		if err != nil {
			t.Fatalf("pawl pending: %v", err)
		}
		if m := regexp.MustCompile(`"id":\s*"([^"]+)"`).FindSubmatch(out); m != nil {
			id = string(m[1])
		}
		return id != ""
	})
	if out, err := exec.Command(bin, "approve", id, "--as", "ana", "--api", w.API).CombinedOutput(); err != nil {
		t.Fatalf("pawl approve: %v\n%s", err, out)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v", err)
	}
	if got := printed.String(); got != "paid 1900 cents for order 4711 <nil>\n" || complained.Len() > 0 {
		t.Errorf("it printed %q and complained %q", got, strings.TrimSpace(complained.String()))
	}
	if s := w.status(id); s != approval.StatusExecuted {
		t.Errorf("the store says %s", s)
	}
}
