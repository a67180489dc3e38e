//go:build unix

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlhq/pawl/store/postgres"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/sqlite"
)

const policyText = `
rules:
  - {tool: allowed, auto_approve: true}
  - {tool: allowed_slow, auto_approve: true}
  - {tool: allowed_block, auto_approve: true}
  - {tool: own_allowed, auto_approve: true}
  - {tool: job_allowed, auto_approve: true}
  - {tool: shell_allowed, auto_approve: true}
  - {tool: "*", require_approval: true}
`

// Rules for what several people decide. Groups count where reviewers are known.
const (
	panelsOfNames = `
  - {tool: staged, decisions: any, stages: [{name: team, approvals: 1}, {name: ops, approvals: 1}]}
  - {tool: contested, decisions: any, approvals: 2, deny_count: 2}
`
	panelsOfGroups = `
  - {tool: staged, stages: [{name: team, approvals: [{group: team}]}, {name: ops, approvals: [{group: ops}]}]}
  - {tool: contested, approvals: [{group: team}, {count: 2}], deny_count: 2}
`
)

// policy is the text of the world's policy.
func (o spec) policy() string {
	if o.hardened {
		return policyText + panelsOfGroups
	}
	return policyText + panelsOfNames
}

// spec says what a world is made of, and how its storm goes.
type spec struct {
	bin      string // the folder of Pawl's programs
	hardened bool   // see hardening
	seed     uint64
	length   time.Duration
	long     bool // some outages take a minute
}

func (o spec) program(name string) string { return filepath.Join(o.bin, name) }

// newSingle is everything in one process, on SQLite.
func newSingle(t *testing.T, o spec) *world {
	w := newWorld(t, o)
	api := freeAddress(t)
	p := w.add("pawl-dev", "pawl-dev", []string{
		"--data", "data", "--tools", "tools.yaml", "--policy", "policy.yaml", "--no-ui",
		"--api-listen", api, "--temporal-listen", "127.0.0.1:0",
	})
	w.temporal, w.apis, w.workers = p, []*part{p}, []*part{p}
	if w.hardening != nil {
		p.args = append(p.args, "--auth", "tokens", "--decisions", "signed", "--encrypt")
		w.hardening.keyring = filepath.Join("data", "payload-keys.json")
		w.hardening.root = filepath.Join("data", "admin.token")
	}
	w.addCaller(api)
	w.logKey = filepath.Join("data", "log-key.pem")
	w.open = func(ctx context.Context) (storeReader, func() error, error) {
		s, err := sqlite.Open(ctx, sqlite.Options{Path: filepath.Join(w.dir, "data", "pawl.db"), ReadOnly: true})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	return w
}

// newDistributed is every part in a process of its own: Temporal, Postgres, two workers, two APIs,
// and an agent that is not started yet.
func newDistributed(t *testing.T, o spec) *world {
	cluster := pgtest.NewCluster(t)
	w := newWorld(t, o)
	cluster.Stop(t)
	database := w.add("postgres", "", nil)
	w.database, w.databaseURL = database, cluster.URL
	database.command = func(...string) *exec.Cmd { return cluster.Command() }
	database.serves = func() bool { return cluster.Ping(t.Context()) == nil }
	database.retries = true // as long as processes of its earlier life are still ending

	at := freeAddress(t)
	w.temporal = w.add("temporal", "pawl-dev",
		[]string{"--data", "data", "--no-api", "--no-worker", "--no-ui", "--temporal-listen", at})
	settings := []string{"TEMPORAL_ADDRESS=" + at, "PAWL_DATABASE_URL=" + cluster.URL}
	agentSettings := settings[:1:1]
	if h := w.hardening; h != nil {
		h.keyring, h.root, h.database = "payload-keys.json", "root.token", cluster.URL
		h.must("keyring", "new")
		settings, agentSettings = append(settings, h.keys()), append(agentSettings, h.keys())
	}
	var listens []string
	for _, name := range []string{"A", "B"} {
		worker := w.add("worker "+name, "pawl",
			[]string{"worker", "--log-level", "warn", "--policy", "policy.yaml", "--tools", "tools.yaml"}, settings...)
		listen := freeAddress(t)
		listens = append(listens, listen)
		api := w.add("api "+name, "pawl", []string{"api", "--log-level", "warn", "--listen", listen}, settings...)
		if w.hardening != nil {
			worker.args = append(worker.args, "--decisions", "signed")
			api.args = append(api.args, "--auth", "tokens", "--signing-key", signingKeyFile(o.seed, name))
		}
		for _, p := range []*part{worker, api} {
			p.needs = []*part{database, w.temporal}
		}
		w.workers, w.apis = append(w.workers, worker), append(w.apis, api)
	}
	w.agent = w.newAsker("agent", agentName, listens, nil, agentSettings)
	w.addCaller(listens...)
	w.logKey = filepath.Join(".pawl", "log-key.pem") // of both workers
	w.open = func(ctx context.Context) (storeReader, func() error, error) {
		s, err := postgres.Open(ctx, postgres.Options{URL: cluster.URL, ReadOnly: true})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	return w
}

// freeAddress is a free address for a part that comes back to it. The port is none that the system
// hands out by itself: another process's connection could take such a one while the part is away.
func freeAddress(t *testing.T) string {
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
