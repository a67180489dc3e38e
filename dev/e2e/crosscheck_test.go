package e2e_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/crosscheck"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/dev/temporal"
	"github.com/pawlhq/pawl/store"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
)

// compare compares the store with Temporal, and returns the findings by call.
func (w *world) compare() (crosscheck.Report, map[string][]crosscheck.Finding) {
	w.t.Helper()
	r, err := crosscheck.Run(w.t.Context(), crosscheck.Options{
		Store: w.Store, Temporal: w.Client, Converter: converter.GetDefaultDataConverter(),
		TaskQueue: approval.TaskQueue, Retention: temporal.DefaultRetention,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string][]crosscheck.Finding{}
	for _, f := range r.Findings {
		found[f.CallID] = append(found[f.CallID], f)
	}
	return r, found
}

// tamper runs SQL on the store's file, whose triggers are off.
func (w *world) tamper(statement string, args ...any) {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file://"+w.StorePath()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	for _, trigger := range []string{
		"claims_are_final", "claims_are_judged", "entries_are_final", "entries_stay", "sealed_are_final", "sealed_stay",
	} {
		if _, err := db.ExecContext(w.t.Context(), "DROP TRIGGER IF EXISTS "+trigger); err != nil {
			w.t.Fatal(err)
		}
	}
	if _, err := db.ExecContext(w.t.Context(), statement, args...); err != nil {
		w.t.Fatalf("%s: %v", statement, err)
	}
}

