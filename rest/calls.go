package rest

import (
	"encoding/json"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/present"
)

// StartRequest is the body of POST /api/calls.
type StartRequest struct {
	approval.Call
	// Timeout is the call's. It is a pointer since zero, which is refused, differs from none.
	Timeout *approval.Duration `json:"timeout,omitempty"`
	// Wait is how long the answer may be held until the call ends. The server has an upper limit.
	Wait approval.Duration `json:"wait,omitempty"`

	// Of a call with approval.ExecutionCaller. Neither reaches Temporal.
	Attach  bool   `json:"attach,omitempty"`   // take up the same call, if there is one that nobody uses
	StartID string `json:"start_id,omitempty"` // start the tool in the same request, where that is allowed
}

// StartToolRequest is the body of POST /api/calls/{id}/start.
type StartToolRequest struct {
	StartID string `json:"start_id"` // random, and new for each process that will run the tool
}

// Started says that the caller may run the tool now, with these arguments and no others.
type Started struct {
	ID       string          `json:"id"`
	Status   approval.Status `json:"status"` // executing
	Digest   string          `json:"digest"`
	Args     json.RawMessage `json:"args"`      // not redacted
	ReportBy time.Time       `json:"report_by"` // without a report by then, the call ends outcome_unknown
}

// WaitRequest is the body of POST /api/calls/wait.
type WaitRequest struct {
	Calls []WaitCall        `json:"calls"`
	Wait  approval.Duration `json:"wait,omitempty"`
}

// WaitCall is a call as its caller knows it.
type WaitCall struct {
	ID       string `json:"id"`
	Revision string `json:"revision,omitempty"` // of the View; empty: any is news
}

// WaitAnswer holds the calls that have ended, or have another revision; none if the time was up.
type WaitAnswer struct {
	Calls []WaitedCall `json:"calls"`
}

// WaitedCall is one of them: how it has ended, how it stands, or why nothing can be said.
type WaitedCall struct {
	ID      string            `json:"id"`
	Outcome *approval.Outcome `json:"outcome,omitempty"`
	Call    *View             `json:"call,omitempty"`
	Code    string            `json:"code,omitempty"` // approval.CodeNotFound
}

// OwnTools is the body of PUT /api/agents/{agent}/tools: all tools of one source that the agent runs
// itself. Lists of other sources stay, but for names that are in this one.
type OwnTools struct {
	Source string    `json:"source,omitempty"` // default: the agent's own program
	Tools  []OwnTool `json:"tools"`
}

// OwnTool is a tool that an agent runs itself.
type OwnTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"` // JSON Schema 2020-12 of the arguments
}

// CancelRequest is the body of POST /api/calls/{id}/cancel. It may be left out.
type CancelRequest struct {
	Notes string `json:"notes,omitempty"`
}

// Changed is an event: there is something new about a request.
type Changed struct {
	ID       string `json:"id"`
	Revision int64  `json:"revision"` // how often what the call requires was changed
}

// View is a call as every answer shows it.
type View struct {
	approval.View
	URL string `json:"url,omitempty"` // of the request's page; empty: the API was not told its public URL
	// Revision differs when the call has changed: what it waits for, its status, its start.
	Revision string `json:"revision,omitempty"`
}

// OpenCall is a call that has not ended. Before the policy has judged the call, its ID, tool,
// status and time of creation are all that is known. A call that has ended is an approval.Outcome.
type OpenCall struct {
	View
	Waiting *Waiting `json:"waiting,omitempty"`
}

// Waiting says why a call is open. Its texts may hold names that others chose: show them by
// approval.Display.
type Waiting struct {
	For      string     `json:"for"`             // reads on after "waits for"
	Until    *time.Time `json:"until,omitempty"` // then it goes on without that, or ends
	Problems []Obstacle `json:"problems,omitempty"`
}

// Obstacle is something that people must mend before the call can go on, or before its approval is
// of use.
type Obstacle struct {
	Code    string `json:"code"`    // one of the constants Obstacle…
	Message string `json:"message"` // what is wrong and what to do
}

