package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/health"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
)

// Calls that began before encryption go on after it was switched on; once plain payloads are
// refused, nothing plain counts.
func TestEncryptionIsSwitchedOn(t *testing.T) {
	w := newWorld(t)
	before := w.pending(`{"tool":"send","args":{"to":"x"},"idempotency_key":"k"}`)
	w.stop()
	w.config.Encrypt = true
	w.start()
	if keys := loadKeys(t, w.KeysPath()); !keys.ReadsPlain() {
		t.Error("a keyring for data that is there refuses what is there")
	}
	if a := w.post("/api/calls", `{"tool":"send","args":{"to":"x"},"idempotency_key":"k"}`); a.text("id") != before || a.head.Get("Pawl-Attached") != "true" {
		t.Errorf("the same call under the same key: %d %v", a.code, a.doc)
	}
	during := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	for _, id := range []string{before, during} {
		w.decide(id, "approve", "ana", ``)
		w.ends(id, approval.StatusExecuted, 1)
	}

	waiting := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	if err := codec.SetPlain(w.KeysPath(), false); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w.start()
	plain := w.dialWith(nil)
	if err := plain.SignalWorkflow(t.Context(), waiting, "", approval.SignalApprove, approval.DecisionSignal{DecisionID: "forged", Reviewer: "mallory"}); err != nil {
		t.Fatal(err)
	}
	w.until("the plain answer is refused", func() bool {
		answers := w.live(waiting).Answers
		return len(answers) == 1 && answers[0].Outcome == approval.AnswerInvalid && strings.Contains(answers[0].Message, "not encrypted")
	})
	w.decide(waiting, "approve", "ana", ``)
	w.ends(waiting, approval.StatusExecuted, 1)

	run, err := plain.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: approval.TaskQueue}, approval.WorkflowType, approval.Call{Tool: "read", Args: []byte(`{"to":"x"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if out := w.ends(run.GetID(), approval.StatusBlocked, 0); !strings.Contains(out["error"].(map[string]any)["message"].(string), "not encrypted") {
		t.Errorf("%v", out)
	}
}

// Nobody who encrypts otherwise than the workers gets to work.
func TestOneKeyringForAll(t *testing.T) {
	w := newWorld(t, encrypted)
	waiting := w.pending(`{"tool":"send","args":{"to":"x"}}`)
	path, other := w.KeysPath(), filepath.Join(t.TempDir(), "other.json")
	if _, err := codec.Create(other, false); err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{"TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "TEMPORAL_TLS", "TEMPORAL_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("TEMPORAL_ADDRESS", w.Temporal)
	t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(t.TempDir(), "none.toml"))
	for _, keys := range []string{"", other} {
		t.Setenv("PAWL_PAYLOAD_KEYS", keys)
		if agent, err := pawl.Connect(t.Context(), pawl.Options{Agent: "a"}); !errors.Is(err, health.ErrUnreadable) {
			t.Errorf("an agent with the keyring %q: %v, %v", keys, agent, err)
		}
	}
	t.Setenv("PAWL_PAYLOAD_KEYS", path)
	agent, err := pawl.Connect(t.Context(), pawl.Options{Agent: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	b := &bank{runs: map[string]int{}}
	pay := pawl.MustGuard(agent, "pay", b.pay, pawl.Tool{})
	done := make(chan error, 1)
	go func() {
		_, err := pay(titled(t.Context(), "pay"), refund{Order: "1", Cents: 1})
		done <- err
	}()
	w.settle("pay", "approve")
	if err := <-done; err != nil || b.ran("1") != 1 {
		t.Errorf("%v, ran %d times", err, b.ran("1"))
	}

	// An agent on a client of its own is not asked before; it learns.
	mute, err := pawl.New(w.dialWith(nil), pawl.Options{Agent: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	ask := pawl.MustGuard(mute, "ask", func(context.Context, refund) (receipt, error) { return receipt{}, nil }, pawl.Tool{})
	if _, err := ask(t.Context(), refund{}); err == nil || !strings.Contains(err.Error(), "keyring") {
		t.Errorf("an agent without a keyring: %v", err)
	}
	call, err := mute.Start(t.Context(), approval.Call{Tool: "read", Args: json.RawMessage(`{"to":"x"}`)})
	if err == nil {
		_, err = pawl.Await[any](t.Context(), call)
	}
	if err == nil || !strings.Contains(err.Error(), "keyring") {
		t.Errorf("a call without a keyring: %v", err)
	}

	lost := w.KeysPath()
	w.stop()
	for _, change := range []func(*stack.Config){
		func(c *stack.Config) { c.Encrypt = false },
		func(c *stack.Config) { c.PayloadKeys = other },
	} {
		c := w.config
		change(&c)
		if s, err := stack.Start(t.Context(), stack.Options{Config: c}); !errors.Is(err, health.ErrUnreadable) {
			t.Errorf("a worker with another keyring: %v, %v", s, err)
		}
	}
	if err := os.Rename(lost, lost+".away"); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*stack.Config){func(*stack.Config) {}, func(c *stack.Config) { c.NoWorker = true }} {
		c := w.config
		change(&c)
		if s, err := stack.Start(t.Context(), stack.Options{Config: c}); !errors.Is(err, health.ErrUnreadable) || !strings.Contains(err.Error(), "put it back as "+lost) {
			t.Errorf("without the keyring: %v, %v", s, err)
		}
		if _, err := os.Stat(lost); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("another keyring was left there: %v", err)
		}
	}
	if err := os.Rename(lost+".away", lost); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.decide(waiting, "approve", "ana", ``)
	w.ends(waiting, approval.StatusExecuted, 1)
}

// The UI's settings name the endpoint, and its pages may use it.
func TestTheUIDecodes(t *testing.T) {
	w := newWorld(t, encrypted, func(c *stack.Config) { c.NoUI, c.UIListen = false, "127.0.0.1:0" })
	resp, err := http.Get(w.UI + "/api/v1/settings")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var settings struct{ Codec struct{ Endpoint string } }
	if err := json.NewDecoder(resp.Body).Decode(&settings); err != nil || settings.Codec.Endpoint != w.API+"/codec" {
		t.Fatalf("%+v, %v", settings, err)
	}
	keys := loadKeys(t, w.KeysPath())
	var o client.Options
	if err := keys.Configure(&o); err != nil {
		t.Fatal(err)
	}
	ps, err := o.DataConverter.ToPayloads("hello")
	if err != nil {
		t.Fatal(err)
	}
	body, err := protojson.Marshal(ps)
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]int{w.UI: 200, strings.Replace(w.UI, "127.0.0.1", "localhost", 1): 200, "http://evil.example": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, settings.Codec.Endpoint+"/decode?preserveStorageRefs=true", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", origin)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Namespace", "default")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if shown := bytes.Contains(text, []byte("ImhlbGxvIg==")); resp.StatusCode != want || shown != (want == 200) {
			t.Errorf("%s: %d %s", origin, resp.StatusCode, text)
		}
	}
}

// A worker from before leaves alone what is encrypted.
func TestAWorkerWithoutAnyKeyring(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	keys, err := codec.Create(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.dialWith(keys).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "early", TaskQueue: approval.TaskQueue},
		approval.WorkflowType, approval.Call{Tool: "read", Args: []byte(`{"to":"x"}`)}); err != nil {
		t.Fatal(err)
	}
	w.until("its task has failed", func() bool { return w.failedTask("early") })
	w.stop()
	w.config.PayloadKeys = path
	w.start()
	w.ends("early", approval.StatusExecuted, 1)
}
