package policies_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/rest"
)

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// activePolicy is what the API answers for an active policy of one file.
func activePolicy(t *testing.T, version int, name, text string) (digest, doc string) {
	t.Helper()
	set, err := policy.Inspect(policy.File{Name: name, Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	layer, err := json.Marshal(rest.PolicyLayer{Name: name, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	doc = fmt.Sprintf(`{"version":%d,"digest":%q,"by":"ana","layers":[%s]}`, version, set.Digest(), layer)
	return set.Digest(), doc
}