// Codes of obstacles.
const (
	ObstacleNoWorker   = "no_worker"             // nobody polls the calls' task queue
	ObstacleSlowWorker = "worker_slow"           // workers poll, but none takes the next step up
	ObstacleStuck      = "workflow_failing"      // workers can't run this call's workflow
	ObstaclePaused     = "paused"                // an operator paused it in Temporal
	ObstacleStep       = "step_failing"          // something can't be written to the store, or read
	ObstacleStore      = CodeStoreUnavailable    // the API can't reach the store
	ObstacleTemporal   = CodeTemporalUnavailable // the API can't reach Temporal
	ObstacleSignals    = CodeTooManySignals      // decisions and withdrawals do not arrive any more
	ObstacleNotServed  = "tool_not_served"       // nobody polls the tool's task queue
	ObstacleNoTool     = "tool_not_in_catalogue"
	ObstaclePolicy     = "policy_unknown" // what the active policy says of the call can't be told
)

// Request is the answer of GET /api/requests/{id}: one call with what happened to it.
type Request struct {
	View
	Answers []approval.Answer `json:"answers,omitempty"` // to the latest decisions
	Live    bool              `json:"live"`              // status, votes and answers are its running workflow's
	Waiting *Waiting          `json:"waiting,omitempty"`
	// PolicyNow is absent where the active policy says of the call what the one did that let it wait,
	// and where that can't be told: then Waiting has the ObstaclePolicy, unless it can't be told for
	// want of Temporal or the store.
	PolicyNow *PolicyNow `json:"policy_now,omitempty"`

	// Summary says in one line what the call would do, and Blocks show everything that it was given,
	// marked; Found counts what is made to look like something else.
	Summary []present.Span  `json:"summary,omitempty"`
	Blocks  []present.Block `json:"blocks,omitempty"`
	Found   *present.Found  `json:"found,omitempty"`

	// You is what whoever asks may do about the call, and Rack what the call takes, of which Approvals
	// counts the approvals. All are absent of a call that people were never asked about.
	You       *approval.You      `json:"you,omitempty"`
	Rack      []approval.Segment `json:"rack,omitempty"`
	Approvals *approval.Standing `json:"approvals,omitempty"`

	// Attempts are the calls that this one tries again, oldest first: at most the last MaxAttempts.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Previous are the agent's last calls of the same tool with the same arguments, hidden ones too,
	// that are none of the Attempts; newest first.
	Previous []PastCall `json:"previous,omitempty"`

	// Timeline is the call's part of the audit log. Where that is longer than one page, TimelineCursor
	// is where GET /api/audit goes on.
	Timeline       []Event `json:"timeline"`
	TimelineCursor string  `json:"timeline_cursor,omitempty"`
}

// ListedRequest is a call in the answer of GET /api/requests, which does not ask its workflow.
type ListedRequest struct {
	View
	Summary []present.Span `json:"summary,omitempty"` // as in Request
	// Of a call that waits, as in Request, but by the policy that let it wait.
	You       *approval.You      `json:"you,omitempty"`
	Rack      []approval.Segment `json:"rack,omitempty"`
	Approvals *approval.Standing `json:"approvals,omitempty"`
}

// MaxAttempts is how many earlier attempts a Request shows.
const MaxAttempts = 10

// PastCall is what became of an earlier call.
type PastCall struct {
	ID     string          `json:"id"`
	Status approval.Status `json:"status"`
	By     string          `json:"by,omitempty"`    // who decided
	Notes  string          `json:"notes,omitempty"` // of the decision
	At     time.Time       `json:"at"`              // when it ended; of one that has not, when it was asked for
}

// Attempt is an earlier call that was tried again, and what the next attempt changed.
type Attempt struct {
	PastCall
	Tool        string           `json:"tool"`
	AttemptOf   string           `json:"attempt_of,omitempty"`
	Changed     []present.Change `json:"changed,omitempty"`
	MoreChanged int              `json:"more_changed,omitempty"` // how many further changes are left out
	// Compare shows what the next attempt changed, its tool too.
	Compare []present.Block `json:"compare,omitempty"`
}

