// Package nodetest finds what tests of TypeScript programs need, and builds such programs outside
// of the source tree.
package nodetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	patience = 5 * time.Minute // bounds everything together; seconds are usual

	advice = "the TypeScript tests need Node 20.3 or newer, npm, and a package registry that answers"
)

// Need skips the test if TypeScript programs can't be built here, or fails it under CI=true.
func Need(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := find(ctx); err != nil {
		err = fmt.Errorf("%s: %w", advice, err)
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func find(ctx context.Context) error {
	const check = `
		const [major, minor] = process.versions.node.split('.').map(Number);
		if (major < 20 || (major === 20 && minor < 3)) {
			console.error('this is Node ' + process.version);
			process.exit(1);
		}`
	if err := run(ctx, ".", "node", "-e", check); err != nil {
		return err
	}
	return run(ctx, ".", "npm", "ping", "--fetch-retries=1", "--fetch-timeout=20000")
}

// Build is Install, and compiles the copy.
func Build(t testing.TB, from string) (dir string) {
	t.Helper()
	dir = Install(t, from)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := run(ctx, dir, "npm", "run", "build"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Install copies the npm project in from, installs what its lock file names, and returns the copy's
// folder, which goes with the test. Downloads are kept in npm's own cache.
func Install(t testing.TB, from string) (dir string) {
	t.Helper()
	Need(t)
	dir = t.TempDir()
	if err := copyProject(dir, from); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := run(ctx, dir, "npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Browser returns the path of Chromium: what PAWL_CHROMIUM names, or the system's. It skips the test
// if there is none, or fails it under CI=true.
func Browser(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath(cmp.Or(os.Getenv("PAWL_CHROMIUM"), "chromium"))
	if err != nil {
		err = fmt.Errorf("the tests of the page need Chromium; PAWL_CHROMIUM names it: %w", err)
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// copyProject leaves out what the project's users make in it.
func copyProject(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		switch {
		case err != nil:
			return err
		case name == "node_modules", name == "dist", name == "outbox":
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, 0o600)
	})
}

func run(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second // for what it started itself
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", program, args[0], errors.Join(err, ctx.Err()), out)
	}
	return err
}
