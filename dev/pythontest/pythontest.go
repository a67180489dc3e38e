// Package pythontest installs the programs in Python that tests run.
package pythontest

import (
	"context"
	"crypto/sha256"
	_ "embed" // requirements.txt
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const (
	patience = 5 * time.Minute // bounds an installation; it usually takes some seconds

	advice = "the tests of the API's contract, of other tools' policies and of the Python client need " +
		"Python 3.11 or newer with venv, and a package index that answers"
)

var (
	//go:embed requirements.txt
	tools []byte
	//go:embed requirements-client.txt
	clients []byte
	//go:embed requirements-crewai.txt
	crewai []byte
)

// uv installs what is pinned in seconds, where pip takes minutes.
const uv = "uv==0.13.8\n"

// Install installs requirements.txt and returns the Python that has it. What is installed is kept in
// the user's cache folder, for the next time. Install skips the test where that can't be done, or
// fails it under CI=true.
func Install(t testing.TB) (python string) { return installed(t, tools) }

// InstallForClient is Install of requirements-client.txt, what the tests of clients/python need.
func InstallForClient(t testing.TB) (python string) { return installed(t, clients) }

// InstallForCrewAI is Install of requirements-crewai.txt: CrewAI needs older libraries than the others.
func InstallForCrewAI(t testing.TB) (python string) { return installed(t, crewai) }

// InstallFrom is Install with a file of requirements of the test's own.
func InstallFrom(t testing.TB, file string) (python string) {
	t.Helper()
	wanted, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return installed(t, wanted)
}

func installed(t testing.TB, requirements []byte) (python string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	python, err := install(ctx, requirements)
	if err == nil {
		return python
	}
	err = fmt.Errorf("%s: %w", advice, err)
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
	return ""
}

func install(ctx context.Context, requirements []byte) (python string, err error) {
	// The version and place of Python, too: an environment works with the one that made it only.
	const check = `import sys, venv, ensurepip
if sys.version_info < (3, 11):
    sys.exit("this is Python " + sys.version)
print(sys.version, sys.executable)`
	which, err := run(ctx, nil, "python3", "-c", check)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "pawl")
	installer, err := environment(ctx, cache, which, []byte(uv), func(folder, wanted string) error {
		if _, err := run(ctx, nil, "python3", "-m", "venv", folder); err != nil {
			return err
		}
		_, err := run(ctx, nil, inside(folder, "python"), "-m", "pip", "install", "--quiet", "--requirement", wanted)
		return err
	})
	if err != nil {
		return "", err
	}
	// As pip does, where it is told another index.
	env := []string{"UV_CACHE_DIR=" + filepath.Join(cache, "uv"), "UV_HTTP_TIMEOUT=180"}
	if index := os.Getenv("PIP_INDEX_URL"); index != "" {
		env = append(env, "UV_DEFAULT_INDEX="+index)
	}
	folder, err := environment(ctx, cache, which, requirements, func(folder, wanted string) error {
		if _, err := run(ctx, nil, "python3", "-m", "venv", "--without-pip", folder); err != nil {
			return err
		}
		_, err := run(ctx, env, inside(installer, "uv"), "pip", "install", "--quiet",
			"--python", inside(folder, "python"), "--requirement", wanted)
		return err
	})
	return inside(folder, "python"), err
}

func inside(environment, program string) string { return filepath.Join(environment, "bin", program) }

// environment makes a virtual environment, with what fill installs there, unless there is one.
func environment(ctx context.Context, cache string, which, requirements []byte,
	fill func(folder, wanted string) error,
) (folder string, err error) {
	key := sha256.Sum256(append(slices.Clip(which), requirements...))
	folder = filepath.Join(cache, "python-"+hex.EncodeToString(key[:8]))
	if _, err := os.Stat(inside(folder, "python")); err == nil {
		return folder, nil
	}

	// Other tests may install the same now. The folder appears when it is whole.
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(cache, "python-new-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	wanted := filepath.Join(fresh, "requirements.txt")
	if err := os.WriteFile(wanted, requirements, 0o600); err != nil {
		return "", err
	}
	if err := fill(fresh, wanted); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, folder); err != nil {
		if _, missing := os.Stat(inside(folder, "python")); missing != nil {
			return "", err
		}
	}
	return folder, nil
}

func run(ctx context.Context, env []string, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = 10 * time.Second // for what it started itself
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", program, errors.Join(err, ctx.Err()), out)
	}
	return out, nil
}