// PolicyNow is what the policy that is active now says of a call that waits. Before the call runs it
// is judged by that, whoever approved it.
type PolicyNow struct {
	Action approval.VerdictKind `json:"action"`
	Effect PolicyEffect         `json:"effect"`
	Reason string               `json:"reason"` // Effect as a sentence for people, and why
	// Requirement is what the call takes by now, in all, with EffectWaits.
	Requirement *approval.Requirement `json:"requirement,omitempty"`
	Rule        string                `json:"rule"`    // the one that decides now
	Version     int64                 `json:"version"` // of the policy
	At          time.Time             `json:"at"`      // when it became active
	// Compare shows in what it differs about the call from what is kept of it.
	Compare []present.Block `json:"compare,omitempty"`
}

// PolicyEffect is what the active policy changes for a call that waits.
type PolicyEffect string

// What the active policy changes for a call that waits.
const (
	EffectBlocked PolicyEffect = "blocked" // nothing runs, however many approve
	EffectWaits   PolicyEffect = "waits"   // it takes more than it did
	EffectNone    PolicyEffect = "none"    // it takes what it did, though new calls would not wait
)

// Event is an Entry on the timeline of its call.
type Event struct {
	Kind    string          `json:"kind"`
	At      time.Time       `json:"at"`
	Payload json.RawMessage `json:"payload"`          // redacted; null where retention removed it
	Damage  string          `json:"damage,omitempty"` // see Entry
}

// DecisionRequest is the body of POST /api/requests/{id}/approve and …/reject. It may be left out.
type DecisionRequest struct {
	Notes string `json:"notes,omitempty"`
	// Digest is of the request as the reviewer saw it; default: whatever the request is now.
	Digest string `json:"digest,omitempty"`
	// DecisionID makes repeats count once; default: a new one.
	DecisionID string `json:"decision_id,omitempty"`
}

// SettleRequest is the body of POST /api/requests/{id}/settle.
type SettleRequest struct {
	Ran    *bool           `json:"ran"`              // required: the tool did what it was asked to, or not
	Notes  string          `json:"notes"`            // required: how the reviewer knows
	Result json.RawMessage `json:"result,omitempty"` // what the tool answered, where that was found
}

// EraseRequest is the body of POST /api/calls/{id}/erase.
type EraseRequest struct {
	Reason string `json:"reason"` // required, and never erased itself
}

// MaxDecisions is how many calls one DecisionsRequest may decide.
const MaxDecisions = 100

// DecisionsRequest is the body of POST /api/decisions: one decision about many calls.
type DecisionsRequest struct {
	Decision approval.DecisionKind `json:"decision"`
	Notes    string                `json:"notes,omitempty"`
	Items    []DecisionItem        `json:"items"` // 1 to MaxDecisions, each of another call
}

// DecisionItem is one call of a DecisionsRequest. Its ID is whole.
type DecisionItem struct {
	ID         string `json:"id"`
	Digest     string `json:"digest"`                // of the request as the reviewer saw it
	DecisionID string `json:"decision_id,omitempty"` // makes repeats count once; default: a new one
}

// DecisionsAnswer has a result for each item, in their order.
type DecisionsAnswer struct {
	Results []DecisionResult `json:"results"`
}

// DecisionResult is what one of many decisions did. With a Code it did not count.
type DecisionResult struct {
	ID         string                 `json:"id"` // the call's
	DecisionID string                 `json:"decision_id,omitempty"`
	Outcome    approval.AnswerOutcome `json:"outcome,omitempty"`
	Code       string                 `json:"code,omitempty"` // as in a Problem
	Message    string                 `json:"message,omitempty"`
}

// SessionCancelled is the answer of POST /api/sessions/{session}/cancel: the calls that were withdrawn.
// Each ends so, unless its tool starts first.
type SessionCancelled struct {
	IDs []string `json:"ids"`
}

// Outcomes of a decision that only the API gives; the others are approval.AnswerOutcome's.
const (
	// AnswerNotJudged: the decision is durably sent, and nobody has judged it yet.
	AnswerNotJudged approval.AnswerOutcome = "not_judged_yet"
	// AnswerNotWaiting: the policy has not judged the call yet, so nobody can decide about it.
	AnswerNotWaiting approval.AnswerOutcome = "not_waiting_yet"
	// AnswerUnknown: the decision is about a call that nobody knows.
	AnswerUnknown approval.AnswerOutcome = "unknown"
)

