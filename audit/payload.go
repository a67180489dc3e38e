package audit

import (
	"encoding/json"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
)

// Payload is what an entry says besides its subject, step and time. Each kind has one type. Its
// JSON is part of the log: fields may be added, with omitempty so that entries without them keep
// their bytes, and never change otherwise.
type Payload interface{ Kind() Kind }

// Requested: a call was admitted, and waits for people or may run.
type Requested struct {
	Call         approval.View    `json:"call"`
	Verdict      approval.Verdict `json:"verdict"`
	Run          string           `json:"run"` // the Temporal run that wrote the entry, as everywhere
	approval.Via                  // of who asked
}

// Blocked: a call was refused before any person was asked. It has Call and Verdict, or, where the
// idempotency key of another call was used, Digest and Code.
type Blocked struct {
	Call         *approval.View    `json:"call,omitempty"`
	Verdict      *approval.Verdict `json:"verdict,omitempty"`
	Run          string            `json:"run"`
	Digest       string            `json:"digest,omitempty"` // of the call that was not admitted
	Code         string            `json:"code,omitempty"`
	By           string            `json:"by,omitempty"` // who asked, where there is no Call
	approval.Via                   // of who asked
}

// Decided: a reviewer's decision counts.
type Decided struct {
	Decision approval.Decision `json:"decision"`
	Run      string            `json:"run"`
}

// Refused: decisions do not count.
type Refused struct {
	Refused []Refusal `json:"refused"`
	More    int       `json:"more"`          // further ones that are not kept singly
	Run     string    `json:"run,omitempty"` // empty: the API refused it, and no workflow saw it
}

// Refusal is one decision that does not count.
type Refusal struct {
	approval.Answer
	Signal   string `json:"signal"`
	Reviewer string `json:"reviewer,omitempty"`
	Channel  string `json:"channel,omitempty"`
	Method   string `json:"method,omitempty"` // by which the API knew the reviewer
}

// Sent: the API sends a decision to the call's workflow: a rejection, or a signed approval. A claim
// counts the rejections, whether or not the workflow hears of them.
type Sent struct {
	DecisionID string                `json:"decision_id"`
	Decides    approval.DecisionKind `json:"decision,omitempty"` // empty: a rejection
	Reviewer   string                `json:"reviewer"`
	Channel    string                `json:"channel"`
	Method     string                `json:"method,omitempty"` // as in a Refusal
	Digest     string                `json:"digest"`
	At         time.Time             `json:"at"`
}

// Tightened: a call that waits for people takes more than it did, because another policy is active.
type Tightened struct {
	Digest      string               `json:"digest"`
	Requirement approval.Requirement `json:"requirement"` // all that it takes now
	Policy      approval.PolicyRef   `json:"policy"`      // that demands it
	Why         string               `json:"why"`         // what is stricter, for people
	Run         string               `json:"run"`
}

// Claimed: the one permit to run the tool was taken.
type Claimed struct {
	Digest   string                  `json:"digest"`
	Decision *approval.FinalDecision `json:"decision"`
	Run      string                  `json:"run"`
	Queue    string                  `json:"queue,omitempty"` // of the other workers that run the tool
	// Policy is what judged again, where people approved the call. Entries of before do not say.
	Policy *approval.PolicyRef `json:"policy,omitempty"`
}

// Started: the permit was used. From here on the tool may have run.
type Started struct {
	Digest       string `json:"digest"`
	Run          string `json:"run"`
	SchemaDigest string `json:"schema_digest"`   // of the tool's arguments
	Start        string `json:"start,omitempty"` // of the caller that runs the tool: the hash of its start_id
	// Actor is that caller. A worker's tool nobody starts but the run.
	approval.Actor
	// Policy is what judged last, before the permit was used. Nil: the one of the call's admission, which
	// allowed it; or the entry is of before it was kept.
	Policy *approval.PolicyRef `json:"policy,omitempty"`
}

// Reported: a caller said how the tool ended that it ran.
type Reported struct {
	Status       approval.Status     `json:"status"`
	Error        *approval.CallError `json:"error,omitempty"`
	ResultDigest string              `json:"result_digest,omitempty"`
	ResultSize   int64               `json:"result_size,omitempty"`
	Late         bool                `json:"late,omitempty"` // the call had ended otherwise, and stays so
	Run          string              `json:"run,omitempty"`  // empty: the API kept it, and no workflow saw it
	// Actor is who reported, if it is who asked for the call: nobody else may.
	approval.Actor
}

