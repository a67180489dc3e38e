package programs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// NewModule makes a folder with a Go module of one program, which uses Pawl as it is in a source tree. It
// returns the environment to build the module in.
func NewModule(t testing.TB, root, dir, program string) (env []string) {
	t.Helper()
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	for name, text := range map[string]string{
		"main.go": program,
		"go.sum":  string(sums),
		"go.mod": "module newcomer\n\ngo 1.26.0\n\nrequire github.com/pawlhq/pawl v0.0.0\n\n" +
			"replace github.com/pawlhq/pawl => " + root + "\n",
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	// Everything it needs was downloaded to build this test.
	return append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -mod=mod", "GOPROXY=off", "GOWORK=off")
}
