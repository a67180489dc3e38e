//go:build unix

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pawlhq/pawl/approval"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	temporalclient "go.temporal.io/sdk/client"
)

// TestDemo runs what `make demo` runs, and does what it tells people to do.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and runs the whole demo")
	}
	root := demoBinaries(t)
	for name, run := range map[string]func(*testing.T, string){
		"every call ends as decided":         demoDecided,
		"Ctrl-C stops all, and calls stay":   demoInterrupted,
		"killed, it leaves nothing running":  demoKilled,
		"an agent that dies is told of":      demoWithoutAgent,
		"a stack that dies ends the demo":    demoWithoutStack,
		"a second Ctrl-C ends it at once":    demoForced,
		"nobody reads the output any more":   demoUnread,
		"a port that is in use is told of":   demoBusyPort,
		"wrong command lines are told about": demoUsage,
	} {
		t.Run(name, func(t *testing.T) { run(t, root) })
	}
}

const (
	demoAsked   = `^  %s +(pawl-\w+)  `
	demoApprove = `^    (\S+pawl approve pawl-\w+ --as you --api \S+)$`
	demoCurl    = `^    (curl -X POST .*)$`
	demoPage    = `^    (http://\S+/namespaces/default/workflows/pawl-\w+)$`
	demoPending = `^    (\S+pawl pending --api \S+) `
)

func demoDecided(t *testing.T, root string) {
	data := filepath.Join(t.TempDir(), "data")
	d := startDemo(t, root, "--exit", "--data", data)
	ids := map[string]string{}
	for _, tool := range []string{"read_docs", "send_email", "read_customer", "delete_account", "pay_refund", "run_command", "write_production"} {
		ids[tool] = d.reads(fmt.Sprintf(demoAsked, tool))
	}
	d.reads(`^  read_docs +executed, allowed by policy: .*working days`)
	api := d.reads(`^  API +(\S+)$`)

	for _, offered := range []string{"hook claude-code install", "mcp wrap FILE"} {
		if out := d.paste(d.reads(`^    (\S+pawl `+offered+` --api \S+)$`) + " --help"); !strings.Contains(out, "Usage:") {
			t.Errorf("%s: %s", offered, out)
		}
	}
	if out := d.paste(d.reads(demoPending)); strings.Count(out, "\npawl-") < 3 {
		t.Errorf("what waits:\n%s", out)
	}
	d.paste(d.reads(demoApprove))
	d.reads(`^  send_email +executed, approved by you: .*customer@example\.com`)

	curl := regexp.MustCompile(`^curl -X POST -H 'X-Pawl-Reviewer: (.+)' (\S+)$`).FindStringSubmatch(d.reads(demoCurl))
	req, err := http.NewRequest(http.MethodPost, curl[2], nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Pawl-Reviewer", curl[1])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%v: %s", curl, resp.Status)
	}
	d.reads(`^  read_customer +executed, approved by you: .*000-00-0000`)
	d.redacted(api, ids["read_customer"])

	d.paste(d.reads(`^  pay_refund takes two people.*\n    (\S+pawl approve \S+ --as you .*)$`))
	if s := d.request(api, ids["pay_refund"]).Status; s != approval.StatusPending {
		t.Errorf("one of two has approved, and the refund is %s", s)
	}
	d.paste(d.reads(`^  pay_refund takes two people.*\n.*\n    (\S+pawl approve \S+ --as finance .*)$`))
	d.reads(`^  pay_refund +executed, approved by finance: .*1900`)
	d.paste(d.reads(`^  run_command by command line:\n    (\S+pawl approve \S+ --as you .*)$`))
	d.reads(`^  run_command +executed, approved by you: .*"exit_code":0`)
	d.paste(d.reads(`^  save_reply is a function.*\n    (\S+pawl approve \S+ --as you .*)$`))
	d.reads(`^  save_reply +executed here: saved 27 characters in process ` + d.reads(`\(PID (\d+)\)`))

	d.reads(`^  write_production +expired: .*\(approval_expired\)`)
	d.deleteInTemporal(ids["delete_account"])
	d.reads(`^  delete_account +executed, approved by you: .*"deleted":true`)
	d.reads(`^All calls have ended`)
	d.ends(0)

	log, err := os.ReadFile(filepath.Join(data, "sample-tools.log"))
	if err != nil {
		t.Fatal(err)
	}
	for tool, id := range ids {
		want := 1
		if tool == "write_production" {
			want = 0
		}
		if runs := strings.Count(string(log), " "+id+" "+tool+"\n"); runs != want {
			t.Errorf("%s ran %d times, want %d, by its log:\n%s", tool, runs, want, log)
		}
	}
}

