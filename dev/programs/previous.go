package programs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// previousFile names the commit whose parts must work beside those of this one. It moves on with
// each release.
const previousFile = "dev/e2e/previous"

// NeedPrevious skips the test where git's history lacks the previous commit, as in shallow clones,
// or fails it under CI=true.
func NeedPrevious(t testing.TB) {
	t.Helper()
	if err := findPrevious(t.Context()); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func findPrevious(ctx context.Context) error {
	root, commit, err := previous(ctx)
	if err != nil {
		return err
	}
	if err := git(ctx, root, "cat-file", "-e", commit+"^{commit}"); err != nil {
		const advice = "git's history lacks the commit that %s names; try git fetch --unshallow: %w"
		return fmt.Errorf(advice, previousFile, err)
	}
	return nil
}

func previous(ctx context.Context) (root, commit string, err error) {
	if root, err = Root(ctx); err != nil {
		return "", "", err
	}
	text, err := os.ReadFile(filepath.Join(root, previousFile))
	return root, strings.TrimSpace(string(text)), err
}

// PreviousTree makes a source tree of the previous commit, which goes when the test ends.
func PreviousTree(t testing.TB) (tree string) {
	t.Helper()
	NeedPrevious(t)
	root, commit, err := previous(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tree = filepath.Join(t.TempDir(), "pawl")
	if err := git(t.Context(), root, "worktree", "add", "--detach", tree, commit); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := git(context.Background(), root, "worktree", "remove", "--force", tree); err != nil {
			t.Error(err)
		}
	})
	return tree
}

func git(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
