package e2e_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth/sign"
	pawlclient "github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"go.temporal.io/api/enums/v1"
)

// Where the attacks of attack_test.go and attack_workflow_test.go take place.

const attackPolicy = `
redact_fields: [secret]
rules:
  - {tool: read, auto_approve: true}
  - {tool: send, risk_level: high}
  - {tool: read_broken, approvals: 2}
  - {tool: hasty, approvals: [{group: finance}]}
`

// besieged is a world that takes signed decisions only, and its people.
type besieged struct {
	*world
	key                     sign.Key // the API's own, which no attacker has; for envelopes that it never made
	agent, rita, ben, admin *pawlclient.Client
}

func newBesieged(t *testing.T, change ...func(*stack.Config)) *besieged {
	t.Helper()
	policy := write(t, t.TempDir(), "policy.yaml", attackPolicy)
	w := newWorld(t, append([]func(*stack.Config){func(c *stack.Config) {
		c.Auth, c.Decisions, c.Policy = stack.AuthTokens, approval.DecisionsSigned, []string{policy}
	}}, change...)...)
	text, err := os.ReadFile(w.AdminTokenFile())
	if err != nil {
		t.Fatal(err)
	}
	b := &besieged{world: w, admin: w.by(strings.TrimSpace(string(text)))}
	b.agent = b.person(rest.TokenSpec{Subject: "agent:billing", Owner: "olga", Roles: []rest.Role{rest.RoleAgent}})
	b.rita = b.person(rest.TokenSpec{Subject: "rita", Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"finance"}})
	b.ben = b.person(rest.TokenSpec{Subject: "ben", Roles: []rest.Role{rest.RoleReviewer}})
	doc, err := os.ReadFile(filepath.Join(w.config.Data, "signing-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(doc)
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if b.key, err = sign.KeyOf(private.(ed25519.PrivateKey)); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *besieged) person(spec rest.TokenSpec) *pawlclient.Client {
	b.t.Helper()
	text, _, err := b.admin.NewToken(b.t.Context(), spec)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.by(text)
}

// asks starts a call that waits for people, and returns it as they see it.
func (b *besieged) asks(tool string) approval.View {
	b.t.Helper()
	v, _, err := b.agent.Start(b.t.Context(), approval.Call{Tool: tool, Args: []byte(`{"to":"x","secret":"hunter2"}`)}, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.until("the call waits", func() bool { return b.status(v.ID) == approval.StatusPending })
	record, err := b.Store.Call(b.t.Context(), v.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return record.View
}

// approves lets a reviewer approve by the API.
func (b *besieged) approves(who *pawlclient.Client, v approval.View) (rest.DecisionAnswer, error) {
	return who.Decide(b.t.Context(), v.ID, pawlclient.Decision{Kind: approval.Approve, Digest: v.Digest})
}

func (b *besieged) mustApprove(who *pawlclient.Client, v approval.View) {
	b.t.Helper()
	if _, err := b.approves(who, v); err != nil {
		b.t.Fatal(err)
	}
}

// sealed is a decision as an API would send it.
func (b *besieged) sealed(k sign.Key, v approval.View, change ...func(d *approval.Decision, callID, digest *string)) approval.DecisionSignal {
	b.t.Helper()
	d := approval.Decision{ID: approval.NewID(), Kind: approval.Approve, Reviewer: "rita", Channel: "api", Groups: []string{"finance"}, Method: "token", Notes: "go", At: time.Now().UTC()}
	callID, digest := v.ID, v.Digest
	for _, f := range change {
		f(&d, &callID, &digest)
	}
	id, err := b.Store.ID(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	d, err = sign.Sign(k, d, id, callID, digest)
	if err != nil {
		b.t.Fatal(err)
	}
	return approval.DecisionSignal{
		DecisionID: d.ID, Reviewer: d.Reviewer, Channel: d.Channel, Notes: d.Notes, Digest: v.Digest,
		Groups: d.Groups, Method: d.Method, Envelope: d.Envelope, NotesSalt: d.NotesSalt,
	}
}

// signalled reads what signals a workflow was sent from its history, as anybody with access to
// Temporal can.
func (b *besieged) signalled(id, name string) []approval.DecisionSignal {
	b.t.Helper()
	var out []approval.DecisionSignal
	events := b.Client.GetWorkflowHistory(b.t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			b.t.Fatal(err)
		}
		if s := e.GetWorkflowExecutionSignaledEventAttributes(); s.GetSignalName() == name && s != nil {
			var d approval.DecisionSignal
			if err := json.Unmarshal(s.Input.Payloads[0].Data, &d); err != nil {
				b.t.Fatal(err)
			}
			out = append(out, d)
		}
	}
	return out
}

// refusals counts the refused decisions that are on record, by outcome.
func (b *besieged) refusals(id string) map[approval.AnswerOutcome]int {
	b.t.Helper()
	out := map[approval.AnswerOutcome]int{}
	q := store.EntryQuery{Subject: id, Kind: audit.KindRefused, Limit: store.MaxPage}
	for {
		page, err := b.Store.Entries(b.t.Context(), q)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range page.Items {
			var body struct {
				Refused []approval.Answer `json:"refused"`
				More    int               `json:"more"`
			}
			if err := json.Unmarshal(e.Payload, &body); err != nil {
				b.t.Fatal(err)
			}
			for _, a := range body.Refused {
				out[a.Outcome]++
			}
			out["more"] += body.More
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return out
		}
	}
}

func (b *besieged) allRuns() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for _, n := range b.ran {
		total += n
	}
	return total
}

// closed waits until no run of the call is open.
func (b *besieged) closed(id string) {
	b.t.Helper()
	b.until("no run is open", func() bool {
		d, err := b.Client.DescribeWorkflowExecution(b.t.Context(), id, "")
		return err == nil && d.WorkflowExecutionInfo.Status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	})
}
