//go:build unix

package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// TestProcesses runs workers and APIs as processes of their own, as real users do, on one Temporal
// and one Postgres.
func TestProcesses(t *testing.T) {
	d := newDeployment(t)
	for name, test := range map[string]func(*testing.T, *deployment){
		"setup and doctor": testSetupAndDoctor,
		"a call by all":    testCallByAll,
		"graceful stop":    testGracefulStop,
		"start":            testStart,
		"readiness":        testReadiness,
		"SQLite":           testProcessesOnSQLite,
		"policy":           testPolicyOfProcesses,
		"policy changes":   testPolicyChangesOfProcesses,
		"notifications":    testNotifications,
	} {
		t.Run(name, func(t *testing.T) { test(t, d) })
	}
	// The last, since it takes Temporal away from everybody.
	t.Run("Temporal stops", func(t *testing.T) { testTemporalStops(t, d) })
}

func testSetupAndDoctor(t *testing.T, d *deployment) {
	database := d.database(t)
	env := d.environment("fresh", database)
	d.want(t, env, 1, []string{"ok             temporal", "version 1.", "missing        namespace           fresh", "skipped        search attributes",
		"missing        store", "there is no Pawl store in this database", "→ create it with '", "pawl setup'"}, "doctor")
	d.want(t, env, 0, []string{"to do          namespace           fresh: create it with a retention of 720h", "to do          search attributes", "to do          store"}, "setup", "--dry-run")
	d.want(t, env, 1, []string{"missing        namespace", "missing        store"}, "doctor")

	var outs [4]string
	var all sync.WaitGroup
	for i := range outs {
		all.Go(func() { outs[i] = d.want(t, env, 0, nil, "setup", "-o", "json") })
	}
	all.Wait()
	done := map[string]int{}
	for _, out := range outs {
		var report struct {
			Checks []struct{ Name, State string }
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, c := range report.Checks {
			if c.State == "done" {
				done[c.Name]++
			}
		}
	}
	if done["namespace"] != 1 || done["search attributes"] < 1 || done["store"] < 1 {
		t.Errorf("done %v", done)
	}
	d.want(t, env, 0, []string{"already there  namespace           fresh, retention 720h", "already there  search attributes   PawlAgent, PawlStatus, PawlTool", "already there  store"}, "setup")
	d.want(t, env, 0, []string{"to do          namespace           fresh: change the retention from 720h to 48h"}, "setup", "--dry-run", "--retention", "48h")
	d.want(t, env, 0, []string{"done           namespace           fresh, retention 48h, was 720h"}, "setup", "--retention", "48h")
	d.want(t, env, 0, []string{"already there  namespace           fresh, retention 48h"}, "setup")

	d.want(t, env, 1, []string{"ok             namespace", "ok             search attributes", "ok             store", "ok             clock", "ok             policy", "ok             tools               3 in ",
		"missing        workflow workers", "missing        activity workers"}, "doctor", "--policy", d.policy, "--tools", d.tools)
	d.worker(t, env)
	waitFor(t, "doctor finds all well", func() bool {
		out, code := d.run(t, env, "doctor", "-o", "json")
		return code == 0 && strings.Contains(out, `"ok":true`)
	})
	remote := write(t, t.TempDir(), "remote.yaml", "tools: [{name: translate, activity: {task_queue: tools-python}}]\n")
	d.serve(t, env, "worker", "--tools", remote)
	d.want(t, env, 1, []string{"missing        tool workers        nobody polls the task queue tools-python", "start the process that runs translate"}, "doctor")
}

// documentedGrants are the rights that docs/operations.md gives to workers and APIs.
func documentedGrants(t *testing.T) string {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```sql\n")
	grants, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("docs/operations.md shows no grants")
	}
	return grants
}

// as is a database for another user.
func as(t *testing.T, database, user, password string) string {
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func testCallByAll(t *testing.T, d *deployment) {
	database := d.database(t)
	env := d.environment("all", database)
	d.want(t, env, 0, nil, "setup")
	pgtest.Exec(t, database, `CREATE ROLE pawl_worker LOGIN PASSWORD 'w'; CREATE ROLE pawl_api LOGIN PASSWORD 'a'`, documentedGrants(t))
	d.worker(t, env)
	d.worker(t, d.environment("all", as(t, database, "pawl_worker", "w")), "--keep-schema", "--log-format", "json")
	limited := d.environment("all", as(t, database, "pawl_api", "a"))
	apis := []string{d.api(t, env).API, d.api(t, limited).API}
	w := &world{t: t}

	a := w.http(http.MethodPost, apis[0]+"/api/calls", `{"tool":"read","args":{},"wait":"20s"}`)
	if a.text("status") != "executed" || d.ran(a.text("id")) != 1 {
		t.Errorf("%d %v", a.code, a.doc)
	}
	a = w.http(http.MethodPost, apis[0]+"/api/calls", `{"tool":"send","args":{"to":"x"},"idempotency_key":"k"}`)
	again := w.http(http.MethodPost, apis[1]+"/api/calls", `{"tool":"send","args":{"to":"x"},"idempotency_key":"k"}`)
	id := a.text("id")
	if id == "" || again.text("id") != id {
		t.Fatalf("%v %v", a.doc, again.doc)
	}
	waitFor(t, "the call is pending", func() bool {
		return w.http(http.MethodGet, apis[1]+"/api/requests/"+id, "").text("status") == "pending"
	})
	a = w.http(http.MethodPost, apis[1]+"/api/requests/"+id+"/approve", `{}`, "X-Pawl-Reviewer", "ana")
	if a.text("outcome") != "resolved" {
		t.Errorf("%d %v", a.code, a.doc)
	}
	a = w.http(http.MethodGet, apis[0]+"/api/calls/"+id+"?wait=20s", "")
	if a.text("status") != "executed" || d.ran(id) != 1 {
		t.Errorf("%d %v, %d runs", a.code, a.doc, d.ran(id))
	}
	callersByAll(t, d, env, apis)
}

func testGracefulStop(t *testing.T, d *deployment) {
	env := d.setUp(t, "stop")
	api := d.api(t, env)
	w := &world{t: t}
	slow := func() string {
		id := w.http(http.MethodPost, api.API+"/api/calls", `{"tool":"slow","args":{}}`).text("id")
		waitFor(t, "the tool runs", func() bool { return d.ran(id) == 1 })
		return id
	}
	status := func(id string) string {
		return w.http(http.MethodGet, api.API+"/api/calls/"+id+"?wait=20s", "").text("status")
	}
	stopping := func(p *process) {
		waitFor(t, "it is stopping", func() bool {
			code, r := p.readyz()
			return code == http.StatusServiceUnavailable && r.Checks["process"] == "unavailable"
		})
	}
	first := d.worker(t, env)
	id := slow()
	first.Signal(syscall.SIGTERM)
	stopping(first)
	d.release(id)
	if code := first.exit(); code != 0 {
		t.Errorf("exit code %d\n%s", code, first.stderr())
	}
	second := d.worker(t, env) // ends what the first left to do
	if got := status(id); got != "executed" || d.ran(id) != 1 {
		t.Errorf("the call is %s after %d runs", got, d.ran(id))
	}
	second.Signal(syscall.SIGINT)
	third := d.worker(t, env)
	hangup := syscall.SIGHUP
	if signal.Ignored(hangup) { // under nohup, where it is meant to do nothing
		hangup = syscall.SIGTERM
	}
	third.Signal(hangup)
	for _, idle := range []*process{second, third} {
		if code := idle.exit(); code != 0 {
			t.Errorf("exit code %d\n%s", code, idle.stderr())
		}
	}

	impatient := d.worker(t, env)
	id = slow()
	impatient.Signal(syscall.SIGTERM)
	stopping(impatient)
	impatient.Signal(syscall.SIGTERM)
	if code := impatient.exit(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d of a process that was told twice", code)
	}
	d.release(id)

	short := d.worker(t, env, "--stop-timeout", "1s")
	id = slow()
	short.Signal(syscall.SIGTERM)
	if code := short.exit(); code != 0 {
		t.Errorf("exit code %d\n%s", code, short.stderr())
	}
	d.worker(t, env)
	if got := status(id); got != "outcome_unknown" || d.ran(id) != 1 {
		t.Errorf("a tool that was cut off: %s after %d runs", got, d.ran(id))
	}
	w.settles(api.API, id)
	api.Signal(syscall.SIGTERM)
	if code := api.exit(); code != 0 {
		t.Errorf("exit code %d\n%s", code, api.stderr())
	}
}

func testStart(t *testing.T, d *deployment) {
	database := d.database(t)
	d.want(t, d.environment("default", database), 0, nil, "setup")
	pgtest.Exec(t, database, `INSERT INTO pawl.goose_db_version (version_id, is_applied) VALUES (999, true)`)
	newer := d.environment("default", database)
	const refused = "a newer Pawl made it: it has version 999"
	for _, args := range [][]string{{"worker"}, {"worker", "--keep-schema"}, {"api", "--listen", "127.0.0.1:0"}, {"setup"}, {"setup", "--dry-run"}, {"doctor"}} {
		began := time.Now()
		d.want(t, newer, 1, []string{refused}, args...)
		if time.Since(began) > 20*time.Second {
			t.Errorf("%v waited, which can't help", args)
		}
	}

	empty := d.environment("default", d.database(t))
	d.want(t, empty, 1, []string{"there is no Pawl store in this database"}, "worker", "--keep-schema", "--start-timeout", "0s")
	d.want(t, d.environment("nowhere", database), 1, []string{`no namespace "nowhere" in Temporal`, "pawl setup"}, "worker", "--start-timeout", "0s")
	gone := append(d.environment("default", "postgres://u:hunter2@127.0.0.1:1/d"), "PGCONNECT_TIMEOUT=5")
	d.want(t, gone, 1, []string{"127.0.0.1:1", "the database server is not available"}, "worker", "--start-timeout", "0s")
	d.want(t, append(empty, "TEMPORAL_ADDRESS=127.0.0.1:1"), 1, []string{"no answer from Temporal at 127.0.0.1:1", "TEMPORAL_ADDRESS"}, "api", "--listen", "127.0.0.1:0", "--start-timeout", "0s")
	d.want(t, empty, 1, []string{"--health-listen"}, "worker", "--health-listen", "nonsense")

	// Started first, both wait for what setup makes.
	late := d.environment("late", d.database(t))
	worker := d.start(t, late, nil, "worker", "--keep-schema", "--health-listen", "127.0.0.1:0")
	waitFor(t, "it waits", func() bool { return strings.Contains(worker.stderr(), "waiting at start") })
	d.want(t, late, 0, nil, "setup")
	worker.ready()
	waiting := d.start(t, d.environment("nobody", database), nil, "worker")
	waitFor(t, "it waits", func() bool { return strings.Contains(waiting.stderr(), "waiting at start") })
	waiting.Signal(syscall.SIGTERM)
	if code := waiting.exit(); code != 1 {
		t.Errorf("exit code %d", code)
	}
}

func testReadiness(t *testing.T, d *deployment) {
	// A Postgres of its own, to stop.
	server := pgtest.NewCluster(t)
	database := pgtest.Create(t, server.URL, "")
	_, err := d.temporal.Client.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: "bare", WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	worker := d.worker(t, d.environment("bare", database))
	is := func(want int, states map[string]string) func() bool {
		return func() bool {
			code, r := worker.readyz()
			for name, state := range states {
				if r.Checks[name] != state {
					return false
				}
			}
			return code == want && r.Ready == (want == http.StatusOK)
		}
	}
	waitFor(t, "it is ready, without search attributes", is(http.StatusOK, map[string]string{
		"temporal": "ok", "namespace": "ok", "store": "ok", "search_attributes": "missing", "workflow_worker": "ok", "activity_worker": "ok",
	}))
	server.Stop(t)
	waitFor(t, "it says that the store is away", is(http.StatusServiceUnavailable, map[string]string{"store": "unavailable", "temporal": "ok"}))
	server.Start(t)
	waitFor(t, "it is ready again", is(http.StatusOK, map[string]string{"store": "ok"}))
}

func testProcessesOnSQLite(t *testing.T, d *deployment) {
	env := d.environment("default", "sqlite://"+filepath.Join(t.TempDir(), "pawl.db"))
	worker := d.worker(t, env)
	api := d.api(t, env)
	d.want(t, env, 1, []string{"another Pawl process owns it"}, "worker", "--start-timeout", "0s")
	d.want(t, env, 0, []string{"already there  store"}, "setup")
	w := &world{t: t}
	if a := w.http(http.MethodPost, api.API+"/api/calls", `{"tool":"read","args":{},"wait":"20s"}`); a.text("status") != "executed" {
		t.Errorf("%d %v", a.code, a.doc)
	}
	apply := []string{"policy", "apply", d.policy, "--as", "ana", "--api", api.API}
	d.want(t, env, 0, []string{"Nothing to do: these files are version 1"}, append(apply, "--dry-run")...)
	other := write(t, t.TempDir(), "policy.yaml", "rules: []\n")
	apply[2] = other
	d.want(t, env, 1, []string{"may not write to its store", "--direct"}, apply...)
	d.want(t, env, 1, []string{"another Pawl process owns it"}, append(apply, "--direct")...)
	worker.Signal(syscall.SIGTERM)
	if code := worker.exit(); code != 0 {
		t.Errorf("exit code %d\n%s", code, worker.stderr())
	}
	d.want(t, env, 0, []string{"Applied: version 2"}, append(apply, "--direct")...)
}

func testTemporalStops(t *testing.T, d *deployment) {
	env := d.setUp(t, "stopping")
	worker := d.worker(t, env)
	waitFor(t, "it is ready", func() bool { code, _ := worker.readyz(); return code == http.StatusOK })
	temporal := d.temporal
	d.temporal = nil
	if err := temporal.Close(); err != nil {
		t.Error(err)
	}
	waitFor(t, "it says that Temporal is away", func() bool {
		code, r := worker.readyz()
		return code == http.StatusServiceUnavailable && r.Checks["temporal"] == "unavailable" && r.Checks["store"] == "ok"
	})
	d.want(t, env, 1, []string{"failed         temporal", "ok             store", "skipped        namespace"}, "doctor", "--timeout", "3s")
	worker.Signal(syscall.SIGTERM)
	if code := worker.exit(); code != 0 {
		t.Errorf("exit code %d\n%s", code, worker.stderr())
	}
}

func TestDevStackOnPostgres(t *testing.T) {
	cluster := pgtest.NewCluster(t)
	w := newWorld(t, func(c *stack.Config) { c.DatabaseURL = pgtest.Create(t, cluster.URL, "") })
	id := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	w.stop()
	w.start()
	if a := w.decide(id, "approve", "ana", `{}`); a.text("outcome") != "resolved" {
		t.Errorf("%d %v", a.code, a.doc)
	}
	w.ends(id, "executed", 1)

	// The database stops between a decision and the tool: nothing runs until it is back.
	id = w.pending(`{"tool":"send","args":{"to":"y"}}`)
	// The row is there before its workflow knows the verdict; a decision before that would not count.
	w.until("the workflow itself waits", func() bool { return w.live(id).View.Status == approval.StatusPending })
	cluster.Stop(t)
	if a := w.decide(id, "approve", "ana", `{}`); a.code != http.StatusServiceUnavailable || a.text("code") != rest.CodeStoreUnavailable {
		t.Errorf("a decision without a store: %d %v", a.code, a.doc)
	}
	decided := approval.DecisionSignal{DecisionID: "d", Reviewer: "ana", Channel: "temporal"}
	if err := w.Client.SignalWorkflow(t.Context(), id, "", approval.SignalApprove, decided); err != nil {
		t.Fatal(err)
	}
	w.until("the API says that the store is away", func() bool { return w.get("/readyz").code == http.StatusServiceUnavailable })
	if n := w.runs(id); n != 0 {
		t.Errorf("the tool ran %d times without a record", n)
	}
	cluster.Start(t)
	w.ends(id, "executed", 1)
	want := []audit.Kind{audit.KindRequested, audit.KindDecided, audit.KindClaimed, audit.KindStarted, audit.KindEnded}
	if got := w.checkEntries(id); !slices.Equal(got, want) {
		t.Errorf("on record are %v, want %v", got, want)
	}
}