// NotStarted: somebody asked for a tool without a valid permit. The entry's subject is who asked;
// CallID and Tool are what they named.
type NotStarted struct {
	Run          string `json:"run"`
	WorkflowType string `json:"workflow_type"`
	Code         string `json:"code"`
	CallID       string `json:"call_id"`
	Tool         string `json:"tool"`
}

// Ended: the outcome of a call.
type Ended struct {
	Outcome approval.Outcome `json:"outcome"`
	Run     string           `json:"run"`
	// Policy is what forbade the call after its admission: it ended blocked, with CodePolicyChanged.
	Policy *approval.PolicyRef `json:"policy,omitempty"`
}

// Settled: a person says what became of a call whose outcome is unknown.
type Settled struct {
	Settled approval.Settled `json:"settled"`
	Digest  string           `json:"digest"` // of the call
	Channel string           `json:"channel,omitempty"`
	Method  string           `json:"method,omitempty"` // as in a Refusal
}

// Erased: what calls said was erased: the payloads of their entries and, with Rows, their rows but for
// a tombstone.
type Erased struct {
	Calls  []string   `json:"calls"`
	Rows   bool       `json:"rows,omitempty"`
	By     string     `json:"by"`               // a person, or "retention"
	Reason string     `json:"reason,omitempty"` // of a person
	Before *time.Time `json:"before,omitempty"` // by retention: of calls that ended before this time
	approval.Via
}

// Restored: somebody said that the store was restored from a backup.
type Restored struct {
	By string `json:"by"`
	approval.Via
}

// Lost: the store, which was restored from a backup, does not have a call that Temporal has. What Temporal
// says of it is its workflow's word, and all that is on record.
type Lost struct {
	Run    string          `json:"run"`
	Status approval.Status `json:"status"` // how it ended; of one that goes on, how it stood
	Tool   string          `json:"tool,omitempty"`
	Digest string          `json:"digest,omitempty"`
	Code   string          `json:"code,omitempty"` // of its error
}

// PolicyApplied: another version of the policy became the active one.
type PolicyApplied struct {
	Policy rest.PolicyVersion `json:"policy"`
	Layers []PolicyLayer      `json:"layers"`
	Method string             `json:"method,omitempty"` // as in approval.Via
}

// PolicyLayer names one file's hash, so that its text can be checked against the log.
type PolicyLayer struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// TokenCreated: somebody may use the API from now on.
type TokenCreated struct {
	Token rest.Token `json:"token"` // not revoked
	approval.Via
}

// TokenRevoked: a token does not count any more.
type TokenRevoked struct {
	TokenID   string `json:"token_id"`
	RevokedBy string `json:"revoked_by"`
	approval.Via
}

// TokensPruned: tokens that were revoked, or had ended, before a time were deleted. Their entries stay.
type TokensPruned struct {
	Tokens []string  `json:"tokens"`
	Before time.Time `json:"before"`
	By     string    `json:"by"` // "retention"
}

// KeyAdded: decisions that a key signs are believed from now on.
type KeyAdded struct {
	Key rest.SigningKey `json:"key"` // neither retired nor revoked
	approval.Via
}

// KeyRetired: what a key signed until now still counts.
type KeyRetired struct {
	KeyID     string `json:"key_id"`
	RetiredBy string `json:"retired_by"`
	approval.Via
}

// KeyRevoked: nothing that a key ever signed counts.
type KeyRevoked struct {
	KeyID     string `json:"key_id"`
	RevokedBy string `json:"revoked_by"`
	approval.Via
}

// LogRenamed: the log goes on under another name.
type LogRenamed struct {
	Origin    string `json:"origin"`
	Previous  string `json:"previous"`
	Size      int64  `json:"size"` // that was sealed under the previous name
	RenamedBy string `json:"renamed_by"`
	approval.Via
}

