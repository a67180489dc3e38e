package nodetest

import (
	"os"
	"strings"
	"testing"
)

// make test asks by this test whether those of TypeScript were skipped.
func TestThereIsANode(t *testing.T) { Need(t) }

// And by this one, whether those of the page were.
func TestThereIsABrowser(t *testing.T) {
	Need(t)
	Browser(t)
}

// What people install must come from the public registry, with its checksum.
func TestLockFile(t *testing.T) {
	lock, err := os.ReadFile("../../examples/typescript/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for _, line := range strings.Split(string(lock), "\n") {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, `"resolved":`):
			packages++
			if !strings.HasPrefix(line, `"resolved": "https://registry.npmjs.org/`) {
				t.Errorf("not from the public registry: %s", line)
			}
		case strings.HasPrefix(line, `"integrity":`):
			packages--
		}
	}
	if packages != 0 || !strings.Contains(string(lock), `"resolved"`) {
		t.Errorf("packages without a source or a checksum: %d", packages)
	}
}
