package approval_test

import (
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
)

var update = flag.Bool("update", false, "write golden files anew")

// everything is a requirement that leaves nothing out.
var everything = approval.Requirement{
	Approvals: []approval.Approvals{{Group: "g", Count: 2}},
	Stages:    []approval.Stage{{Name: "s", Approvals: []approval.Approvals{{Count: 1}}}},
	Decisions: approval.DecisionsSigned, DenyCount: 2, SelfApproval: true, RequireReason: true, AllowEdit: true, Input: json.RawMessage(`{"type":"object"}`),
	Execution: approval.ExecutionCaller, RemindEvery: approval.Duration(time.Minute),
	Escalate: []approval.Escalation{{After: approval.Duration(time.Minute), To: "g"}},
	Grant:    &approval.Grant{Max: approval.Duration(time.Hour)}, Validators: []string{"c"}, Previews: []string{"p"},
}

// TestWireGolden pins every shape that crosses a process border. A change here may only add fields.
func TestWireGolden(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	final := &approval.FinalDecision{Kind: approval.FinalApprove, By: "ana", Channel: "api", Notes: "ok", At: at}
	shapes := map[string]any{
		"names": map[string]string{
			"workflow": approval.WorkflowType, "queue": approval.TaskQueue, "approve": approval.SignalApprove,
			"reject": approval.SignalReject, "cancel": approval.SignalCancel, "query": approval.QueryState,
			"memo": approval.MemoFingerprint, "memo_requester": approval.MemoRequester, "status": approval.SearchStatus, "tool": approval.SearchTool, "agent": approval.SearchAgent,
			"header_call_id": approval.HeaderCallID, "header_digest": approval.HeaderDigest,
			"publish": approval.WorkflowPublish, "store": approval.WorkflowStore, "memo_store": approval.MemoStore, "store_id": approval.StoreWorkflowID("pawl"), "agent_queue": approval.AgentQueue("billing"),
		},
		"publication": approval.Publication{Agent: "a", Tools: []approval.ToolSpec{{
			Name: "t", Description: "d", Schema: json.RawMessage(`{"type":"object"}`), Idempotent: true,
			Timeout: approval.Duration(time.Minute), Heartbeat: approval.Duration(10 * time.Second),
		}}},
		"published": approval.Published{Refused: []approval.RefusedTool{{Name: "t", Reason: "r"}}},
		"call": approval.Call{
			Tool: "t", Args: json.RawMessage(`{"a":1}`), Agent: "a", Team: "b", Session: "s", Reason: "r", Title: "ti", Description: "d",
			Labels: map[string]string{"k": "v"}, Requester: "q", Owner: "o", IdempotencyKey: "i", RequireApproval: true,
			Timeout: approval.Duration(90 * time.Second), Nonce: "n", Execution: "worker",
		},
		"decision_signal": approval.DecisionSignal{DecisionID: "d", Reviewer: "r", Channel: "c", Notes: "n", Digest: "x", Groups: []string{"g"}, Method: "token", Envelope: json.RawMessage(`{"payloadType":"p"}`), NotesSalt: "s"},
		"settled":         approval.Settled{Ran: true, By: "b", At: at, Notes: "n", Result: json.RawMessage(`1`), SelfApproval: true},
		"cancel_signal":   approval.CancelSignal{DecisionID: "d", By: "b", Channel: "c", Method: "m", Notes: "n"},
		"report_signal": approval.SentReport{
			ReportSignal: approval.ReportSignal{StartID: "i", Status: approval.ReportExecuted, Result: json.RawMessage(`1`), Error: "e", ResultDigest: "d", ResultSize: 7},
			Actor:        approval.Actor{By: "b", Via: approval.Via{Channel: "c", Method: "m"}},
		},
		"withdrawal": approval.FinalDecision{Kind: approval.FinalCancel, By: "b", Channel: "c", Method: "m", At: at},
		"outcome": approval.Outcome{
			ID: "i", Tool: "t", Status: approval.StatusExecuted, Result: json.RawMessage(`{"ok":true}`),
			Error: &approval.CallError{Code: "c", Message: "m"}, Decision: final, Digest: "d", Edited: true, DuplicateOf: "s",
		},
		"state": approval.State{
			View: approval.View{
				ID: "i", Tool: "t", Args: json.RawMessage(`{"a":1}`), Digest: "d", Status: approval.StatusPending, Risk: approval.RiskHigh,
				Agent: "a", Team: "b", Session: "s", Title: "ti", Description: "de", Reason: "r", Labels: map[string]string{"k": "v"}, Requester: "q", Owner: "o",
				CreatedAt: at, Deadline: &at, EndedAt: &at, Policy: &approval.PolicyRef{Digest: "p", Layer: "l", Rule: "u"},
				Requirement: approval.OneApproval(),
				Votes:       []approval.Decision{{ID: "d", Kind: approval.Approve, Reviewer: "ana", Channel: "api", Groups: []string{"g"}, Method: "token", Notes: "n", Envelope: json.RawMessage(`{"payloadType":"p"}`), NotesSalt: "s", At: at}},
				Decision:    final, Result: json.RawMessage(`1`), Error: &approval.CallError{Code: "c", Message: "m"}, AttemptOf: "o", DuplicateOf: "s",
			},
			Answers: []approval.Answer{{DecisionID: "d", Outcome: approval.AnswerResolved, Message: "m"}},
			Judging: true,
		},
		"verdict": approval.Verdict{
			Kind: approval.VerdictRequire, Risk: approval.RiskLow, Requirement: approval.OneApproval(), Timeout: approval.DefaultTimeout,
			ValidFor: approval.DefaultValidFor, Redact: []string{"x"}, Policy: approval.PolicyRef{Digest: "p"},
		},
		"verdict_full": approval.Verdict{
			Kind: approval.VerdictRequire, Requirement: &everything, Timeout: approval.DefaultTimeout, Policy: approval.PolicyRef{Why: "w"},
			Audited: true, Collapse: true, Observed: []approval.Observation{{Layer: "l", Kind: approval.VerdictDeny, Risk: approval.RiskLow, Rule: "r", Why: "w", Requirement: approval.OneApproval()}},
		},
	}
	got, err := json.MarshalIndent(shapes, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/wire.golden.json"
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got)+"\n" {
		t.Errorf("the wire shapes differ from %s; additions are written with -update:\n%s", file, got)
	}
}

// A report is the same report in the signal, whose JSON is written anew, as in the request.
func TestReportsHaveOneDigest(t *testing.T) {
	for _, result := range []string{`[0, 1, 2]`, "{\n  \"a\": 1\n}", `"a<b>&c"`, `null`, `[0,1]`, ``} {
		report := approval.ReportSignal{Status: approval.ReportExecuted, Result: json.RawMessage(result)}
		if err := report.Normalize(); err != nil {
			t.Fatal(err)
		}
		doc, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		var signal approval.ReportSignal
		if err := json.Unmarshal(doc, &signal); err != nil {
			t.Fatal(err)
		}
		_, asked := report.Outcome()
		if _, kept := signal.Outcome(); !kept.Same(asked) {
			t.Errorf("%s: asked %+v, kept %+v", result, asked, kept)
		}
	}
}
