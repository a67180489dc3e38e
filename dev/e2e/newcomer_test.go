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

// readmeProgram makes a module of the Go program in a source tree's README, and returns its folder
// and the environment to build it in.
func readmeProgram(t *testing.T, root string) (dir string, env []string) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?ms)^```go\n(package main\n.*?)^```").FindSubmatch(readme)
	if program == nil {
		t.Fatal("the README shows no Go program")
	}
	dir = t.TempDir()
	return dir, programs.NewModule(t, root, dir, string(program[1]))
}

func buildReadmeProgram(t *testing.T, dir string, env []string, to string) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", to, ".")
	build.Dir, build.Env = dir, env
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the README's program: %v\n%s", err, out)
	}
}

// TestNewcomer goes a new user's way: an empty module, the README's program, go run, and pawl
// approve in another terminal.
func TestNewcomer(t *testing.T) {
	root, err := programs.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir, env := readmeProgram(t, root)
	buildReadmeProgram(t, dir, env, os.DevNull) // may take long the first time
	w := newWorld(t)
	bin := filepath.Join(programs.Build(t, "pawl"), "pawl")
	var printed, complained bytes.Buffer
	run := exec.CommandContext(t.Context(), "go", "run", ".")
	run.Dir, run.Stdout, run.Stderr = dir, &printed, &complained
	run.Env = append(env, "TEMPORAL_ADDRESS="+w.Temporal)
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
