package e2e_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/crosscheck"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	pawlworker "github.com/pawlhq/pawl/worker"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// The drills of docs/operations.md, "Backups and restores", on a real Temporal. Backups are copies of
// files of a stack that is stopped.

// backUp copies a database of the stack, which is stopped; restore puts it in its place.
func (w *world) backUp(name string) (restore func()) {
	w.t.Helper()
	file := filepath.Join(w.config.Data, name)
	kept, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	return func() {
		w.t.Helper()
		w.loses(name)
		if err := os.WriteFile(file, kept, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// loses removes a database of the stack, which is stopped.
func (w *world) loses(name string) {
	w.t.Helper()
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(w.config.Data, name+end)); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Fatal(err)
		}
	}
}

// age makes all that is in the store an hour older: workers leave calls alone that are new, or ended
// just now, since Temporal's lists lag.
func (w *world) age() {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file://"+filepath.Join(w.config.Data, "pawl.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	const hour = `strftime('%Y-%m-%dT%H:%M:%SZ', json_extract(view, '$.KEY'), '-1 hour')`
	for _, key := range []string{"created_at", "ended_at"} {
		_, err := db.ExecContext(w.t.Context(), `UPDATE calls SET view = json_set(view, '$.`+key+`', `+
			strings.ReplaceAll(hour, "KEY", key)+`) WHERE json_extract(view, '$.`+key+`') IS NOT NULL`)
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// pawl runs a command beside the stack.
func (w *world) pawl(args ...string) (code int, said string) {
	w.t.Helper()
	cmd := exec.Command(filepath.Join(programs.Build(w.t, "pawl"), "pawl"), args...)
	cmd.Env = programs.Environment("PAWL_DATABASE_URL=sqlite://" + filepath.Join(w.config.Data, "pawl.db"))
	if w.Stack != nil {
		cmd.Env = append(cmd.Env, "TEMPORAL_ADDRESS="+w.Temporal)
	}
	out, _ := cmd.CombinedOutput() // its exit code says more
	return cmd.ProcessState.ExitCode(), strings.ReplaceAll(string(out), cmd.Path, "pawl")
}

// ended waits until the store has ended a call, as a worker's reconciling does, and looks at its entry.
func (w *world) ended(id string, want approval.Status, because string) {
	w.t.Helper()
	w.until("call "+id+" is reconciled", func() bool { return w.status(id).Ended() })
	v := w.view(id)
	if v.Status != want || because != "" && (v.Error == nil || v.Error.Code != approval.CodeTerminated || !strings.Contains(v.Error.Message, because)) {
		w.t.Errorf("%s ended %s, %+v; want %s, %q", id, v.Status, v.Error, want, because)
	}
	w.oneEnd(id)
}

func (w *world) oneEnd(id string) {
	w.t.Helper()
	log, err := w.Store.Entries(w.t.Context(), store.EntryQuery{Subject: id, Kind: audit.KindEnded})
	if err != nil || len(log.Items) != 1 {
		w.t.Errorf("call %s has %d ends on record: %v", id, len(log.Items), err)
	}
}

func (w *world) workflow(id string) enums.WorkflowExecutionStatus {
	w.t.Helper()
	d, err := w.Client.DescribeWorkflowExecution(w.t.Context(), id, "")
	if err != nil {
		return enums.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED
	}
	return d.WorkflowExecutionInfo.Status
}

const drilled = `{"tool":"send","args":{"to":"x"}}`

// copyOfStore opens a copy of the store, whose stack is stopped.
func (w *world) copyOfStore() *sqlite.Store {
	w.t.Helper()
	kept, err := os.ReadFile(filepath.Join(w.config.Data, "pawl.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := sqlite.Open(w.t.Context(), sqlite.Options{Path: write(w.t, w.t.TempDir(), "pawl.db", string(kept))})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

// stopsOnRestored starts a worker whose store became older than what Temporal knows since it was made: it
// stops by itself, says so once, and has ended and recorded nothing. What follows, other workers do.
func (w *world) stopsOnRestored(fooled *pawlworker.Worker, older store.Store, stopped <-chan error) {
	w.t.Helper()
	entries := func() int {
		last, err := older.Entries(w.t.Context(), store.EntryQuery{Newest: true, Limit: 1})
		if err != nil {
			w.t.Fatal(err)
		}
		return last.Total
	}
	w.until("Temporal lists what the older store lacks", func() bool {
		err := pawlworker.CheckRestored(w.t.Context(), w.Client, client.DefaultNamespace, approval.TaskQueue, older, nil)
		return errors.Is(err, pawlworker.ErrRestored)
	})
	before := entries()
	if err := fooled.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.until("the worker stops", func() bool { return len(stopped) > 0 })
	fooled.Stop()
	if err := <-stopped; !errors.Is(err, pawlworker.ErrRestored) || len(stopped) > 0 {
		w.t.Errorf("the worker stopped because of %v, and %d more", err, len(stopped))
	}
	if after := entries(); after != before {
		w.t.Errorf("in the older store %d entries were written", after-before)
	}
}

func TestDrillOfAnOlderStore(t *testing.T) {
	w := newWorld(t)
	waits, rejected, executed := w.pending(drilled), w.pending(drilled), w.pending(drilled)
	terminated := w.pending(drilled)
	w.stop()
	restore, older := w.backUp("pawl.db"), w.copyOfStore()
	w.start()
	stopped := make(chan error, 2)
	fooled, err := pawlworker.New(t.Context(), pawlworker.Options{ // nothing has ended yet in Temporal
		Client: w.Client, Store: older, OnFatal: func(err error) { stopped <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.decide(rejected, "reject", "bo", ``)
	w.ends(rejected, approval.StatusRejected, 0)
	w.decide(executed, "approve", "ana", ``)
	w.ends(executed, approval.StatusExecuted, 1)
	if err := w.Client.TerminateWorkflow(t.Context(), terminated, "", "test"); err != nil {
		t.Fatal(err)
	}
	w.stopsOnRestored(fooled, older, stopped)
	lostAndRun := w.pending(drilled)
	w.decide(lostAndRun, "approve", "ana", ``)
	w.ends(lostAndRun, approval.StatusExecuted, 1)
	lostAndWaiting, lostAndTerminated := w.pending(drilled), w.pending(drilled)
	if err := w.Client.TerminateWorkflow(t.Context(), lostAndTerminated, "", "test"); err != nil {
		t.Fatal(err)
	}

	// 1. Stop. 2. Restore the store: it is refused until somebody says so.
	w.stop()
	restore()
	if _, err := stack.Start(t.Context(), stack.Options{Config: w.config}); !errors.Is(err, pawlworker.ErrRestored) || !strings.Contains(err.Error(), "pawl store restored") {
		t.Fatalf("a store that lacks calls: %v", err)
	}
	if code, said := w.pawl("store", "restored"); code != 0 || !strings.Contains(said, "permits that are void now: 0") {
		t.Fatalf("pawl store restored: %d %s", code, said)
	}
	w.age()

	// 4. Start. What Temporal knows more of ends, once, and what waits goes on.
	w.start()
	w.ended(rejected, approval.StatusCancelled, "ended rejected in Temporal")
	w.ended(executed, approval.StatusOutcomeUnknown, "ended executed in Temporal")
	w.ended(terminated, approval.StatusCancelled, "closed in Temporal by an operator")
	w.until("the call that the store lacks ends in Temporal", func() bool {
		return w.workflow(lostAndWaiting) == enums.WORKFLOW_EXECUTION_STATUS_TERMINATED
	})
	w.oneEnd(lostAndWaiting)
	if s := w.workflow(lostAndRun); s != enums.WORKFLOW_EXECUTION_STATUS_COMPLETED || w.status(lostAndRun) != "" {
		t.Errorf("the call that ran is %s in Temporal and %q in the store", s, w.status(lostAndRun))
	}
	w.until("what ended is on record", func() bool {
		lost, err := w.Store.Entries(t.Context(), store.EntryQuery{Kind: audit.KindLost})
		said := map[string]bool{}
		for _, e := range lost.Items {
			said[e.Subject] = true
		}
		return err == nil && len(lost.Items) == 2 && said[lostAndRun] && said[lostAndTerminated]
	})
	// 3. What ran since the backup is found.
	report, found := w.compare()
	if about := found[lostAndRun]; report.Disagreements != 1 || len(about) != 1 || about[0].Kind != crosscheck.Unknown {
		t.Errorf("compared with Temporal: %+v", report)
	}
	for _, id := range []string{rejected, executed} {
		if about := found[id]; len(about) != 1 || about[0].Kind != crosscheck.Outcome || !about[0].Known {
			t.Errorf("compared with Temporal: %+v", about)
		}
	}
	code, said := w.pawl("doctor")
	if code != 0 || !strings.Contains(said, "unknown outcomes") || !strings.Contains(said, executed+"  send") {
		t.Errorf("doctor: %d %s", code, said)
	}
	for line := range strings.Lines(said[strings.Index(said, "to do"):]) {
		if len([]rune(strings.TrimRight(line, "\n"))) > 80 {
			t.Errorf("a line of doctor's list is longer than 80 columns: %s", line)
		}
	}
	a := w.post("/api/requests/"+executed+"/settle", `{"ran":true,"notes":"Temporal has its result"}`, "X-Pawl-Reviewer", "ana")
	if settled := w.view(executed).Settled; a.code != http.StatusOK || settled == nil || !settled.Ran {
		t.Errorf("settling: %d %v", a.code, a.doc)
	}
	w.decide(waits, "approve", "ana", ``)
	w.ends(waits, approval.StatusExecuted, 1)
	for _, id := range []string{executed, lostAndRun} {
		if w.runs(id) != 1 {
			t.Errorf("%s ran %d times", id, w.runs(id))
		}
	}
}

func TestDrillOfAnOlderTemporal(t *testing.T) {
	w := newWorld(t)
	executed, waits := w.pending(drilled), w.pending(drilled)
	w.stop()
	restore := w.backUp("temporal.db")
	w.start()
	w.decide(executed, "approve", "ana", ``)
	w.ends(executed, approval.StatusExecuted, 1)
	unknown := w.pending(drilled)

	// What this Temporal repeats finds its end in the store; what it does not know ends.
	w.stop()
	w.age()
	restore()
	w.start()
	w.until("the workflow that is repeated ends", func() bool {
		return w.workflow(executed) == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
	})
	w.ends(executed, approval.StatusExecuted, 1)
	w.oneEnd(executed)
	w.ended(unknown, approval.StatusCancelled, "Temporal was restored from a backup of before it")
	if s := w.status(waits); s != approval.StatusPending {
		t.Errorf("the call that waits is %s", s)
	}

	// And one that knows nothing at all.
	w.stop()
	w.loses("temporal.db")
	w.start()
	w.ended(waits, approval.StatusCancelled, "nothing ran")
	w.ended(executed, approval.StatusExecuted, "")
	code, said := w.pawl("doctor")
	if !strings.Contains(said, "it lacks no call that Temporal knows of") {
		t.Errorf("doctor: %d %s", code, said)
	}
	id := w.pending(drilled)
	w.decide(id, "approve", "ana", ``)
	w.ends(id, approval.StatusExecuted, 1)
	if runs := fmt.Sprint(w.runs(executed), w.runs(unknown), w.runs(waits)); runs != "1 0 0" {
		t.Errorf("runs: %s", runs)
	}
}
