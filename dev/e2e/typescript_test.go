package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/dev/child"
	"github.com/pawlhq/pawl/dev/nodetest"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/dev/stack"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// tsWorld is a stack with the tool of examples/typescript, and its programs.
type tsWorld struct {
	*world
	dir, outbox string
}

// TestTypeScript runs the example as its README says: worker, agent and reviewer are processes of
// their own and speak to Temporal alone.
func TestTypeScript(t *testing.T) {
	const example = "../../examples/typescript"
	dir := nodetest.Build(t, example)
	w := tsWorld{dir: dir, outbox: filepath.Join(dir, "outbox")}
	w.world = newWorld(t, func(c *stack.Config) {
		c.Tools = filepath.Join(example, "tools.yaml")
		c.Policy = []string{filepath.Join(example, "policy.yaml")}
	})

	// The tool's worker is down: the approved call waits, and is picked up.
	agent := w.program(t, "agent", "2026-001", "ana", "99.5", "--reason", "order 7")
	id := w.waiting(t, "2026-001")
	w.approves(t, id, "y", 0, "approve: resolved")
	w.until("the tool is handed out", func() bool {
		d, err := w.Client.DescribeWorkflowExecution(t.Context(), id, "")
		return err == nil && len(d.PendingActivities) == 1 && d.PendingActivities[0].ActivityType.Name == "send_invoice"
	})
	if s := w.status(id); s != approval.StatusExecuting {
		t.Errorf("the call is %s", s)
	}
	worker := w.program(t, "worker")

	t.Run("approved", func(t *testing.T) {
		agent.exits(0, `{"sent_to":"ana@example.com"}`)
		w.ends(id, approval.StatusExecuted, 0)
		view := w.view(id)
		want := mail{To: "ana@example.com", Call: id, Digest: view.Digest, Invoice: json.RawMessage(`{"number":"2026-001","customer":"ana","amount":99.5}`)}
		if got := w.mail(t, id); got.To != want.To || got.Call != want.Call || got.Digest != want.Digest || string(got.Invoice) != string(want.Invoice) {
			t.Errorf("the tool got %+v %s, want %+v", got, got.Invoice, want)
		}
		if d := view.Decision; d.By != "ana" || d.Channel != "" && d.Channel != "temporal" || d.Authenticated {
			t.Errorf("decision %+v", d)
		}
		if kinds := w.checkEntries(id); !slices.Equal(kinds, []audit.Kind{audit.KindRequested, audit.KindDecided, audit.KindClaimed, audit.KindEnded}) {
			t.Errorf("entries %v", kinds)
		}
		w.runsOf(t, worker, id, 1)
	})
	t.Run("asked for again", func(t *testing.T) {
		w.program(t, "agent", "2026-001", "ana", "99.5", "--reason", "order 7").exits(0, `{"sent_to":"ana@example.com"}`)
		w.program(t, "agent", "2026-001", "bo", "99.5", "--reason", "order 7").exits(1, "is another call")
		w.runsOf(t, worker, id, 1)

		call, err := approval.ParseCall([]byte(`{"tool":"send_invoice","args":{"amount":99.5,"number":"2026-001","customer":"ana"},"agent":"billing","reason":"order 7"}`))
		if err != nil {
			t.Fatal(err)
		}
		want, err := call.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		d, err := w.Client.DescribeWorkflowExecution(t.Context(), id, "")
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := converter.GetDefaultDataConverter().FromPayload(d.WorkflowExecutionInfo.Memo.Fields[approval.MemoFingerprint], &got); err != nil || got != want {
			t.Errorf("fingerprint %s, %v; Pawl's own is %s", got, err, want)
		}
	})
	t.Run("rejected", func(t *testing.T) {
		agent := w.program(t, "agent", "2026-002", "bo", "5")
		id := w.waiting(t, "2026-002")
		w.approves(t, id, "", 0, "left as it is")
		w.approves(t, id, "n", 0, "reject: resolved")
		agent.exits(3, "rejected, nothing was sent: ana rejected the call")
		w.ends(id, approval.StatusRejected, 0)
		w.approves(t, id, "y", 3, "it does not wait for a decision")
		w.runsOf(t, worker, id, 0)
	})
	t.Run("blocked", func(t *testing.T) {
		w.program(t, "agent", "2026/003", "bo", "5").exits(3, "blocked, nothing was sent: the arguments do not fit")
		w.runsOf(t, worker, "invoice-2026/003", 0)
	})
	t.Run("the tool says no", func(t *testing.T) {
		agent := w.program(t, "agent", "2026-004", "toString", "5")
		id := w.waiting(t, "2026-004")
		w.approves(t, id, "y", 0, "approve: resolved")
		agent.exits(4, "failed, nothing was sent: the customer has no address")
		w.ends(id, approval.StatusFailed, 0)
		w.runsOf(t, worker, id, 1)
	})
	t.Run("the tool does not know", func(t *testing.T) {
		if err := errors.Join(os.Rename(w.outbox, w.outbox+".away"), os.WriteFile(w.outbox, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		agent := w.program(t, "agent", "2026-005", "bo", "5")
		id := w.waiting(t, "2026-005")
		w.approves(t, id, "y", 0, "approve: resolved")
		agent.exits(4, "outcome_unknown, look before you try again")
		w.ends(id, approval.StatusOutcomeUnknown, 0)
		w.runsOf(t, worker, id, 3) // it is idempotent, so it is tried again
	})
	t.Run("not scheduled by Pawl", func(t *testing.T) {
		before := strings.Count(worker.out(), `"running"`)
		handle, err := w.Client.ExecuteActivity(t.Context(), client.StartActivityOptions{
			ID: "forged", TaskQueue: "tools-typescript", StartToCloseTimeout: time.Minute,
		}, "send_invoice", map[string]any{"number": "7", "customer": "ana", "amount": 1})
		var unimplemented *serviceerror.Unimplemented
		if errors.As(err, &unimplemented) {
			t.Skip("this Temporal offers no standalone activities")
		}
		if err == nil {
			err = handle.Get(t.Context(), nil)
		}
		if err == nil || !strings.Contains(err.Error(), "Pawl did not schedule this") {
			t.Errorf("error %v", err)
		}
		if after := strings.Count(worker.out(), `"running"`); after != before {
			t.Error("the tool ran")
		}
	})

	worker.End(t.Context())
	worker.exits(0, "")
}

// TestTypeScriptEncrypts runs the example where Pawl has a keyring.
func TestTypeScriptEncrypts(t *testing.T) {
	const example = "../../examples/typescript"
	dir := nodetest.Build(t, example)
	w := tsWorld{dir: dir, outbox: filepath.Join(dir, "outbox")}
	w.world = newWorld(t, encrypted, func(c *stack.Config) {
		c.Tools = filepath.Join(example, "tools.yaml")
		c.Policy = []string{filepath.Join(example, "policy.yaml")}
	})
	worker := w.program(t, "worker")
	agent := w.program(t, "agent", "2026-001", "ana", "99.5", "--reason", plant("a reason in TypeScript"))
	id := w.waiting(t, "2026-001")
	w.approves(t, id, "y", 0, "approve: resolved")
	agent.exits(0, `{"sent_to":"ana@example.com"}`)
	w.ends(id, approval.StatusExecuted, 0)
	w.program(t, "agent", "2026-001", "bo", "99.5").exits(1, "is another call") // by the memo
	w.runsOf(t, worker, id, 1)

	agent = w.program(t, "agent", "2026-004", "toString", "5")
	no := w.waiting(t, "2026-004")
	w.approves(t, no, "y", 0, "approve: resolved")
	agent.exits(4, "failed, nothing was sent: the customer has no address")

	// Who has no keyring is told so, and gets nothing.
	mute := w.programWith(t, "", []string{"PAWL_PAYLOAD_KEYS="}, "agent", "2026-009", "ana", "5")
	mute.exits(1, "binary/encrypted")
	w.ends("invoice-2026-009", approval.StatusBlocked, 0)
	for _, call := range []string{id, no} {
		w.checkHistory(t, call)
	}
	if err := os.Chmod(w.KeysPath(), 0o604); err != nil {
		t.Fatal(err)
	}
	w.program(t, "agent", "2026-010", "ana", "5").exits(1, "chmod 600")

	worker.End(t.Context())
	worker.exits(0, "")
}

// waiting waits until the agent's call is pending.
func (w tsWorld) waiting(t *testing.T, number string) (id string) {
	t.Helper()
	id = "invoice-" + number
	w.until("the call is pending", func() bool { return w.status(id) == approval.StatusPending })
	return id
}

func (w tsWorld) approves(t *testing.T, id, answer string, code int, says string) {
	t.Helper()
	p := w.programReading(t, answer+"\n", "approve", id, "--as", "ana")
	p.exits(code, says)
	if digest := w.view(id).Digest; !strings.Contains(p.out(), digest) {
		t.Errorf("the reviewer was not shown the digest %s:\n%s", digest, p.out())
	}
}

// mail is what the tool leaves in its outbox.
type mail struct {
	To, Call, Digest string
	Invoice          json.RawMessage
}

func (w tsWorld) mail(t *testing.T, id string) (m mail) {
	t.Helper()
	sum := sha256.Sum256([]byte(id))
	text, err := os.ReadFile(filepath.Join(w.outbox, hex.EncodeToString(sum[:])+".json"))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Error(err)
	}
	return m
}

func (w tsWorld) runsOf(t *testing.T, worker *tsProgram, id string, want int) {
	t.Helper()
	if got := strings.Count(worker.out(), `"call":"`+id+`"`); got != want {
		t.Errorf("the tool ran %d times for %s, want %d:\n%s", got, id, want, worker.out())
	}
}

// tsProgram is one of the example's programs, running; it goes with its test.
type tsProgram struct {
	*child.Process
	t    *testing.T
	args []string

	mu   sync.Mutex
	text bytes.Buffer
}

func (p *tsProgram) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *tsProgram) out() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func (w tsWorld) program(t *testing.T, name string, args ...string) *tsProgram {
	t.Helper()
	return w.programReading(t, "", name, args...)
}

