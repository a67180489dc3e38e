//go:build unix

package crash

import (
	"fmt"
	"syscall"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/runner"
	"github.com/pawlhq/pawl/rest"
)

func whileCallsWait(w *world) {
	var calls []client.View
	for range 12 {
		calls = append(calls, w.pending("guarded", 0))
	}
	for range 2 {
		w.kill()
		w.start()
		for _, v := range calls {
			if now := w.waits(v.ID); string(now.Raw) != string(v.Raw) {
				w.t.Errorf("before the kill\n%s\nafter it\n%s", v.Raw, now.Raw)
			}
		}
		if page, err := w.api.Requests(w.t.Context(), client.RequestQuery{}); err != nil || page.Total != len(calls) {
			w.t.Errorf("%d requests are listed (%v), want %d", page.Total, err, len(calls))
		}
	}
	for _, v := range calls {
		w.approve(v)
		w.ends(v.ID, approval.StatusExecuted)
	}
	w.check()
}

// afterApproval kills at several distances from an acknowledged approval, to meet every step that
// follows it.
func afterApproval(w *world) {
	var ids []string
	for _, byAPI := range []bool{true, false} {
		for _, distance := range []time.Duration{0, 0, 4, 8, 16, 32, 64} {
			v := w.pending("guarded", 0)
			ids = append(ids, v.ID)
			if byAPI {
				w.approve(v)
			} else if err := w.dialTemporal().SignalWorkflow(w.t.Context(), v.ID, "", approval.SignalApprove, nil); err != nil {
				w.t.Fatal(err)
			}
			if distance > 0 {
				<-time.After(distance * time.Millisecond)
			}
			w.kill()
			w.start()
		}
	}
	began := time.Now()
	tally := map[approval.Status]int{}
	for _, id := range ids {
		tally[w.ends(id, approval.StatusExecuted, approval.StatusOutcomeUnknown).Status]++
	}
	w.t.Logf("%d approvals, %d kills: %v; the last one ended %v after the last start", len(ids), w.deaths(), tally, since(began))
	w.check()
}

func whileToolRuns(w *world) {
	approved, allowed, repeatable := w.pending("block", 0), w.call("allowed_block", 0), w.pending("repeatable", 0)
	w.arrival(allowed.ID)
	w.approve(approved)
	w.arrival(approved.ID)
	w.approve(repeatable)
	w.arrival(repeatable.ID)
	began := time.Now()
	w.kill()
	w.start()
	for _, v := range []client.View{approved, allowed} {
		v = w.ends(v.ID, approval.StatusOutcomeUnknown)
		if took, most := time.Since(began), runner.HeartbeatTimeout+10*time.Second; took > most {
			w.t.Errorf("it took %v to see that the tool's end is unknown, want at most %v", took, most)
		}
		if runs := w.tools.ran(v.ID); runs != 1 {
			w.t.Errorf("the tool ran %d times", runs)
		}
	}
	w.t.Logf("unknown %v after the kill", since(began))
	w.ends(repeatable.ID, approval.StatusExecuted)
	if runs := w.tools.ran(repeatable.ID); runs != 2 {
		w.t.Errorf("the repeatable tool ran %d times, want a second time", runs)
	}
	w.t.Logf("repeated %v after the kill", since(began))
	w.check()
}

// afterStart kills as soon as a start is acknowledged.
func afterStart(w *world) {
	type started struct{ id, tool, args, key string }
	var calls []started
	for i, tool := range []string{"allowed", "guarded", "allowed", "guarded", "allowed_slow", "slow", "allowed", "allowed"} {
		c := started{tool: tool, args: fmt.Sprintf(`{"n": %d}`, i), key: fmt.Sprintf("order-%d", i)}
		status, answer := w.post("/api/calls", fmt.Sprintf(`{"tool": %q, "args": %s, "idempotency_key": %q}`, c.tool, c.args, c.key))
		w.kill()
		w.start()
		if c.id, _ = answer["id"].(string); status != 202 || c.id == "" {
			w.t.Fatalf("the start was answered %d %v", status, answer)
		}
		calls = append(calls, c)
	}
	_, answer := w.post("/api/calls", `{"tool": "allowed"}`)
	w.kill()
	w.start()
	unkeyed, _ := answer["id"].(string)

	// An agent that is started anew repeats its calls.
	for _, c := range calls {
		call := approval.Call{Tool: c.tool, Args: []byte(c.args), IdempotencyKey: c.key}
		if v, attached, err := w.api.Start(w.t.Context(), call, 0); err != nil || v.ID != c.id || !attached {
			w.t.Errorf("repeated under its key: call %s, attached %v, %v; want %s", v.ID, attached, err, c.id)
		}
		call.Args = []byte(`{"n": -1}`)
		if _, _, err := w.api.Start(w.t.Context(), call, 0); approval.CodeOf(err) != approval.CodeConflict {
			w.t.Errorf("another call under the key: %v", err)
		}
	}
	began := time.Now()
	for _, c := range calls {
		if c.tool == "guarded" || c.tool == "slow" {
			w.approve(w.waits(c.id))
			w.ends(c.id, approval.StatusExecuted)
		} else {
			w.ends(c.id, approval.StatusExecuted, approval.StatusOutcomeUnknown)
		}
	}
	w.ends(unkeyed, approval.StatusExecuted, approval.StatusOutcomeUnknown)
	l := w.check()
	if len(l.records) != len(calls)+1 {
		w.t.Errorf("%d calls on record, %d were started", len(l.records), len(calls)+1)
	}
	w.t.Logf("%d starts, %d kills: %v; the last one ended %v after the last start", len(calls)+1, w.deaths(), l.tally, since(began))
}

