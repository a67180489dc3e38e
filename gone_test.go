package pawl_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// gone are packages and names that were replaced and may not come back, as regular expressions over
// Go files, with the one file, if any, where they may stand, and what to use instead. Whoever
// replaces what others might write again adds a line.
var gone = []struct{ what, where, instead string }{
	{`"github\.com/pawlhq/pawl/internal/(backend|starter)"`, "", "internal/calls talks to Temporal about calls, internal/agent is the SDK's runtime"},
	{`\bpawl\.NewWith\(`, "", "pawl.New takes a client that is a Backend of internal/agent, as pawltest's is"},
	{`\btool\.Elsewhere\(`, "", "tool.Remote"},
	{`rand\.N\(\w+/2\s*\+\s*1\)`, "internal/retry/retry.go", "internal/retry holds the one back-off"},
	{`== enums(pb)?\.WORKFLOW_EXECUTION_STATUS_RUNNING\b`, "internal/calls/calls.go", "calls.IsOpen: a paused workflow is open, too"},
}

func TestWhatIsGoneStaysAway(t *testing.T) {
	var patterns []*regexp.Regexp
	for _, g := range gone {
		patterns = append(patterns, regexp.MustCompile(g.what))
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go"), path == "gone_test.go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, p := range patterns {
			if at := p.FindIndex(text); at != nil && path != gone[i].where {
				line := 1 + strings.Count(string(text[:at[0]]), "\n")
				t.Errorf("%s:%d: %s is gone: %s", path, line, text[at[0]:at[1]], gone[i].instead)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