func (w tsWorld) programReading(t *testing.T, input, name string, args ...string) *tsProgram {
	t.Helper()
	return w.programWith(t, input, nil, name, args...)
}

func (w tsWorld) programWith(t *testing.T, input string, env []string, name string, args ...string) *tsProgram {
	t.Helper()
	p := &tsProgram{t: t, args: append([]string{filepath.Join("dist", name+".js")}, args...)}
	cmd := exec.Command("node", p.args...)
	cmd.Dir = w.dir
	cmd.Env = programs.Environment("TEMPORAL_ADDRESS="+w.Temporal, "TEMPORAL_NAMESPACE=default",
		"TEMPORAL_CONFIG_FILE="+filepath.Join(w.dir, "none.toml"), // not the developer's own
		"PAWL_PAYLOAD_KEYS="+w.KeysPath(), "OUTBOX="+w.outbox)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), p, p
	var err error
	if p.Process, err = child.Start(cmd, child.Options{Kill: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// exits waits until the program has ended, by itself.
func (p *tsProgram) exits(code int, says string) {
	p.t.Helper()
	select {
	case <-p.Done:
	case <-time.After(patience):
		p.t.Fatalf("%v still runs:\n%s", p.args, p.out())
	}
	if got := p.State().ExitCode(); got != code || !strings.Contains(p.out(), says) {
		p.t.Errorf("%v exited %d, want %d and %q:\n%s", p.args, got, code, says, p.out())
	}
}
