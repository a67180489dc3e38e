// Package programs builds Pawl's programs, and says in which environment they run on servers of
// their own.
package programs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/osfile"
)

// packages are the programs: the folder of each one's module, from the root of the source tree, and
// its package there.
var packages = map[string][2]string{
	"pawl":       {".", "./cmd/pawl"},
	"demo-agent": {".", "./examples/agent"},
	"pawl-dev":   {"dev", "./cmd/pawl-dev"},
	"pawl-demo":  {"dev", "./cmd/pawl-demo"},
	"crashagent": {"dev", "./crash/crashagent"},
}

// Build builds programs of this source tree into a folder of the test's, which it returns.
func Build(t testing.TB, names ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	BuildInto(t, dir, names...)
	return dir
}

// BuildInto builds programs of this source tree into a folder. They are not built with the race
// detector when the tests are: that would build Temporal's server anew. Each is linked once for all
// packages with tests, in bin/test, since Temporal's server takes many seconds.
func BuildInto(t testing.TB, dir string, names ...string) {
	t.Helper()
	root, err := Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := buildOnce(t.Context(), root, dir, name); err != nil {
			t.Fatal(err)
		}
	}
}

func buildOnce(ctx context.Context, root, dir, name string) error {
	kept := filepath.Join(root, "bin", "test")
	if err := errors.Join(os.MkdirAll(kept, 0o700), os.MkdirAll(dir, 0o700)); err != nil {
		return err
	}
	// Other packages may build the same now. What is up to date, go build leaves as it is.
	lock, err := osfile.OpenLocked(filepath.Join(kept, name+".lock"), os.O_RDWR|os.O_CREATE, osfile.Wait)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := BuildFrom(ctx, root, kept, name); err != nil {
		return err
	}
	from, to := filepath.Join(kept, executable(name)), filepath.Join(dir, executable(name))
	if os.Link(from, to) == nil {
		return nil
	}
	program, err := os.ReadFile(from) // the folders are on two disks
	if err != nil {
		return err
	}
	return os.WriteFile(to, program, 0o700)
}

// BuildFrom builds one program of a source tree into a folder.
func BuildFrom(ctx context.Context, root, dir, name string) error {
	of := packages[name]
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, executable(name)), of[1])
	cmd.Dir = filepath.Join(root, of[0])
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return nil
}

// Root is the root of the source tree that the current folder is in, which must be one of module
// dev.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the source tree: %w", err)
	}
	return filepath.Dir(filepath.Dir(strings.TrimSpace(string(out)))), nil
}

// Beside is the path of a program in the folder of this one.
func Beside(name string) (string, error) {
	own, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the programs beside this one: %w", err)
	}
	return filepath.Join(filepath.Dir(own), executable(name)), nil
}

func executable(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}

// Environment is this process's, without what would lead Pawl's programs to another Temporal or
// another store, and with variables of the form NAME=VALUE.
func Environment(variables ...string) (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "TEMPORAL_") && !strings.HasPrefix(kv, "PAWL_") {
			env = append(env, kv)
		}
	}
	return append(env, variables...)
}