func overDeadline(w *world) {
	const short, long = 4 * time.Second, 25 * time.Second // for slow machines, too
	silent, late := w.pending("guarded", short), w.pending("guarded", short)
	inTime, refused := w.pending("guarded", long), w.pending("guarded", long)
	w.kill()

	// Nobody judges now, but what comes is on record.
	w.start("--no-worker")
	w.decideUnjudged(inTime, "approve")
	w.decideUnjudged(refused, "reject")
	if !time.Now().Before(*inTime.Deadline) {
		w.t.Fatal("the machine is too slow: the deadline passed before the approval was acknowledged")
	}
	<-time.After(time.Until(late.Deadline.Add(50 * time.Millisecond)))
	w.decideUnjudged(late, "approve")
	w.kill()

	<-time.After(time.Until(inTime.Deadline.Add(50 * time.Millisecond)))
	began := time.Now()
	w.start()
	w.ends(inTime.ID, approval.StatusExecuted)
	w.ends(refused.ID, approval.StatusRejected)
	w.ends(silent.ID, approval.StatusExpired)
	w.ends(late.ID, approval.StatusExpired)
	w.t.Logf("all judged %v after the start", since(began))
	w.check()
}

func (w *world) decideUnjudged(v client.View, what string) {
	w.t.Helper()
	status, answer := w.post("/api/requests/"+v.ID+"/"+what, fmt.Sprintf(`{"digest": %q}`, v.Digest))
	if status != 202 || answer["outcome"] != string(rest.AnswerNotJudged) {
		w.t.Fatalf("%s without a worker was answered %d %v", what, status, answer)
	}
}

const waitingForTools = "Waiting for running tools"

func stoppedWhileToolRuns(w *world) {
	v := w.pending("block", 0)
	w.approve(v)
	w.arrival(v.ID)
	x := w.interruptWorker()
	if x.Ended() {
		w.t.Errorf("it did not wait for the running tool: %v", x.Err())
	}
	w.tools.letGo(v.ID)
	began := time.Now()
	x.part.gone()
	if err := x.Err(); err != nil {
		w.t.Errorf("a graceful stop ended with %v", err)
	}
	stopped := since(began)
	began = time.Now()
	w.start()
	w.ends(v.ID, approval.StatusExecuted)
	w.t.Logf("stopped %v after the tool's end; executed %v after the next start", stopped, since(began))

	v = w.pending("block", 0)
	w.approve(v)
	w.arrival(v.ID)
	x = w.interruptWorker()
	began = time.Now()
	x.Signal(syscall.SIGINT)
	x.part.gone()
	if took := time.Since(began); took > 2*time.Second {
		w.t.Errorf("the second interrupt took %v", took)
	}
	if status, ok := x.State().Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGINT {
		w.t.Errorf("the second interrupt ended the process with %v", x.Err())
	}
	w.start()
	w.ends(v.ID, approval.StatusOutcomeUnknown)
	w.t.Logf("unknown %v after the second interrupt", since(began))
	if runs := w.tools.ran(v.ID); runs != 1 {
		w.t.Errorf("the tool ran %d times", runs)
	}
	w.check()
}

// interruptWorker is Ctrl-C; it returns when the worker waits for its tools.
func (w *world) interruptWorker() *process {
	w.t.Helper()
	x := w.workers[0].interrupt()
	w.until("the worker waits for its tools", func() bool { return x.Log.Has(waitingForTools) })
	return x
}