// DecisionAnswer answers a decision that counted, or may: what it did, and the call after it. A
// decision that did not count is a Problem.
type DecisionAnswer struct {
	Outcome    approval.AnswerOutcome `json:"outcome"`
	DecisionID string                 `json:"decision_id"`
	Message    string                 `json:"message,omitempty"`  // for people, where there is more to say
	Location   string                 `json:"location,omitempty"` // with AnswerNotJudged: where to ask again
	View
	Waiting *Waiting `json:"waiting,omitempty"` // where the call goes on waiting
}

// DecisionState is the answer of GET /api/requests/{id}/decisions/{decision_id}.
type DecisionState struct {
	Outcome    approval.AnswerOutcome `json:"outcome"`
	ID         string                 `json:"id"` // the call's
	DecisionID string                 `json:"decision_id"`
	Status     approval.Status        `json:"status"` // the call's
	Message    string                 `json:"message,omitempty"`
}

// Entry is one audit record.
type Entry struct {
	CallID   string          `json:"call_id"` // or another subject, which begins with @
	Step     string          `json:"step"`    // unique for each call
	Kind     string          `json:"kind"`
	At       time.Time       `json:"at"`
	Payload  json.RawMessage `json:"payload"`   // redacted; null where retention removed it
	LeafHash string          `json:"leaf_hash"` // RFC 6962, in hex
	// Damage says what does not fit the hashes of an entry that was changed in the store; absent in
	// all others.
	Damage string `json:"damage,omitempty"`
}

// ExportedEntry is one line of GET /api/audit/export: an entry with what its hash covers, so that it
// can be checked without Pawl. A last line that has only Problem says why the export ends early.
type ExportedEntry struct {
	Entry
	Index    *int64 `json:"index,omitempty"`   // in the sealed log; absent: it is not sealed yet
	Metadata string `json:"metadata"`          // canonical JSON, of which LeafHash is the RFC 6962 leaf hash
	Salt     string `json:"salt,omitempty"`    // of the payload, in hex; see the schema
	Cursor   string `json:"cursor"`            // what comes after this entry
	Problem  string `json:"problem,omitempty"` // of the last line
}

// ExportedCheckpoint is a line of GET /api/audit/export without filters, behind the last entry that the
// checkpoint covers.
type ExportedCheckpoint struct {
	Checkpoint string `json:"checkpoint"` // signed
	Cursor     string `json:"cursor"`     // as of the entry before
}

// Proofs is the answer of GET /api/audit/proof/{id}: proofs that entries about a call are in the log.
type Proofs struct {
	ID       string  `json:"id"` // the call's, or what else the entries are about
	Proofs   []Proof `json:"proofs"`
	Unsealed int     `json:"unsealed"`    // so many entries of this page have none yet
	Next     string  `json:"next_cursor"` // as in Page
}

// Proof proves an entry to whoever has the log's public key.
type Proof struct {
	Index int64  `json:"index"` // the entry's number in the log
	Step  string `json:"step"`
	Kind  string `json:"kind"`
	Proof string `json:"proof"` // a C2SP tlog-proof, with the entry as its extra data: what goes into a file
}

// Tool is one tool of the catalogue.
type Tool struct {
	CatalogueTool
	Served *bool `json:"served"` // a process polls its queue; nil: nobody can tell now
}

// CatalogueTool is what the catalogue keeps of a tool.
type CatalogueTool struct {
	Name         string            `json:"name"`
	Description  string            `json:"description,omitempty"`
	Schema       json.RawMessage   `json:"schema,omitempty"` // JSON Schema 2020-12 of the arguments
	SchemaDigest string            `json:"schema_digest,omitempty"`
	Queue        string            `json:"queue"` // whose workers run it
	Kind         string            `json:"kind"`  // go, http, activity
	Idempotent   bool              `json:"idempotent"`
	Timeout      approval.Duration `json:"timeout"`
	Heartbeat    approval.Duration `json:"heartbeat,omitempty"` // of an activity; 0: none
	Publisher    string            `json:"publisher"`           // the task queue of the worker that published it
}