// SignInFailed: credentials were refused. It holds nothing of them.
type SignInFailed struct {
	Code    string `json:"code"`               // why
	Subject string `json:"subject,omitempty"`  // whose token it was, which does not work any more
	TokenID string `json:"token_id,omitempty"` // likewise
	approval.Via
	Remote string `json:"remote,omitempty"` // address or network of the sender
	// Count is how many such ones this entry is about, and Since when the first of them came. An API
	// process writes the first one at once, and how many more there were when a minute has passed.
	Count int       `json:"count"`
	Since time.Time `json:"since"`
}

// Forbidden: somebody asked the API for what they have no role for, or said to be somebody else.
type Forbidden struct {
	By      string `json:"by"`
	TokenID string `json:"token_id,omitempty"`
	Route   string `json:"route"` // its pattern
	Code    string `json:"code"`
	approval.Via
	Remote string    `json:"remote,omitempty"` // as in SignInFailed, like the others
	Count  int       `json:"count"`
	Since  time.Time `json:"since"`
}

func (Requested) Kind() Kind     { return KindRequested }
func (Blocked) Kind() Kind       { return KindBlocked }
func (Decided) Kind() Kind       { return KindDecided }
func (Refused) Kind() Kind       { return KindRefused }
func (Sent) Kind() Kind          { return KindSent }
func (Tightened) Kind() Kind     { return KindTightened }
func (Claimed) Kind() Kind       { return KindClaimed }
func (Started) Kind() Kind       { return KindStarted }
func (NotStarted) Kind() Kind    { return KindNotStarted }
func (Reported) Kind() Kind      { return KindReported }
func (Ended) Kind() Kind         { return KindEnded }
func (Settled) Kind() Kind       { return KindSettled }
func (Erased) Kind() Kind        { return KindErased }
func (Restored) Kind() Kind      { return KindRestored }
func (Lost) Kind() Kind          { return KindLost }
func (PolicyApplied) Kind() Kind { return KindPolicyApplied }
func (TokenCreated) Kind() Kind  { return KindTokenCreated }
func (TokenRevoked) Kind() Kind  { return KindTokenRevoked }
func (KeyAdded) Kind() Kind      { return KindKeyAdded }
func (KeyRetired) Kind() Kind    { return KindKeyRetired }
func (KeyRevoked) Kind() Kind    { return KindKeyRevoked }
func (LogRenamed) Kind() Kind    { return KindLogRenamed }
func (TokensPruned) Kind() Kind  { return KindTokensPruned }
func (SignInFailed) Kind() Kind  { return KindSignInFailed }
func (Forbidden) Kind() Kind     { return KindForbidden }

var payloads = map[Kind]func([]byte) (Payload, error){
	KindRequested: read[Requested], KindBlocked: read[Blocked],
	KindDecided: read[Decided], KindRefused: read[Refused], KindSent: read[Sent],
	KindTightened: read[Tightened], KindClaimed: read[Claimed],
	KindStarted: read[Started], KindNotStarted: read[NotStarted],
	KindReported: read[Reported], KindEnded: read[Ended], KindSettled: read[Settled],
	KindErased: read[Erased], KindRestored: read[Restored], KindLost: read[Lost],
	KindPolicyApplied: read[PolicyApplied],
	KindTokenCreated:  read[TokenCreated], KindTokenRevoked: read[TokenRevoked],
	KindKeyAdded: read[KeyAdded], KindKeyRetired: read[KeyRetired], KindKeyRevoked: read[KeyRevoked],
	KindLogRenamed: read[LogRenamed], KindTokensPruned: read[TokensPruned],
	KindSignInFailed: read[SignInFailed], KindForbidden: read[Forbidden],
}

func read[P Payload](doc []byte) (Payload, error) {
	var p P
	err := json.Unmarshal(doc, &p)
	return p, err
}

// ReadPayload reads an entry's payload into the type of its kind. Fields that a later version added
// are left out. The error's code is approval.CodeInvalid: the kind is not known, or the payload
// does not fit it or was removed.
func ReadPayload(kind Kind, doc []byte) (Payload, error) {
	parse, ok := payloads[kind]
	if !ok {
		return nil, approval.Errorf(approval.CodeInvalid, "audit entry: unknown kind %q",
			approval.Display(string(kind), 40))
	}
	p, err := parse(doc)
	if err != nil || string(doc) == "null" {
		return nil, approval.Errorf(approval.CodeInvalid, "audit entry: its payload is none of kind %s", kind)
	}
	return p, nil
}
