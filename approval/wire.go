package approval

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
)

// Names on the Temporal wire. They are a contract with agents, reviewers and recorded histories:
// additive changes only.
const (
	WorkflowType = "GuardedCall" // one guarded call
	TaskQueue    = "pawl"        // where GuardedCall and its activities run

	SignalApprove = "approve"     // DecisionSignal, or nothing
	SignalReject  = "reject"      // DecisionSignal, or nothing
	SignalCancel  = "cancel_call" // CancelSignal, or nothing

	// Of a call whose caller runs the tool.
	SignalStarted = "started" // nothing: the store has news, and is asked for them
	SignalReport  = "report"  // SentReport

	QueryState = "state" // answers State
	QueryCall  = "call"  // answers the Call as its workflow has it, not redacted

	// MemoFingerprint holds Call.Fingerprint: it tells a repeated start of the same call from another
	// call under the same idempotency key.
	MemoFingerprint = "pawl_fingerprint"

	// MemoRequester holds Call.Requester: it tells whose call it is before the policy has answered.
	MemoRequester = "pawl_requester"

	// Keyword search attributes. Only calls that wait for people set them.
	SearchStatus = "PawlStatus"
	SearchTool   = "PawlTool"
	SearchAgent  = "PawlAgent"
)

// Tools that run outside Pawl's own worker: an ordinary activity, named as the tool, on a queue of
// its own. It takes the arguments object and answers with the result. Its header fields say which
// call it runs for; each is a JSON string.
const (
	HeaderCallID = "pawl-call-id" // the same over every attempt at the call
	HeaderDigest = "pawl-digest"

	// WorkflowPublish takes a Publication, on TaskQueue, and answers Published.
	WorkflowPublish = "PublishTools"

	// WorkflowStore shows, as long as it runs, the store in which the calls of a task queue are kept.
	// MemoStore, in its memo, is that store's ID. It takes nothing and does nothing.
	WorkflowStore = "PawlStore"
	MemoStore     = "pawl_store"

	agentQueue    = "pawl-tools-"
	storeWorkflow = "pawl-store-"
)

// StoreWorkflowID is the ID of a task queue's WorkflowStore.
func StoreWorkflowID(queue string) string { return storeWorkflow + queue }

// AgentQueue is the task queue on which an agent's process runs the functions that it guards.
func AgentQueue(agent string) string { return agentQueue + agent }

// Publication puts the tools that an agent's process serves into the catalogue. A name belongs to
// whoever published it first: only that agent may publish it again, or the operator's own worker,
// who goes before all agents.
type Publication struct {
	Agent string     `json:"agent"` // they run on AgentQueue(Agent)
	Tools []ToolSpec `json:"tools"`
}

// ToolSpec is one tool of a Publication.
type ToolSpec struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema"` // JSON Schema 2020-12 of the arguments
	Idempotent  bool            `json:"idempotent,omitempty"`
	Timeout     Duration        `json:"timeout,omitempty"` // of one run
	// Heartbeat is how long a run may be silent before its process is taken for dead. Zero: it sends
	// no heartbeats, and only Timeout ends it.
	Heartbeat Duration `json:"heartbeat,omitempty"`
}

// Published says what became of a Publication: what is not refused is in the catalogue.
type Published struct {
	Refused []RefusedTool `json:"refused,omitempty"`
}

// RefusedTool is a tool that did not get into the catalogue, and why.
type RefusedTool struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// DecisionSignal is the payload of SignalApprove and SignalReject. Every field is optional. Whoever
// may write to the Temporal namespace can send any of it, so nothing here proves who decided, but
// Envelope: with one, the decision counts only if all of it is what was signed.
type DecisionSignal struct {
	DecisionID string `json:"decision_id,omitempty"` // repeats of one ID count once
	Reviewer   string `json:"reviewer,omitempty"`
	Channel    string `json:"channel,omitempty"` // api, cli, …; empty means Temporal itself
	Notes      string `json:"notes,omitempty"`
	Digest     string `json:"digest,omitempty"` // when given, it must be the call's digest

	// See Decision.
	Groups    []string        `json:"groups,omitempty"`
	Method    string          `json:"method,omitempty"`
	Envelope  json.RawMessage `json:"envelope,omitempty"`
	NotesSalt string          `json:"notes_salt,omitempty"`
}

