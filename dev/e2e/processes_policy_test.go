//go:build unix

package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// testPolicyChangesOfProcesses has two workers, of which either may claim, on Postgres.
func testPolicyChangesOfProcesses(t *testing.T, d *deployment) {
	database := d.database(t)
	env := d.environment("judged-again", database)
	d.want(t, env, 0, nil, "setup")
	d.worker(t, env)
	d.worker(t, env)
	testPolicyChangesUnderRequests(t, &world{t: t}, d.api(t, env).API, func(version int) { unusablePolicy(t, database, version) })
}

// unusablePolicy is what a newer Pawl writes, or somebody with the database's password.
func unusablePolicy(t *testing.T, database string, version int) {
	pgtest.Exec(t, database, `INSERT INTO pawl.policies (digest, layers) VALUES (repeat('ab', 32), '[{"name":"new.yaml","text":"later: 1"}]')`,
		fmt.Sprintf(`INSERT INTO pawl.policy_versions (seq, digest, at, by, channel, authenticated, note) VALUES (%d, repeat('ab', 32), now(), 'newer', 'cli', false, '')`, version))
}

// testPolicyOfProcesses applies policies while separate workers and APIs run.
func testPolicyOfProcesses(t *testing.T, d *deployment) {
	database := d.database(t)
	env := d.environment("policies", database)
	d.want(t, env, 0, nil, "setup")
	workers := []*process{d.worker(t, env), d.worker(t, env)}
	api := d.api(t, env).API
	w := &world{t: t}
	dir := t.TempDir()
	allow := write(t, dir, "allow.yaml", "rules: [{tool: send, auto_approve: true}]\n")
	deny := write(t, dir, "hold.yaml", "rules: [{tool: send, require_approval: true, timeout: 5m}]\n")
	pawl := func(code int, words []string, args ...string) string {
		t.Helper()
		return d.want(t, env, code, words, append(args, "--api", api, "--as", "ana")...)
	}
	// judged starts a call and returns the digest that it was judged by.
	judged := func() (id, digest, status string) {
		id = w.http(http.MethodPost, api+"/api/calls", `{"tool":"send","args":{}}`).text("id")
		var a answer
		waitFor(t, "it is judged", func() bool {
			a = w.http(http.MethodGet, api+"/api/requests/"+id, "")
			return a.doc["policy"] != nil
		})
		digest, _ = a.doc["policy"].(map[string]any)["digest"].(string)
		return id, digest, a.text("status")
	}
	isReady := func(want int) {
		t.Helper()
		for _, p := range workers {
			waitFor(t, fmt.Sprint("it says ", want), func() bool {
				code, r := p.readyz()
				return code == want && (r.Checks["policy"] == "ok") == (want == http.StatusOK)
			})
		}
	}

	pawl(0, []string{"1  ", "pawl worker", "the store had no policy"}, "policy", "history")
	first, digest, status := judged()
	if status != "pending" {
		t.Errorf("the first call is %s", status)
	}
	pawl(1, []string{"+rules: [{tool: send, auto_approve: true}]", "LAXER !!", "--expect 1"}, "policy", "apply", allow, "--dry-run")
	pawl(0, []string{"Applied: version 2", "LAXER !!"}, "policy", "apply", allow, "--expect", "1", "--note", "try")
	pawl(1, []string{"version 2 is", "applied by ana"}, "policy", "apply", deny, "--expect", "1")
	waitFor(t, "calls are judged by version 2", func() bool { // by this worker or that; the other may be yet to look
		_, now, _ := judged()
		return now != digest
	})
	isReady(http.StatusOK)

	given, err := os.ReadFile(d.policy)
	if err != nil {
		t.Fatal(err)
	}
	if out := pawl(0, nil, "policy", "show", digest); !strings.Contains(out, string(given)) {
		t.Errorf("the first call's policy is shown as\n%s", out)
	}
	pawl(0, []string{"rules: [{tool: send, auto_approve: true}]", "version 2", "note: try"}, "policy", "show")
	broken := write(t, dir, "broken.yaml", "rules:\n  - {tool: send, auto_aprove: true}\n")
	pawl(1, []string{broken + ":2:", `did you mean "auto_approve"?`, "The active one stays"}, "policy", "apply", broken)
	pawl(0, []string{"policy.applied", "version 2, digest", "by ana: try"}, "audit", "list", "--kind", "policy.applied")

	// Files of a worker: an old policy's are left out of account, with a word; those that nobody
	// applied keep it from starting.
	late := d.worker(t, env)
	if !strings.Contains(late.stderr(), "are not the active policy but an earlier one") {
		t.Errorf("the worker with old files said\n%s", late.stderr())
	}
	d.want(t, env, 1, []string{"never applied", "pawl policy apply"}, "worker", "--policy", deny)
	d.want(t, env, 1, []string{"failed         active policy", "pawl policy apply"}, "doctor", "--policy", deny)

	reader := d.serve(t, env, "api", "--listen", "127.0.0.1:0", "--read-only").API
	d.want(t, env, 1, []string{"may not write to its store"}, "policy", "apply", deny, "--api", reader, "--as", "ana")

	unusablePolicy(t, database, 3)
	isReady(http.StatusServiceUnavailable)
	_, still, status := judged()
	if status == "pending" || still == digest {
		t.Errorf("a call is %s by %s", status, still)
	}
	for _, p := range workers {
		if !strings.Contains(p.stderr(), "new.yaml:1:1") {
			t.Errorf("the log does not say what is wrong:\n%s", p.stderr())
		}
	}
	d.want(t, env, 1, []string{"failed         active policy       version 3", "new.yaml:1:1"}, "doctor")
	d.want(t, env, 1, []string{"version 3 of the policy can't be used"}, "worker", "--start-timeout", "0s")
	pawl(0, []string{"Applied: version 4", "Pawl can't say which calls are judged less strictly"}, "policy", "apply", deny)
	isReady(http.StatusOK)

	if a := w.http(http.MethodPost, api+"/api/requests/"+first+"/approve", `{}`, "X-Pawl-Reviewer", "ana"); a.text("outcome") != "resolved" {
		t.Errorf("%d %v", a.code, a.doc)
	}
}