// redacted checks that what Pawl keeps of the customer's record lacks what the policy hides, and
// nothing else.
func (d *demoRun) redacted(api, id string) {
	d.t.Helper()
	v := d.request(api, id)
	var customer map[string]string
	if err := json.Unmarshal(v.Result, &customer); err != nil {
		d.t.Fatalf("%s: %v", v.Result, err)
	}
	for field, open := range map[string]string{"customer_id": "c-1042", "name": "A. Customer"} {
		if customer[field] != open {
			d.t.Errorf("%s is %q, want %q", field, customer[field], open)
		}
	}
	for _, hidden := range []string{"000-00-0000", "customer@example.com"} {
		if bytes.Contains(v.Result, []byte(hidden)) {
			d.t.Errorf("the record shows %q", hidden)
		}
	}
	if audit := d.get(api + "/api/audit?request_id=" + id); !bytes.Contains(audit, []byte("A. Customer")) || bytes.Contains(audit, []byte("000-00-0000")) {
		d.t.Errorf("audit entries: %s", audit)
	}
}

// request is a call as the API shows it.
func (d *demoRun) request(api, id string) (v approval.View) {
	d.t.Helper()
	if err := json.Unmarshal(d.get(api+"/api/requests/"+id), &v); err != nil {
		d.t.Fatal(err)
	}
	return v
}

// deleteInTemporal approves the call on the page that the demo names, by a signal with the input that
// it names.
func (d *demoRun) deleteInTemporal(id string) {
	d.t.Helper()
	input := d.reads(`^  (\{.+\}) as data`)
	page := d.reads(demoPage)
	if !strings.HasSuffix(page, "/"+id) || !bytes.Contains(d.get(page), []byte("<html")) {
		d.t.Errorf("%s is not a page about %s", page, id)
	}
	c, err := temporalclient.DialContext(d.t.Context(), temporalclient.Options{HostPort: d.reads(`^  Temporal +(\S+)$`)})
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WorkflowService().SignalWorkflowExecution(d.t.Context(), &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: "default", SignalName: approval.SignalApprove,
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id},
		Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{{
			Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(input),
		}}},
	}); err != nil {
		d.t.Fatal(err)
	}
}

func demoInterrupted(t *testing.T, root string) {
	data := filepath.Join(t.TempDir(), "data")
	d := startDemo(t, root, "--data", data)
	first := fmt.Sprintf(demoAsked, "send_email")
	id := d.reads(first)
	d.reads("one by one$")
	d.signal(syscall.SIGINT)
	d.reads(`^Stopped waiting. The calls go on without the agent`)
	d.reads(`^Stopped. Calls that wait go on at the next start.`)
	d.ends(130)

	d = startDemo(t, root, "--data", data)
	if again := d.reads(first); again == id {
		t.Errorf("the second run asked for %s again", id)
	}
	d.reads(`lists what waits \([67] more since an earlier run\)$`) // the short one may have expired
	if out := d.paste(d.reads(demoPending)); !strings.Contains(out, id[:12]) {
		t.Errorf("%s does not wait any more:\n%s", id, out)
	}
	d.signal(syscall.SIGTERM)
	d.ends(130)
}

func demoKilled(t *testing.T, root string) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells children that their parent is gone")
	}
	d := startDemo(t, root)
	d.reads("one by one$")
	d.signal(syscall.SIGKILL)
	d.ends(-1) // the output ends with its last writer, so everything has
}

