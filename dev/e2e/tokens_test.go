package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// by is a client with a token.
func (w *world) by(token string) *client.Client {
	w.t.Helper()
	c, err := client.New(client.Options{URL: w.API, Token: token})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func code(err error) (int, string) {
	var e *client.Error
	if errors.As(err, &e) {
		return e.HTTPStatus, e.Code
	}
	return 0, ""
}

// The whole way with tokens: from the first, which the stack writes down, to a call that somebody
// else than its owner has to approve.
func TestTokens(t *testing.T) {
	w := newWorld(t, func(c *stack.Config) {
		c.Auth = stack.AuthTokens
		c.Policy = []string{write(t, t.TempDir(), "policy.yaml", e2ePolicy+releaseRule)}
	})
	text, err := os.ReadFile(w.AdminTokenFile())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(w.AdminTokenFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	admin := w.by(strings.TrimSpace(string(text)))
	texts := map[string]string{}
	make := func(spec rest.TokenSpec) (*client.Client, rest.Token) {
		t.Helper()
		text, k, err := admin.NewToken(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		texts[spec.Subject] = text
		return w.by(text), k
	}
	agent, agentToken := make(rest.TokenSpec{Subject: "agent:billing", Owner: "ana", Roles: []rest.Role{rest.RoleAgent}, Team: "finance", Agents: []string{"billing"}})
	other, _ := make(rest.TokenSpec{Subject: "agent:hr", Owner: "ben", Roles: []rest.Role{rest.RoleAgent}})
	ana, _ := make(rest.TokenSpec{Subject: "ana", Roles: []rest.Role{rest.RoleReviewer}})
	rita, _ := make(rest.TokenSpec{Subject: "rita", Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"finance"}})

	call := approval.Call{Tool: "send", Args: []byte(`{"to":"x"}`), IdempotencyKey: "k"}
	v, _, err := agent.Start(t.Context(), call, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.until("the call waits", func() bool {
		r, err := w.Store.Call(t.Context(), v.ID)
		return err == nil && r.View.Status == approval.StatusPending
	})
	shown, err := rita.Request(t.Context(), v.ID)
	if err != nil || shown.Requester != "agent:billing" || shown.Owner != "ana" || shown.Team != "finance" || shown.Agent != "billing" {
		t.Fatalf("%+v, %v", shown.View, err)
	}
	if _, err := other.Get(t.Context(), v.ID, 0); approval.CodeOf(err) != approval.CodeNotFound {
		t.Errorf("another agent: %v", err)
	}
	if page, err := other.Requests(t.Context(), client.RequestQuery{Status: "all"}); err != nil || len(page.Items) != 0 {
		t.Errorf("another agent is shown %d calls, %v", len(page.Items), err)
	}
	if page, err := agent.Requests(t.Context(), client.RequestQuery{}); err != nil || len(page.Items) != 1 {
		t.Errorf("the agent is shown %d of its calls, %v", len(page.Items), err)
	}

	d := client.Decision{Kind: approval.Approve, Digest: shown.Digest}
	if _, err := ana.Decide(t.Context(), v.ID, d); approval.CodeOf(err) != "forbidden" {
		t.Errorf("the owner by the API: %v", err)
	}
	// Past the API, to the workflow itself.
	if err := w.Client.SignalWorkflow(t.Context(), v.ID, "", approval.SignalApprove, approval.DecisionSignal{DecisionID: "raw", Reviewer: "Ana"}); err != nil {
		t.Fatal(err)
	}
	w.until("the workflow refuses", func() bool {
		page, err := w.Store.Entries(t.Context(), store.EntryQuery{Subject: v.ID, Kind: audit.KindRefused})
		return err == nil && len(page.Items) == 2
	})
	if _, err := rita.Decide(t.Context(), v.ID, d); err != nil {
		t.Fatal(err)
	}
	end, err := agent.Wait(t.Context(), v.ID)
	if err != nil || end.Status != approval.StatusExecuted || w.runs(v.ID) != 1 {
		t.Fatalf("%s, %d runs, %v", end.Status, w.runs(v.ID), err)
	}
	r, err := w.Store.Call(t.Context(), v.ID)
	if err != nil || len(r.View.Votes) != 1 || r.View.Votes[0].Reviewer != "rita" || r.View.Votes[0].Method != "token" || r.View.Votes[0].Groups[0] != "finance" || !r.View.Votes[0].Authenticated {
		t.Errorf("on record are %+v, %v", r.View.Votes, err)
	}

	ops, _ := make(rest.TokenSpec{Subject: "olaf", Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"ops"}})
	both, _ := make(rest.TokenSpec{Subject: "bea", Roles: []rest.Role{rest.RoleReviewer}, Groups: []string{"finance", "ops"}})
	callersWithTokens(t, w, texts["agent:billing"], texts["agent:hr"], rita, ops, both)

	if _, err := admin.RevokeToken(t.Context(), agentToken.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.Get(t.Context(), v.ID, 0); err == nil {
		t.Error("a revoked token works")
	} else if status, c := code(err); status != http.StatusUnauthorized || c != rest.CodeTokenRevoked {
		t.Errorf("a revoked token: %v", err)
	}

	// At the next start the token that is written down works on.
	w.stop()
	w.start()
	again, err := os.ReadFile(filepath.Join(w.config.Data, "admin.token"))
	if err != nil || string(again) != string(text) {
		t.Errorf("the administrator's token changed: %v", err)
	}
	me, err := w.by(strings.TrimSpace(string(text))).Whoami(t.Context())
	if err != nil || !slices.Contains(me.Roles, rest.RoleAdmin) {
		t.Errorf("%+v, %v", me, err)
	}
	w.stop()
	if err := os.WriteFile(filepath.Join(w.config.Data, "admin.token"), []byte("pawl_lost\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()
	fresh, err := os.ReadFile(w.AdminTokenFile())
	if err != nil || string(fresh) == string(text) {
		t.Errorf("a token that does not work was kept: %v", err)
	}
	if me, err := w.by(strings.TrimSpace(string(fresh))).Whoami(t.Context()); err != nil || !slices.Contains(me.Roles, rest.RoleAdmin) {
		t.Errorf("%+v, %v", me, err)
	}
}