// Via says how somebody acted. It is also the second argument of a call's workflow, where an API
// started that; workers of before leave it unread.
type Via struct {
	Channel string `json:"channel,omitempty"` // a label, not evidence; "direct": on the database itself
	Method  string `json:"method,omitempty"`  // by which they were known, such as "token"; empty: by none
}

// Actor says who acted, and how: as an API knows them that authenticated them.
type Actor struct {
	By string `json:"by,omitempty"`
	Via
}

// CancelSignal is the payload of SignalCancel. Every field is optional.
type CancelSignal struct {
	DecisionID string `json:"decision_id,omitempty"`
	By         string `json:"by,omitempty"`
	Channel    string `json:"channel,omitempty"`
	Method     string `json:"method,omitempty"` // as in Via
	Notes      string `json:"notes,omitempty"`
}

// SentReport is a report as an API sends it to the call's workflow. Workers of before leave unread who
// reports.
type SentReport struct {
	ReportSignal
	Actor
}

// ReportSignal is a caller's report: how the tool ended that the caller ran. StartID
// proves who says so, and enters Temporal only here.
type ReportSignal struct {
	StartID string          `json:"start_id"`
	Status  ReportStatus    `json:"status"`
	Result  json.RawMessage `json:"result,omitempty"` // at most MaxResult
	Error   string          `json:"error,omitempty"`  // the tool's own words

	// Of the result's bytes, where the caller keeps it.
	ResultDigest string `json:"result_digest,omitempty"` // SHA-256 in hex
	ResultSize   int64  `json:"result_size,omitempty"`
}

// ReportStatus is how the tool ended by its caller's word.
type ReportStatus string

const (
	ReportExecuted ReportStatus = "executed"
	ReportFailed   ReportStatus = "failed"          // it ran, and said that it did not do what was asked
	ReportNotRun   ReportStatus = "not_run"         // it was started and then not run
	ReportUnknown  ReportStatus = "outcome_unknown" // its caller does not know
)

var reportStatuses = []ReportStatus{ReportExecuted, ReportFailed, ReportNotRun, ReportUnknown}

// MaxStartID is the longest start_id, in bytes.
const MaxStartID = 128

// CheckStartID refuses what is no random start_id. The error's code is CodeInvalid.
func CheckStartID(id string) error {
	if len(id) < 16 {
		return Errorf(CodeInvalid,
			"start_id: give at least 16 random characters, new for each process that runs the tool")
	}
	return checkText("start_id", id, MaxStartID, false)
}

// HashStartID is what the store keeps of a start_id: SHA-256 in hex.
func HashStartID(id string) string {
	sum := sha256.Sum256([]byte("pawl start\x00" + id))
	return hex.EncodeToString(sum[:])
}

var hexSum = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Validate checks a report. The error's code is CodeInvalid.
func (r ReportSignal) Validate() error {
	if err := CheckStartID(r.StartID); err != nil {
		return err
	}
	switch {
	case !slices.Contains(reportStatuses, r.Status):
		return Errorf(CodeInvalid, "status %q is none of %s", Display(string(r.Status), 40), List(reportStatuses))
	case len(r.Result) > MaxResult:
		return Errorf(CodeInvalid,
			"result is %d bytes; at most %d are taken: keep it, and report its digest and size",
			len(r.Result), MaxResult)
	case r.ResultDigest != "" && !hexSum.MatchString(r.ResultDigest):
		return Errorf(CodeInvalid, "result_digest is not SHA-256 in lower-case hex")
	case r.ResultSize < 0:
		return Errorf(CodeInvalid, "result_size is negative")
	case r.Status == ReportNotRun && len(r.Result) > 0:
		return Errorf(CodeInvalid, "a tool that was not run has no result")
	}
	return checkText("error", r.Error, maxText, true)
}

