//go:build unix

package e2e_test

import (
	"cmp"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/runner"
)

// TestCrash kills whole worlds and parts of them, and starts them again on what
// is left: every call has one outcome, no tool runs twice, and what was
// acknowledged stands. One world is a single process on SQLite; the other has
// every part in a process of its own, with Postgres. The storms come over plain
// worlds, and over sealed ones: see crashSeal. Short runs have one storm of
// either kind, in which world is up to the seed; -crash.long has all.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("takes about a minute")
	}
	site := crashSite{crashBinaries: crashBuild(t), seed: cmp.Or(*crashSeed, uint64(time.Now().UnixNano()))}
	const plain, sealed, even, odd, always = false, true, 0, 1, 2
	for _, scenario := range []struct {
		name   string
		sealed bool
		seeds  uint64 // of the short runs that have it
		world  func(*testing.T, crashSite) *crashWorld
		run    func(*crashWorld)
	}{
		{"storm over all parts", plain, even, newCrashTown, crashStorm},
		{"storm over one process", plain, odd, newCrashStack, crashStorm},
		{"sealed storm over all parts", sealed, odd, newCrashTown, crashStorm},
		{"sealed storm over one process", sealed, even, newCrashStack, crashStorm},
		{"while the tool runs", plain, always, newCrashStack, crashDuringTool},
		{"right after an approval", plain, always, newCrashStack, crashAfterApproval},
		{"right after a start", plain, always, newCrashStack, crashAfterStart},
		{"stopped while the tool runs", plain, always, newCrashStack, crashGracefully},
		{"over the deadline", plain, always, newCrashStack, crashOverDeadline},
		{"asleep", plain, always, newCrashTown, crashAsleep},
		{"asleep before the permit", plain, always, newCrashTown, crashAsleepBeforePermit},
		{"while calls wait", plain, always, newCrashStack, crashWhileWaiting},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			if !*crashLongRun && scenario.seeds != always && scenario.seeds != site.seed%2 {
				t.Skip("this seed's short run has the other kind of storm here")
			}
			t.Parallel()
			of := site
			of.sealed = scenario.sealed
			w := scenario.world(t, of)
			w.start()
			if w.seal != nil {
				w.seal.enrol()
			}
			scenario.run(w)
		})
	}
}

func crashWhileWaiting(s *crashWorld) {
	var calls []client.View
	for range 12 {
		calls = append(calls, s.pending("guarded", 0))
	}
	for range 2 {
		s.kill()
		s.start()
		for _, v := range calls {
			if now := s.waits(v.ID); string(now.Raw) != string(v.Raw) {
				s.t.Errorf("before the kill\n%s\nafter it\n%s", v.Raw, now.Raw)
			}
		}
		if page, err := s.api.Requests(s.t.Context(), client.RequestQuery{}); err != nil || page.Total != len(calls) {
			s.t.Errorf("%d requests are listed (%v), want %d", page.Total, err, len(calls))
		}
	}
	for _, v := range calls {
		s.approve(v)
		s.ends(v.ID, approval.StatusExecuted)
	}
	s.check()
}

// crashAfterApproval kills at several distances from an acknowledged approval,
// to meet every step that follows it.
func crashAfterApproval(s *crashWorld) {
	var ids []string
	for _, byAPI := range []bool{true, false} {
		for _, distance := range []time.Duration{0, 0, 4, 8, 16, 32, 64} {
			v := s.pending("guarded", 0)
			ids = append(ids, v.ID)
			if byAPI {
				s.approve(v)
			} else if err := s.dialTemporal().SignalWorkflow(s.t.Context(), v.ID, "", approval.SignalApprove, nil); err != nil {
				s.t.Fatal(err)
			}
			if distance > 0 {
				<-time.After(distance * time.Millisecond)
			}
			s.kill()
			s.start()
		}
	}
	began := time.Now()
	tally := map[approval.Status]int{}
	for _, id := range ids {
		tally[s.ends(id, approval.StatusExecuted, approval.StatusOutcomeUnknown).Status]++
	}
	s.t.Logf("%d approvals, %d kills: %v; the last one ended %v after the last start", len(ids), s.deaths(), tally, crashRound(began))
	s.check()
}

func crashRound(since time.Time) time.Duration { return time.Since(since).Round(time.Millisecond) }

func crashDuringTool(s *crashWorld) {
	approved, allowed, repeatable := s.pending("block", 0), s.call("allowed_block", 0), s.pending("repeatable", 0)
	s.arrival(allowed.ID)
	s.approve(approved)
	s.arrival(approved.ID)
	s.approve(repeatable)
	s.arrival(repeatable.ID)
	began := time.Now()
	s.kill()
	s.start()
	for _, v := range []client.View{approved, allowed} {
		v = s.ends(v.ID, approval.StatusOutcomeUnknown)
		if took, most := time.Since(began), runner.HeartbeatTimeout+10*time.Second; took > most {
			s.t.Errorf("it took %v to see that the tool's end is unknown, want at most %v", took, most)
		}
		if runs := s.tools.ran(v.ID); runs != 1 {
			s.t.Errorf("the tool ran %d times", runs)
		}
	}
	s.t.Logf("unknown %v after the kill", crashRound(began))
	s.ends(repeatable.ID, approval.StatusExecuted)
	if runs := s.tools.ran(repeatable.ID); runs != 2 {
		s.t.Errorf("the repeatable tool ran %d times, want a second time", runs)
	}
	s.t.Logf("repeated %v after the kill", crashRound(began))
	s.check()
}

