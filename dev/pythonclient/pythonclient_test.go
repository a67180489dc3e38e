// Package pythonclient_test runs the tests of the Python client.
package pythonclient_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/dev/pythontest"
)

const client = "../../clients/python"

// TestClient runs the tests in clients/python at a dev stack of their own. CrewAI can't be installed beside
// the others.
func TestClient(t *testing.T) {
	t.Setenv("PAWL_DEV", filepath.Join(programs.Build(t, "pawl-dev"), "pawl-dev"))
	const crewai = "tests/frameworks/test_crewai.py"
	for name, of := range map[string]struct {
		install func(testing.TB) string
		tests   []string
	}{
		"all":    {pythontest.InstallForClient, []string{"tests", "--ignore", crewai}},
		"CrewAI": {pythontest.InstallForCrewAI, []string{crewai}},
	} {
		t.Run(name, func(t *testing.T) {
			python := of.install(t)
			pytest := []string{"-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"}
			out := run(t, python, append(pytest, of.tests...)...)
			if os.Getenv("CI") == "true" && strings.Contains(out, "SKIPPED") {
				t.Error("a test was skipped")
			}
		})
	}
}

// TestLint checks the Python client's style and types.
func TestLint(t *testing.T) {
	python := pythontest.InstallForClient(t)
	run(t, python, "-m", "ruff", "check", "--no-cache")
	run(t, python, "-m", "ruff", "format", "--no-cache", "--check")
	run(t, python, "-m", "mypy", "--cache-dir", kept(python, "mypy"))
}

// installWheel installs the client's wheel in an environment where no package index is.
func installWheel(t *testing.T) (python string) {
	t.Helper()
	python, dist := pythontest.InstallForClient(t), t.TempDir()
	run(t, python, "-m", "hatchling", "build", "-t", "wheel", "-d", dist)
	wheels, err := filepath.Glob(filepath.Join(dist, "pawlhq-*-py3-none-any.whl"))
	if err != nil || len(wheels) != 1 {
		t.Fatal(wheels, err)
	}
	fresh := filepath.Join(t.TempDir(), "venv")
	run(t, python, "-m", "venv", fresh)
	python = filepath.Join(fresh, "bin", "python")
	run(t, python, "-m", "pip", "install", "-q", "--no-index", wheels[0])
	const check = `
import importlib.resources, pathlib, pawlhq
assert "site-packages" in pawlhq.__file__, pawlhq.__file__
assert (importlib.resources.files(pawlhq) / "py.typed").is_file()
assert callable(pawlhq.guard)
`
	run(t, python, "-I", "-c", check)
	return python
}

// addFrameworks lets a Python with the wheel find the frameworks that the client's tests have.
func addFrameworks(t *testing.T, python string) {
	t.Helper()
	const where = "import sysconfig; print(sysconfig.get_path('purelib'), end='')"
	into := filepath.Join(run(t, python, "-c", where), "frameworks.pth")
	from := run(t, pythontest.InstallForClient(t), "-c", where)
	if err := os.WriteFile(into, []byte(from+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs a Python in the client's folder, and returns what it says.
func run(t *testing.T, python string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, args...)
	cmd.Dir = client
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "PYTHONPATH=.", "PYTHONPYCACHEPREFIX="+kept(python, "pycache"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// kept is a folder in a Python's environment, for what it need not work out anew each time.
func kept(python, name string) string { return filepath.Join(filepath.Dir(python), "..", name) }