// Normalize writes the result as it is in the signal, so that the same report, sent again, has the same
// digest, however its sender wrote it: with other spaces, say.
func (r *ReportSignal) Normalize() error {
	if len(r.Result) == 0 {
		return nil
	}
	doc, err := json.Marshal(r.Result)
	r.Result = doc
	return err
}

// Outcome is the end of the call by the caller's word, and the report as views show it.
func (r ReportSignal) Outcome() (Outcome, Report) {
	o := Outcome{Status: Status(r.Status), Result: r.Result, Execution: ExecutionCaller}
	failed := func(code, message string) {
		o.Error = &CallError{Code: code, Message: cmp.Or(r.Error, message)}
	}
	switch r.Status {
	case ReportFailed:
		failed(CodeToolFailed, "the caller reported that the tool failed")
	case ReportNotRun:
		o.Status = StatusFailed
		failed(CodeNotRun, "the caller reported that it did not run the tool")
	case ReportUnknown:
		failed(CodeUnknown, "the caller does not know how the tool ended")
	}
	kept := Report{Status: o.Status, ResultDigest: r.ResultDigest, ResultSize: r.ResultSize}
	if r.Status == ReportNotRun {
		kept.Code = CodeNotRun
	}
	if len(r.Result) > 0 && kept.ResultDigest == "" {
		sum := sha256.Sum256(r.Result)
		kept.ResultDigest, kept.ResultSize = hex.EncodeToString(sum[:]), int64(len(r.Result))
	}
	return o, kept
}

// State is the answer to QueryState: the call as reviewers see it (redacted) and what became of the
// latest decisions.
type State struct {
	View
	// Answers holds the latest answers, oldest first, at most MaxAnswers.
	Answers []Answer `json:"answers,omitempty"`
	// Judging is true while decisions have no Answer yet: those that arrived around the deadline are
	// compared with it, or the call is judged again before the one that would settle it counts.
	Judging bool `json:"judging,omitempty"`
	// TooManySignals is true once the call has got more signals than it takes: it ignores all that
	// come after, and its deadline denies it.
	TooManySignals bool `json:"too_many_signals,omitempty"`
}

// MaxAnswers bounds State.Answers.
const MaxAnswers = 100

// Answer tells what one decision did.
type Answer struct {
	DecisionID string        `json:"decision_id"`
	Outcome    AnswerOutcome `json:"outcome"`
	Message    string        `json:"message,omitempty"`
}

// Find returns the answer to a decision, if it is still held.
func (s State) Find(decisionID string) (Answer, bool) {
	for i := len(s.Answers) - 1; i >= 0; i-- {
		if s.Answers[i].DecisionID == decisionID {
			return s.Answers[i], true
		}
	}
	return Answer{}, false
}

// AnswerOutcome is what a decision did to its call.
type AnswerOutcome string

const (
	AnswerResolved        AnswerOutcome = "resolved"         // it settled the call
	AnswerRecorded        AnswerOutcome = "recorded"         // counted; more are needed
	AnswerAlreadyResolved AnswerOutcome = "already_resolved" // the call was settled before
	AnswerExpired         AnswerOutcome = "expired"          // it came after the deadline
	AnswerForbidden       AnswerOutcome = "forbidden"        // this reviewer may not
	AnswerStale           AnswerOutcome = "stale"            // it was about another digest
	AnswerInvalid         AnswerOutcome = "invalid"          // it could not be read
)

// Counted reports whether the decision counted toward the call's verdict.
func (a AnswerOutcome) Counted() bool { return a == AnswerResolved || a == AnswerRecorded }