func demoWithoutAgent(t *testing.T, root string) {
	d := startDemo(t, root, "--production-timeout", "60s")
	api, email := d.reads(`^  API +(\S+)$`), d.reads(fmt.Sprintf(demoAsked, "send_email"))
	d.reads("one by one$")
	pid, err := strconv.Atoi(d.reads(`\(PID (\d+)\)`))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.reads(`^The agent ended early. Its calls go on without it.`)
	d.reads(`^Pawl keeps running`)

	session := d.request(api, email).Session
	var out bytes.Buffer
	agent := exec.Command(filepath.Join(root, "bin", "demo-agent"), "--api", api, "--session", session)
	agent.Stdout, agent.Stderr = &out, &out
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	d.paste(fmt.Sprintf("bin/pawl approve %s --as you --api %s", email, api))
	d.paste(d.reads(`^  save_reply is a function.*\n    (\S+pawl approve \S+ --as you .*)$`))
	for _, tool := range []string{"read_customer", "delete_account", "pay_refund", "run_command", "write_production"} {
		d.paste(fmt.Sprintf("bin/pawl reject %s --as you --api %s", d.reads(fmt.Sprintf(demoAsked, tool)), api))
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("the agent that took over: %v", err)
	}
	for _, want := range []string{email, "\n  send_email        executed, approved by you: ", "\n  delete_account    rejected by you: ",
		"\n  save_reply        executed here: saved 27 characters in process "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the agent that took over does not say %q:\n%s", want, out.String())
		}
	}
	d.signal(syscall.SIGINT)
	d.reads(`^pawl-demo: the agent ended early: signal: killed`)
	d.ends(1)
}

func demoWithoutStack(t *testing.T, root string) {
	d := startDemo(t, root)
	d.reads("one by one$")
	if err := syscall.Kill(d.stackPID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d.reads(`^pawl-demo: pawl-dev ended by itself`)
	d.ends(1)
}

func demoForced(t *testing.T, root string) {
	d := startDemo(t, root)
	d.reads("one by one$")
	if err := syscall.Kill(d.stackPID(), syscall.SIGSTOP); err != nil { // it can't end by itself now
		t.Fatal(err)
	}
	d.signal(syscall.SIGINT)
	d.reads(`^Stopped waiting`)
	d.until("a later Ctrl-C ends it", func() bool {
		_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT) // fails once it has ended
		select {
		case <-d.done:
			return true
		default:
			return false
		}
	})
	d.ends(130)
}

func demoUnread(t *testing.T, root string) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "pawl-demo"), demoFlags(t)...)
	cmd.Dir, cmd.Stdout = root, w
	if err := errors.Join(cmd.Start(), r.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	d := &demoRun{t: t, root: root, cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // ends asks how
		close(d.done)
	}()
	d.ends(130)
}

func demoBusyPort(t *testing.T, root string) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, flag := range []string{"--api-listen", "--temporal-listen", "--ui-listen"} {
		d := startDemo(t, root, flag, busy.Addr().String())
		d.reads(`^pawl-dev: .*` + regexp.QuoteMeta(busy.Addr().String()) + `.*` + flag)
		d.reads(`^pawl-demo: the stack did not start.*make demo DEMO="`)
		d.ends(1)
	}
}

func demoUsage(t *testing.T, root string) {
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, 0, "Exit codes:"},
		{[]string{"--nonsense"}, 2, "unknown flag: --nonsense"},
		{[]string{"argument"}, 2, "unexpected argument"},
		{[]string{"--production-timeout", "0s", "--config", "any"}, 2, "no time to wait"},
		{nil, 1, "no temporal-dev.yaml here"},
		{[]string{"--agent-bin", "nowhere"}, 1, "--agent-bin"},
	} {
		cmd := exec.Command(filepath.Join(root, "bin", "pawl-demo"), tt.args...)
		cmd.Dir = t.TempDir()
		out, _ := cmd.CombinedOutput() // the code says how it ended
		if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.says) {
			t.Errorf("%q: exit code %d, want %d, and %q in:\n%s", tt.args, code, tt.code, tt.says, out)
		}
	}
}
