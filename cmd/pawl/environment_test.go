package main

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

func TestVariablesThatNobodyReads(t *testing.T) {
	const key = "PAWL_TEST_DATABASE_URL"
	for name, want := range map[string]string{
		"PAWL_DECISION":     "PAWL_DECISION is not one of Pawl's variables; did you mean PAWL_DECISIONS?",
		"PAWL_AUHT":         "did you mean PAWL_AUTH?",
		"PAWL_TOKENFILE":    "did you mean PAWL_TOKEN_FILE?",
		"PAWL_auth":         "did you mean PAWL_AUTH?",
		"PAWL_OUTPUT":       "PAWL_OUTPUT is not one of Pawl's variables",
		"PAWL_DB":           "PAWL_DB is not one of Pawl's variables\n",
		"PAWL_":             "PAWL_ is not one of Pawl's variables",
		"PAWL_A\x1b[2J":     `PAWL_A\u{001B}[2J is not one of Pawl's variables`,
		"PAWL_SERVICE_NAME": "PAWL_SERVICE_NAME is not one of Pawl's variables",

		"PAWL_DECISIONS": "", "PAWL_AUTH": "", "PAWL_API": "", "PAWL_AS": "", "PAWL_TOKEN": "", "PAWL_CONFIG": "", "PAWL_PAYLOAD_KEYS": "",
		"PAWL_STOP_TIMEOUT": "", "PAWL_SIGNING_KEY": "", "PAWL_LOG_LEVEL": "", "PAWLS_OWN": "", "MY_PAWL_AUHT": "",
		"PAWL_AGENT": "", "PAWL_DIR": "", // the Python client's
		key: "", "PAWL_SERVICE_HOST": "", "PAWL_PORT": "", "PAWL_PORT_7295_TCP_ADDR": "", "PAWL_API_SERVICE_PORT_HTTP": "", "PAWL_API_PORT_7295_TCP": "",
	} {
		env := map[string]string{name: "hunter2"}
		a := &cli.App{Env: cli.Env{Environ: func() []string { return []string{"HOME=/", name + "=hunter2", "PAWL_EMPTY= ", "odd"} }}}
		got := strings.Join(a.UnknownVariables(), "\n") + "\n"
		if (want == "") != (got == "\n") || !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if want == "" {
			continue
		}
		want = strings.TrimSpace(want)
		for _, line := range []string{"worker", "api", "setup"} {
			r := clitest.CommandLine{Env: env}.Run(t, line, "--database-url", "sqlite://x", "--start-timeout", "0s")
			if r.Code != cli.ExitUsage || !strings.Contains(r.Err, want) || strings.Contains(r.Err, "hunter2") {
				t.Errorf("pawl %s with %s: %d %s", line, name, r.Code, r.Err)
			}
		}
		clitest.CommandLine{Env: env}.Run(t, "version").Want(t, cli.ExitDone, nil, []string{"warning: PAWL_", want})
	}
}

func TestDoctorLooksAtTheEnvironment(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	r := clitest.CommandLine{Env: map[string]string{"PAWL_AUHT": "tokens"}}.Run(t, "doctor", "--timeout", "300ms")
	r.Want(t, cli.ExitError, []string{"failed         environment         PAWL_AUHT is not one of Pawl's variables; did you mean PAWL_AUTH?", "→ unset them, or correct"}, nil)
	clitest.CommandLine{}.Run(t, "doctor", "--timeout", "300ms").Want(t, cli.ExitError, []string{"ok             environment"}, nil)
}