// crashAfterStart kills as soon as a start is acknowledged.
func crashAfterStart(s *crashWorld) {
	type started struct{ id, tool, args, key string }
	var calls []started
	for i, tool := range []string{"allowed", "guarded", "allowed", "guarded", "allowed_slow", "slow", "allowed", "allowed"} {
		c := started{tool: tool, args: fmt.Sprintf(`{"n": %d}`, i), key: fmt.Sprintf("order-%d", i)}
		status, answer := s.post("/api/calls", fmt.Sprintf(`{"tool": %q, "args": %s, "idempotency_key": %q}`, c.tool, c.args, c.key))
		s.kill()
		s.start()
		if c.id, _ = answer["id"].(string); status != 202 || c.id == "" {
			s.t.Fatalf("the start was answered %d %v", status, answer)
		}
		calls = append(calls, c)
	}
	_, answer := s.post("/api/calls", `{"tool": "allowed"}`)
	s.kill()
	s.start()
	unkeyed, _ := answer["id"].(string)

	// An agent that is started anew repeats its calls.
	for _, c := range calls {
		call := approval.Call{Tool: c.tool, Args: []byte(c.args), IdempotencyKey: c.key}
		if v, attached, err := s.api.Start(s.t.Context(), call, 0); err != nil || v.ID != c.id || !attached {
			s.t.Errorf("repeated under its key: call %s, attached %v, %v; want %s", v.ID, attached, err, c.id)
		}
		call.Args = []byte(`{"n": -1}`)
		if _, _, err := s.api.Start(s.t.Context(), call, 0); approval.CodeOf(err) != approval.CodeConflict {
			s.t.Errorf("another call under the key: %v", err)
		}
	}
	began := time.Now()
	for _, c := range calls {
		if c.tool == "guarded" || c.tool == "slow" {
			s.approve(s.waits(c.id))
			s.ends(c.id, approval.StatusExecuted)
		} else {
			s.ends(c.id, approval.StatusExecuted, approval.StatusOutcomeUnknown)
		}
	}
	s.ends(unkeyed, approval.StatusExecuted, approval.StatusOutcomeUnknown)
	l := s.check()
	if len(l.records) != len(calls)+1 {
		s.t.Errorf("%d calls on record, %d were started", len(l.records), len(calls)+1)
	}
	s.t.Logf("%d starts, %d kills: %v; the last one ended %v after the last start", len(calls)+1, s.deaths(), l.tally, crashRound(began))
}

func crashOverDeadline(s *crashWorld) {
	const short, long = 4 * time.Second, 25 * time.Second // for slow machines, too
	silent, late := s.pending("guarded", short), s.pending("guarded", short)
	inTime, refused := s.pending("guarded", long), s.pending("guarded", long)
	s.kill()

	// Nobody judges now, but what comes is on record.
	s.start("--no-worker")
	s.decideUnjudged(inTime, "approve")
	s.decideUnjudged(refused, "reject")
	if !time.Now().Before(*inTime.Deadline) {
		s.t.Fatal("the machine is too slow: the deadline passed before the approval was acknowledged")
	}
	<-time.After(time.Until(late.Deadline.Add(50 * time.Millisecond)))
	s.decideUnjudged(late, "approve")
	s.kill()

	<-time.After(time.Until(inTime.Deadline.Add(50 * time.Millisecond)))
	began := time.Now()
	s.start()
	s.ends(inTime.ID, approval.StatusExecuted)
	s.ends(refused.ID, approval.StatusRejected)
	s.ends(silent.ID, approval.StatusExpired)
	s.ends(late.ID, approval.StatusExpired)
	s.t.Logf("all judged %v after the start", crashRound(began))
	s.check()
}

func (s *crashWorld) decideUnjudged(v client.View, what string) {
	s.t.Helper()
	status, answer := s.post("/api/requests/"+v.ID+"/"+what, fmt.Sprintf(`{"digest": %q}`, v.Digest))
	if status != 202 || answer["outcome"] != string(client.NotJudged) {
		s.t.Fatalf("%s without a worker was answered %d %v", what, status, answer)
	}
}

const crashStopping = "Waiting for running tools"

func crashGracefully(s *crashWorld) {
	v := s.pending("block", 0)
	s.approve(v)
	s.arrival(v.ID)
	p := s.interrupt()
	select {
	case <-p.done:
		s.t.Errorf("it did not wait for the running tool: %v", p.err)
	default:
	}
	s.tools.letGo(v.ID)
	began := time.Now()
	p.part.gone()
	if p.err != nil {
		s.t.Errorf("a graceful stop ended with %v", p.err)
	}
	stopped := crashRound(began)
	began = time.Now()
	s.start()
	s.ends(v.ID, approval.StatusExecuted)
	s.t.Logf("stopped %v after the tool's end; executed %v after the next start", stopped, crashRound(began))

	v = s.pending("block", 0)
	s.approve(v)
	s.arrival(v.ID)
	p = s.interrupt()
	began = time.Now()
	p.signal(syscall.SIGINT)
	p.part.gone()
	if took := time.Since(began); took > 2*time.Second {
		s.t.Errorf("the second interrupt took %v", took)
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGINT {
		s.t.Errorf("the second interrupt ended the process with %v", p.err)
	}
	s.start()
	s.ends(v.ID, approval.StatusOutcomeUnknown)
	s.t.Logf("unknown %v after the second interrupt", crashRound(began))
	if runs := s.tools.ran(v.ID); runs != 1 {
		s.t.Errorf("the tool ran %d times", runs)
	}
	s.check()
}

// interrupt is Ctrl-C; it returns when the worker waits for its tools.
func (w *crashWorld) interrupt() *crashLife {
	w.t.Helper()
	l := w.workers[0].interrupt()
	w.until("the worker waits for its tools", func() bool { return l.log.has(crashStopping) })
	return l
}
