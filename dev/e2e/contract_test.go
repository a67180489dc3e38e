package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/dev/pythontest"
	"github.com/pawlhq/pawl/dev/stack"
	"github.com/pawlhq/pawl/rest"
)

// contractPatience bounds one run of schemathesis, which usually takes half a minute.
const contractPatience = 4 * time.Minute

// TestContract lets schemathesis make requests out of /openapi.yaml, good ones and bad ones: no
// answer may be a 5xx, and each must be one that the document describes.
func TestContract(t *testing.T) {
	python := pythontest.Install(t)
	// IDs are made up here, so no request finds a call.
	t.Run("nobody is authenticated", func(t *testing.T) {
		w := contractWorld(t, func(c *stack.Config) {})
		w.schemathesis(python, "", rest.HeaderReviewer+": ana")
	})
	// Most IDs here are those of calls, decisions and tokens that exist.
	t.Run("tokens", func(t *testing.T) {
		w := contractWorld(t, func(c *stack.Config) {
			c.Auth, c.Encrypt, c.NoUI, c.UIListen = stack.AuthTokens, true, false, "127.0.0.1:0"
		})
		config, token := w.existing()
		w.schemathesis(python, config, "Authorization: Bearer "+token, "ignored_auth", "unsupported_method", "allow_header_conformance")
	})
}

// contractWorld has the tools of the document's examples. Requests of schemathesis wait as long as the
// server lets them.
func contractWorld(t *testing.T, change func(*stack.Config)) *world {
	w := newWorld(t, func(c *stack.Config) {
		c.SampleTools = true
		change(c)
	})
	w.stop()
	w.maxWait = 100 * time.Millisecond
	w.start()
	return w
}

// existing makes calls, a decision and tokens, and returns a configuration of schemathesis that
// names them, and the token of somebody with every role.
func (w *world) existing() (config, token string) {
	w.t.Helper()
	ctx := w.t.Context()
	text, err := os.ReadFile(w.AdminTokenFile())
	if err != nil {
		w.t.Fatal(err)
	}
	admin := w.by(strings.TrimSpace(string(text)))
	make := func(spec rest.TokenSpec) (string, string) {
		w.t.Helper()
		text, made, err := admin.NewToken(ctx, spec)
		if err != nil {
			w.t.Fatal(err)
		}
		return text, made.ID
	}
	agent, _ := make(rest.TokenSpec{Subject: "agent:crew", Owner: "ben", Roles: []rest.Role{rest.RoleAgent}})
	token, _ = make(rest.TokenSpec{Subject: "ana", Kind: "person", Roles: rest.Roles})
	pending := func(by string) string {
		w.t.Helper()
		v, _, err := w.by(by).Start(ctx, approval.Call{Tool: "send", Args: []byte(`{"to":"x"}`)}, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		w.until("the call is pending", func() bool { return w.status(v.ID) == approval.StatusPending })
		return v.ID
	}

	// A call can be decided or withdrawn once, so there are some.
	var own, others, spare []string
	for i := range 12 {
		own, others = append(own, pending(token)), append(others, pending(agent))
		_, id := make(rest.TokenSpec{Subject: fmt.Sprint("agent:", i), Owner: "ana", Roles: []rest.Role{rest.RoleAgent}})
		spare = append(spare, id)
	}
	if _, err := w.by(token).Decide(ctx, others[0], client.Decision{Kind: approval.Reject, ID: "d-1"}); err != nil {
		w.t.Fatal(err)
	}

	var b strings.Builder
	for _, of := range []struct {
		parameter string
		values    []string
		paths     []string
	}{
		{"id", own, []string{"/api/calls/{id}", "/api/calls/{id}/cancel"}},
		{"id", others, []string{"/api/requests/{id}", "/api/requests/{id}/approve", "/api/requests/{id}/reject"}},
		{"id", others[:1], []string{"/api/requests/{id}/decisions/{decision_id}"}},
		{"decision_id", []string{"d-1"}, []string{"/api/requests/{id}/decisions/{decision_id}"}},
		{"id", spare, []string{"/api/tokens/{id}/revoke"}},
	} {
		name := fmt.Sprint("values-", b.Len())
		values, err := json.Marshal(of.values)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&b, "[dictionaries.%s]\nvalues = %s\n", name, values)
		for _, path := range of.paths {
			fmt.Fprintf(&b, "[[operations]]\ninclude-path = %q\nparameters = {%q = {dictionary = %q, probability = 0.8}}\n",
				path, "path."+of.parameter, name)
		}
	}
	return b.String(), token
}

// patient has schemathesis wait where it is told to: each of its probes without a valid credential counts as
// a try to guess one, and from one address only so many are answered at once.
const patient = `
import time
import requests

send = requests.Session.send


def wait_if_told(session, request, **options):
    while True:
        answer = send(session, request, **options)
        if answer.status_code != 429 or answer.json().get("code") != "too_many_failures":
            return answer
        time.sleep(int(answer.headers["Retry-After"]))


requests.Session.send = wait_if_told
`

// schemathesis runs it against the world's API. Its seed is fixed; what it finds, it prints with a
// command line that repeats the request.
func (w *world) schemathesis(python, config, header string, checks ...string) {
	w.t.Helper()
	checks = slices.Concat([]string{
		"not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
		"response_headers_conformance",
	}, checks)
	ctx, cancel := context.WithTimeout(w.t.Context(), contractPatience)
	defer cancel()
	dir := w.t.TempDir()
	write(w.t, dir, "patient.py", patient)
	cmd := exec.CommandContext(ctx, python, "-m", "schemathesis.cli",
		"--config-file", write(w.t, dir, "schemathesis.toml", config), "run", w.API+"/openapi.yaml",
		"--exclude-path", "/api/events", // it does not end
		"--header", header, "--phases", "examples,coverage,fuzzing", "--checks", strings.Join(checks, ","),
		"--max-examples", "20", "--seed", "1", "--workers", "2", "--no-color", "--warnings", "off", "--continue-on-failure")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SCHEMATHESIS_HOOKS=patient.py", "PYTHONPATH="+dir)
	cmd.WaitDelay = 10 * time.Second // for what it started itself
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Errorf("schemathesis: %v\n%s", err, out)
	}
}
