//go:build unix

package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pawlhq/pawl/store/postgres"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/sqlite"
)

const crashPolicy = `
rules:
  - {tool: allowed, auto_approve: true}
  - {tool: allowed_slow, auto_approve: true}
  - {tool: allowed_block, auto_approve: true}
  - {tool: own_allowed, auto_approve: true}
  - {tool: "*", require_approval: true}
`

// crashSite is where a world is laid, and which.
type crashSite struct {
	crashBinaries
	seed   uint64 // of storms
	sealed bool   // see crashSeal
}

// newCrashStack is everything in one process, on SQLite.
func newCrashStack(t *testing.T, site crashSite) *crashWorld {
	w := newCrashWorld(t, site)
	p := w.add("pawl-dev", site.dev, nil, "--data", "data", "--tools", "tools.yaml", "--policy", "policy.yaml", "--no-ui",
		"--api-listen", "127.0.0.1:0", "--temporal-listen", "127.0.0.1:0")
	w.temporal, w.apis, w.workers = p, []*crashPart{p}, []*crashPart{p}
	if w.seal != nil {
		p.args = append(p.args, "--auth", "tokens", "--decisions", "signed", "--encrypt")
		w.seal.keyring, w.seal.root = filepath.Join("data", "payload-keys.json"), filepath.Join("data", "admin.token")
	}
	w.open = func(ctx context.Context) (crashStore, func() error, error) {
		s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(w.dir, "data", "pawl.db"), ReadOnly: true})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	return w
}

// newCrashTown is every part in a process of its own: Temporal, Postgres, two
// workers, two APIs, and an agent that is not started yet.
func newCrashTown(t *testing.T, site crashSite) *crashWorld {
	cluster := pgtest.NewCluster(t)
	w := newCrashWorld(t, site)
	cluster.Stop(t)
	database := w.add("postgres", "", nil)
	w.database, w.databaseURL = database, cluster.URL
	database.command = func(...string) *exec.Cmd { return cluster.Command() }
	database.probe = func() bool { return cluster.Ping(t.Context()) == nil }
	database.stubborn = true // as long as processes of its life before are still ending

	at := crashAddress(t)
	w.temporal = w.add("temporal", site.dev, nil, "--data", "data", "--no-api", "--no-worker", "--no-ui", "--temporal-listen", at)
	both := []*crashPart{database, w.temporal}
	settings := []string{"TEMPORAL_ADDRESS=" + at, "PAWL_DATABASE_URL=" + cluster.URL}
	agentSettings := settings[:1:1]
	var urls []string
	if w.seal != nil {
		w.seal.keyring, w.seal.root, w.seal.database = "payload-keys.json", "root.token", cluster.URL
		w.seal.must("keyring", "new")
		settings, agentSettings = append(settings, w.seal.keys()), append(agentSettings, w.seal.keys())
	}
	for _, name := range []string{"A", "B"} {
		worker := w.add("worker "+name, site.pawl, both,
			"worker", "--log-level", "warn", "--policy", "policy.yaml", "--tools", "tools.yaml").env(settings...)
		listen := crashAddress(t)
		urls = append(urls, "http://"+listen)
		api := w.add("api "+name, site.pawl, both, "api", "--log-level", "warn", "--listen", listen).env(settings...)
		if w.seal != nil {
			worker.args = append(worker.args, "--decisions", "signed")
			api.args = append(api.args, "--auth", "tokens", "--signing-key", crashSigningKey(site.seed, name))
		}
		w.workers, w.apis = append(w.workers, worker), append(w.apis, api)
	}
	w.agent = w.add("agent", site.agent, nil, "--journal", crashJournal, "--runs", crashRuns,
		"--api", urls[0], "--api", urls[1]).env(agentSettings...)
	w.agent.probe = func() bool { return true }
	w.open = func(ctx context.Context) (crashStore, func() error, error) {
		s, err := postgres.Open(ctx, postgres.Options{URL: cluster.URL, ReadOnly: true})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	return w
}

// crashAddress is a free address for a part that comes back to it. The port
// is none that the system hands out by itself: another process's connection
// could take such a one while the part is away.
func crashAddress(t *testing.T) string {
	t.Helper()
	var last error
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err != nil {
			last = err
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return l.Addr().String()
	}
	t.Fatal(last)
	return ""
}

type crashBinaries struct{ dev, pawl, agent string }

// crashBuild builds the programs that users run. They are not built with the
// race detector when the tests are: that would build Temporal's server anew.
func crashBuild(t *testing.T) crashBinaries {
	t.Helper()
	dir := t.TempDir()
	b := crashBinaries{filepath.Join(dir, "pawl-dev"), filepath.Join(dir, "pawl"), filepath.Join(dir, "agent")}
	for binary, source := range map[string][2]string{b.dev: {".", "../cmd/pawl-dev"}, b.pawl: {"../..", "./cmd/pawl"}, b.agent: {".", "./crashagent"}} {
		out, err := exec.CommandContext(t.Context(), "go", "build", "-C", source[0], "-o", binary, source[1]).CombinedOutput()
		if err != nil {
			t.Fatal(fmt.Errorf("go build %s: %w\n%s", source[1], err, out))
		}
	}
	return b
}