// rewriteRow changes what the store shows of a call.
func (w *world) rewriteRow(id string, change func(*approval.View)) {
	w.t.Helper()
	record, err := w.Store.Call(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	v := record.View
	change(&v)
	doc, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	verdict, err := json.Marshal(record.Verdict)
	if err != nil {
		w.t.Fatal(err)
	}
	w.tamper("UPDATE calls SET view = ?, verdict = ?, packed = NULL, status = ?, digest = ? WHERE id = ?",
		string(doc), string(verdict), string(v.Status), v.Digest, id)
}

// rewriteEntry changes an entry with all its hashes, as who owns the database and the log's key could.
func (w *world) rewriteEntry(id string, kind audit.Kind, change func(audit.Payload) audit.Payload) {
	w.t.Helper()
	page, err := w.Store.Entries(w.t.Context(), store.EntryQuery{Subject: id, Kind: kind})
	if err != nil || len(page.Items) != 1 {
		w.t.Fatalf("%d entries of kind %s: %v", len(page.Items), kind, err)
	}
	e := page.Items[0]
	payload, err := audit.ReadPayload(kind, e.Payload)
	if err != nil {
		w.t.Fatal(err)
	}
	forged, err := audit.NewSalted(id, e.Step, e.At, change(payload), e.Salt)
	if err != nil {
		w.t.Fatal(err)
	}
	w.tamper("UPDATE entries SET payload = ?, leaf = ? WHERE call = ? AND step = ?",
		[]byte(forged.Payload), forged.Leaf[:], id, e.Step)
	w.tamper(`UPDATE sealed SET leaf = iif(entry = e.seq, ?1, leaf), more = iif(entry = e.seq, more,
			unhex(substr(hex(more), 1, 64 * (e.seq - entry - 1)) || hex(?1) || substr(hex(more), 64 * (e.seq - entry) + 1)))
		FROM (SELECT seq FROM entries WHERE call = ?2 AND step = ?3) AS e
		WHERE entry = (SELECT max(entry) FROM sealed WHERE entry <= e.seq) AND e.seq <= entry + length(more) / 32`, forged.Leaf[:], id, e.Step)
}

// deleteWorkflow asks Temporal to delete a workflow, which it does in its own time.
func (w *world) deleteWorkflow(id string) {
	w.t.Helper()
	_, err := w.Client.WorkflowService().DeleteWorkflowExecution(w.t.Context(), &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace: "default", WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// What somebody changed in the store, with every hash, or did to a workflow, is found by the histories
// that Temporal keeps; and of an honest store nothing is said.
func TestStoreAgainstTemporal(t *testing.T) {
	w := newWorld(t)
	const send = `{"tool":"send","args":{"to":"x","secret":"hunter2"},"agent":"bot","reason":"mail hunter2"}`
	approved := func() string {
		id := w.pending(send)
		w.decide(id, "approve", "ana", `{"notes":"hunter2 is fine"}`)
		w.ends(id, approval.StatusExecuted, 1)
		return id
	}
	rejected := func() string {
		id := w.pending(send)
		w.decide(id, "reject", "bo", `{"notes":"no"}`)
		w.ends(id, approval.StatusRejected, 0)
		return id
	}
	allowed := func() string {
		id := w.post("/api/calls", `{"tool":"read","args":{"to":"x","secret":"hunter2"},"wait":"20s"}`).text("id")
		w.ends(id, approval.StatusExecuted, 1)
		return id
	}

	// Every way to an end, and calls under way.
	approved()
	rejected()
	allowed()
	w.ends(w.pending(`{"tool":"hasty","args":{"to":"x"}}`), approval.StatusExpired, 0)
	w.ends(w.post("/api/calls", `{"tool":"nope","wait":"20s"}`).text("id"), approval.StatusBlocked, 0)
	withdrawn := w.pending(send)
	w.post("/api/calls/"+withdrawn+"/cancel", `{"notes":"never mind"}`)
	w.ends(withdrawn, approval.StatusCancelled, 0)
	unnamed := w.pending(send)
	w.signal(unnamed, approval.SignalReject, map[string]string{"reviewer": "cyd"})
	w.ends(unnamed, approval.StatusRejected, 0)
	callers := w.post("/api/calls", `{"tool":"ls","args":{"path":"hunter2"},"execution":"caller","agent":"coder","require_approval":true}`).text("id")
	w.until("the caller's call waits", func() bool { return w.status(callers) == approval.StatusPending })
	w.decide(callers, "approve", "ana", `{}`)
	w.post("/api/calls/"+callers+"/start", "{"+startOne+"}")
	w.post("/api/calls/"+callers+"/outcome", `{`+startOne+`,"status":"executed","result":{"files":["a"]}}`)
	w.until("the caller's call ends", func() bool { return w.status(callers) == approval.StatusExecuted })
	w.behave = func(rw http.ResponseWriter, _ *http.Request) {
		http.Error(rw, "mailbox of hunter2 is full", http.StatusConflict)
	}
	w.ends(w.post("/api/calls", `{"tool":"read","args":{"to":"x","secret":"hunter2"},"wait":"20s"}`).text("id"), approval.StatusFailed, 1)
	w.behave = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	unknown := w.post("/api/calls", `{"tool":"read","args":{"to":"x"},"wait":"20s"}`).text("id")
	w.ends(unknown, approval.StatusOutcomeUnknown, 1)
	w.settles(w.API, unknown)
	w.behave = func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, `"hunter2"`) }
	reset := allowed()
	w.reset(reset)
	w.ends(reset, approval.StatusExecuted, 1)
	waits := w.pending(send)

	honest, found := w.compare()
	if !honest.OK || honest.Open != 1 || honest.Compared != honest.Calls-1 || honest.Workflows < honest.Calls-1 {
		t.Fatalf("of an honest store: %+v", honest)
	}
	if len(found) != 1 || len(found[reset]) != 1 || found[reset][0].Kind != crosscheck.Reset || !found[reset][0].Known {
		t.Errorf("of the reset workflow: %+v", found)
	}

	// Built before the lies: the store may say by itself, a while later, that a workflow was closed.
	pawl := filepath.Join(programs.Build(t, "pawl"), "pawl")

	// Each of these is one lie.
	type lie struct {
		id   string
		kind crosscheck.Kind
	}
	lies := map[string]lie{}
	one := func(what string, id string, kind crosscheck.Kind, do func(id string)) {
		do(id)
		lies[what] = lie{id, kind}
	}
	one("a deleted workflow", approved(), crosscheck.Deleted, w.deleteWorkflow)
	one("another outcome in the store", rejected(), crosscheck.Outcome, func(id string) {
		w.rewriteRow(id, func(v *approval.View) { v.Status = approval.StatusExpired })
	})
	one("another outcome in the log", rejected(), crosscheck.Outcome, func(id string) {
		w.rewriteEntry(id, audit.KindEnded, func(p audit.Payload) audit.Payload {
			e := p.(audit.Ended)
			e.Outcome.Status = approval.StatusExpired
			return e
		})
	})
	one("another result in the store", allowed(), crosscheck.Outcome, func(id string) {
		w.rewriteRow(id, func(v *approval.View) { v.Result = json.RawMessage(`{"got":{}}`) })
	})
	one("another message", rejected(), crosscheck.Outcome, func(id string) {
		w.rewriteRow(id, func(v *approval.View) { v.Error.Message = "nobody rejected the call" })
	})
	one("another reviewer in the store", approved(), crosscheck.Decision, func(id string) {
		w.rewriteRow(id, func(v *approval.View) { v.Votes[0].Reviewer = "bo" })
	})
	one("another reviewer in the log", rejected(), crosscheck.Decision, func(id string) {
		w.rewriteEntry(id, audit.KindDecided, func(p audit.Payload) audit.Payload {
			d := p.(audit.Decided)
			d.Decision.Reviewer = "ana"
			return d
		})
	})
	one("a decision that nobody made", allowed(), crosscheck.Decision, func(id string) {
		w.rewriteRow(id, func(v *approval.View) {
			v.Votes = []approval.Decision{{ID: "made-up", Kind: approval.Approve, Reviewer: "ana", At: v.CreatedAt}}
		})
	})
	one("a decision that is gone", rejected(), crosscheck.Decision, func(id string) {
		w.tamper("DELETE FROM entries WHERE call = ? AND kind = ?", id, string(audit.KindDecided))
	})
	permit := func(set string) func(string) {
		return func(id string) {
			w.tamper("UPDATE claims SET "+set+" WHERE call = (SELECT seq FROM calls WHERE id = ?)", id)
		}
	}
	one("a permit of another run", approved(), crosscheck.Permit, permit("run = 'another'"))
	one("a permit that is good for longer", allowed(), crosscheck.Permit, permit("good_until = good_until + 1000000"))
	one("a permit that was not used", allowed(), crosscheck.Permit,
		permit("used_at = NULL, used_run = NULL, used_activity = NULL, used_token = NULL"))
	one("a permit that is gone", approved(), crosscheck.Permit, func(id string) {
		w.tamper("DELETE FROM claims WHERE call = (SELECT seq FROM calls WHERE id = ?)", id)
	})
	one("a permit that nobody gave", rejected(), crosscheck.Permit, func(id string) {
		w.tamper("INSERT INTO claims (call, run, at, good_until, executor) SELECT seq, run, created_at, created_at, '' FROM calls WHERE id = ?", id)
	})
	one("a permit in the log that nobody gave", rejected(), crosscheck.Permit, func(id string) {
		claimed, err := audit.New(id, "claim", time.Now(), audit.Claimed{Run: "another"})
		if err == nil {
			err = w.Store.Append(t.Context(), claimed)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	one("a requirement that is less", waits, crosscheck.Call, func(id string) {
		w.rewriteRow(id, func(v *approval.View) { v.Requirement.SelfApproval = true })
	})
	one("another digest", approved(), crosscheck.Call, func(id string) {
		w.rewriteRow(id, func(v *approval.View) { v.Digest = strings.Repeat("0", 64) })
	})
	one("a call that is gone", allowed(), crosscheck.Unknown, func(id string) {
		w.tamper("DELETE FROM claims WHERE call = (SELECT seq FROM calls WHERE id = ?)", id)
		w.tamper("DELETE FROM calls WHERE id = ?", id)
	})
	one("a terminated workflow", w.pending(send), crosscheck.Closed, func(id string) {
		if err := w.Client.TerminateWorkflow(t.Context(), id, "", "test"); err != nil {
			t.Fatal(err)
		}
	})
	w.until("Temporal lists and has deleted what it was to", func() bool {
		_, found := w.compare()
		return len(found[lies["a call that is gone"].id]) > 0 && len(found[lies["a deleted workflow"].id]) > 0
	})
	report, found := w.compare()
	if report.OK {
		t.Error("the store is said to be honest")
	}
	for what, l := range lies {
		if !slices.ContainsFunc(found[l.id], func(f crosscheck.Finding) bool { return f.Kind == l.kind && !f.Known }) {
			t.Errorf("%s: found %+v", what, found[l.id])
		}
		delete(found, l.id)
	}
	if delete(found, reset); len(found) > 0 {
		t.Errorf("about calls that nobody touched: %+v", found)
	}

	// The command names them, and says that nothing else is wrong.
	command := func(temporal string, args ...string) (code int, out, errs string) {
		cmd := exec.Command(pawl,
			append([]string{"audit", "verify", "--state", "-", "--temporal", "--database-url", "sqlite://" + w.StorePath(),
				"--log-key", w.LogKeyFile()}, args...)...)
		cmd.Env = programs.Environment("TEMPORAL_ADDRESS=" + temporal)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run() // it exits with 1
		return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
	}
	code, said, _ := command(w.Temporal)
	if code != 1 || !strings.Contains(said, "NOT OK: Temporal and the store disagree: ") || !strings.Contains(said, "- "+reset+"  reset") ||
		strings.Contains(said, "hunter2") {
		t.Errorf("%d, %s", code, said)
	}
	for what, l := range lies {
		if !strings.Contains(said, "! "+l.id+"  "+string(l.kind)) {
			t.Errorf("%s: the command says\n%s", what, said)
		}
	}
	var doc struct {
		OK       bool
		Temporal crosscheck.Report
	}
	code, said, _ = command(w.Temporal, "-o", "json")
	if err := json.Unmarshal([]byte(said), &doc); err != nil || code != 1 || doc.OK || doc.Temporal.Disagreements < int64(len(lies)) {
		t.Errorf("%d, %+v, %v", code, doc, err)
	}
	if code, _, errs := command("127.0.0.1:1"); code != 1 || !strings.Contains(errs, "no answer from Temporal at 127.0.0.1:1") {
		t.Errorf("without Temporal: %d, %s", code, errs)
	}
	if code, _, errs := command(w.Temporal, "export.ndjson"); code != 2 || !strings.Contains(errs, "leave EXPORT out") {
		t.Errorf("of an export: %d, %s", code, errs)
	}
}
