package page_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/nodetest"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// TestPage runs the tests in web/test: people in real browsers, at a dev stack of their own.
func TestPage(t *testing.T) {
	browser := nodetest.Browser(t)
	dir := nodetest.Install(t, "../../web")
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "PAWL_CHROMIUM="+browser, "PAWL_SOURCE="+source,
		"PAWL_DEV="+filepath.Join(programs.Build(t, "pawl-dev", "pawl"), "pawl-dev"))
	run := func(t *testing.T, env []string, args ...string) {
		cmd := exec.CommandContext(t.Context(), "npm", append([]string{"test", "--"}, args...)...)
		cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, 10*time.Second
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Run("loopback", func(t *testing.T) { run(t, env) })
	t.Run("TLS", func(t *testing.T) {
		more := []string{"PAWL_PAGE_DATABASE=" + pgtest.New(t), "PAWL_PAGE_TLS=" + certificate(t)}
		run(t, append(env, more...), "signin")
	})
}

// certificate makes a folder with a certificate and its key.
func certificate(t *testing.T) (dir string) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pair := s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
