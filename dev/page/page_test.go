package page_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/nodetest"
	"github.com/pawlhq/pawl/dev/programs"
)

// TestPage runs the tests in web/test: people in real browsers, at a dev stack of their own.
func TestPage(t *testing.T) {
	browser := nodetest.Browser(t)
	dir := nodetest.Install(t, "../../web")
	cmd := exec.CommandContext(t.Context(), "npm", "test")
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "PAWL_CHROMIUM="+browser, "PAWL_SOURCE="+source,
		"PAWL_DEV="+filepath.Join(programs.Build(t, "pawl-dev"), "pawl-dev"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
