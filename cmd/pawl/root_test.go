package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
)

func everyCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, sub := range cmd.Commands() {
		everyCommand(sub, visit)
	}
}

func testRoot() *cobra.Command {
	return cli.NewRoot(cli.Env{Getenv: func(string) string { return "" }}, groups...)
}

func TestEveryCommandIsDocumented(t *testing.T) {
	names := map[string]bool{}
	everyCommand(testRoot(), func(cmd *cobra.Command) {
		names[cmd.CommandPath()] = true
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s lacks a short text or an example", cmd.CommandPath())
		}
		if cmd.RunE == nil || cmd.Args == nil {
			t.Errorf("%s does not check its arguments", cmd.CommandPath())
		}
	})
	for _, want := range []string{"call", "continue", "cancel", "pending", "show", "approve", "reject", "review", "audit list", "tools", "tools forget", "policy apply", "policy show", "policy history", "version"} {
		if !names["pawl "+want] {
			t.Errorf("no command %q", want)
		}
	}
}

// TestExamplesParse takes every line of every example apart as a shell would and checks command,
// flags and arguments.
func TestExamplesParse(t *testing.T) {
	checked := 0
	everyCommand(testRoot(), func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			for _, part := range strings.Split(line, " | ") {
				words := shellWords(t, strings.TrimSpace(part))
				if words[0] != "pawl" {
					continue
				}
				checked++
				target, rest, err := testRoot().Find(words[1:])
				if err == nil {
					err = target.ParseFlags(rest)
				}
				if err == nil {
					err = target.ValidateArgs(target.Flags().Args())
				}
				if err != nil || (cmd.HasParent() && !strings.HasPrefix(target.CommandPath()+" ", cmd.CommandPath()+" ")) {
					t.Errorf("example of %s: %s: runs %s, %v", cmd.CommandPath(), strings.TrimSpace(line), target.CommandPath(), err)
				}
			}
		}
	})
	if checked < 20 {
		t.Errorf("only %d examples found", checked)
	}
}

func TestUsageErrors(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
	for _, tt := range []struct{ line, want string }{
		{"pendin", `did you mean pending?`},
		{"aprove pawl-1", `did you mean approve?`},
		{"help nonsense", `unknown command "nonsense"`},
		{"help token nonsense", `unknown command "nonsense" for "pawl token"`},
		{"token new rita --role agent,reviewer", "repeat it"},
		{"nonsense", `unknown command "nonsense"`},
		{"audit lits", `did you mean list?`},
		{"pending --bogus", "unknown flag: --bogus"},
		{"pending extra", "takes flags only"},
		{"audit verify --api http://127.0.0.1:1", "no API is asked"},
		{"pending -o yaml", "use table or json"},
		{"pending --status done", "unknown status"},
		{"pending --risk huge", "use one of low, medium, high, critical"},
		{"pending --limit -1", "give a whole number, 0 for all"},
		{"pending --limit many", `"many" for "--limit" flag: give a whole number`},
		{"pending --all --status pending", "exclude each other"},
		{"pending --watch -o json", "no JSON form"},
		{"review --as ana -o json", "no JSON form"},
		{"show", "ID is missing"},
		{"show ", "ID is empty: which call? 'pawl pending' lists"},
		{"cancel ", "ID is empty"},
		{"continue ", "ID is empty"},
		{"approve  --as ana", "one ID is empty"},
		{"call t --args @", "name a file after the @"},
		{"show a b", "takes one ID"},
		{"cancel", "ID is missing"},
		{"approve --as ana", "which calls?"},
		{"approve pawl-k3vq2m7", "who are you?"},
		{"reject pawl-k3vq2m7", "--as NAME or PAWL_AS"},
		{"review", "who are you?"},
		{"continue", "either the call's ID or its --key"},
		{"continue a --key b", "either the call's ID or its --key"},
		{"continue --key=", "--key is empty"},
		{"call", "TOOL is missing"},
		{"call a b", "takes one TOOL"},
		{"call bad$tool", "not a tool name"},
		{"call t --args {", "--args: the JSON ends too early"},
		{"call t --args=", "--args: the JSON ends too early"},
		{"call t --args [1]", "must be a JSON object"},
		{`call t --args {"a":1,"a":2}`, "is given twice"},
		{`call t --args {"a":9007199254740993}`, "beyond 2^53"},
		{"call t --label env", "name=value"},
		{"call t --label a=1 --label a=2", "given twice"},
		{"call t --wait soon", "not a length of time"},
		{"call t --timeout 99999h", "timeout"},
		{"call t --timeout 0", "nobody can answer in no time"},
		{"call t --timeout 0s", "nobody can answer in no time"},
		{"call t --timeout -1m", "not a length of time"},
		{"call t --key=", "--key is empty"},
		{"audit list pawl-1", "takes flags only, no arguments; name a call with --request ID"},
		{"audit erase pawl-1", "takes flags only, no arguments; name a call with --call ID"},
		{"audit list --status done", `--status: unknown status "done"`},
		{"audit list --kind bogus", `--kind: unknown`},
		{"audit export --risk huge", "--risk: "},
		{"audit list --limit -1", "give a whole number"},
		{"pending --api localhost:1", "must look like"},
		{"pending --api http://a:hunter2@b", "credentials as a token"},
		{"pending --token hunt\ner2", "the token holds"},
	} {
		t.Run(tt.line, func(t *testing.T) {
			r := clitest.CommandLine{API: api.URL}.Run(t, strings.Split(tt.line, " ")...)
			r.Want(t, cli.ExitUsage, nil, []string{tt.want, "--help'"})
			if r.Out != "" || strings.Contains(r.Err, "hunter2") {
				t.Errorf("stdout %q, stderr %q", r.Out, r.Err)
			}
		})
	}
	if sent := api.Requests(http.MethodPost); len(sent) > 0 {
		t.Errorf("a wrong command line was sent: %q", sent)
	}
}

func TestGlobalFlagsOverEnvironment(t *testing.T) {
	api := clitest.NewAPI(t)
	var header http.Header
	api.On("GET /api/tools", func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		clitest.Reply(200, `{"items":[],"total":0}`)(w, r)
	})
	env := map[string]string{"PAWL_API": "http://127.0.0.1:1", "PAWL_TOKEN": "env-token", "PAWL_AS": "env-name"}
	clitest.CommandLine{Env: env}.Run(t, "tools", "--api", api.URL, "--token", "flag-token", "--as", "flag-name").
		Want(t, cli.ExitDone, nil, []string{"other users of this machine can see --token"})
	if header.Get("Authorization") != "Bearer flag-token" || header.Get("X-Pawl-Reviewer") != "flag-name" {
		t.Errorf("sent %v", header)
	}
	env["PAWL_API"] = api.URL
	r := clitest.CommandLine{Env: env}.Run(t, "tools")
	r.Want(t, cli.ExitDone, nil, nil)
	if header.Get("Authorization") != "Bearer env-token" || header.Get("X-Pawl-Reviewer") != "env-name" {
		t.Errorf("sent %v", header)
	}
	if strings.Contains(r.Err, "warning") {
		t.Errorf("a warning without need: %s", r.Err)
	}
	r = clitest.CommandLine{Env: env}.Run(t, "pending", "--help")
	r.Want(t, cli.ExitDone, []string{"Examples:"}, nil)
	if strings.Contains(r.Out, "env-token") {
		t.Error("help shows the token")
	}
}

func TestTokenOverPlainHTTP(t *testing.T) {
	env := map[string]string{"PAWL_TOKEN": "t"}
	r := clitest.CommandLine{Env: env}.Run(t, "tools", "--api", "http://pawl.invalid")
	r.Want(t, cli.ExitError, nil, []string{"unencrypted", "nothing answers at http://pawl.invalid"})
}

func TestNothingAnswers(t *testing.T) {
	api := clitest.NewAPI(t)
	api.Close()
	for _, line := range []string{"pending", "show x", "call t", "continue --key a", "cancel x", "approve x --as ana", "review --as ana", "tools", "audit list"} {
		r := clitest.CommandLine{API: api.URL}.Run(t, strings.Split(line, " ")...)
		r.Want(t, cli.ExitError, nil, []string{"nothing answers at " + api.URL, "'pawl-dev'", "--api"})
		if r.Out != "" {
			t.Errorf("%s: stdout %q", line, r.Out)
		}
	}
}

func TestNoTLSThatCanBeTrusted(t *testing.T) {
	secret := httptest.NewUnstartedServer(http.NotFoundHandler())
	secret.Config.ErrorLog = log.New(io.Discard, "", 0)
	secret.StartTLS()
	defer secret.Close()
	for url, want := range map[string]string{
		secret.URL: "SSL_CERT_FILE", strings.Replace(secret.URL, "https", "http", 1): "https://",
		strings.Replace(clitest.NewAPI(t).URL, "http", "https", 1): "does not speak TLS",
	} {
		r := clitest.CommandLine{API: url}.Run(t, "pending")
		if r.Want(t, cli.ExitError, nil, []string{want}); strings.Contains(r.Err, "pawl-dev") {
			t.Errorf("%s: %s", url, r.Err)
		}
	}
}

func TestProblemsOfTheAPI(t *testing.T) {
	api := clitest.NewAPI(t)
	for _, tt := range []struct {
		status int
		body   string
		want   string
	}{
		{401, `{"detail":"who are you?","code":"unauthenticated"}`, "PAWL_TOKEN"},
		{403, `{"detail":"not \u001b[31myours","code":"forbidden"}`, `not \u{001B}[31myours`},
		{500, `{"title":"Internal error","code":"internal"}`, "Internal error"},
	} {
		api.On("GET /api/tools", clitest.Reply(tt.status, tt.body))
		clitest.CommandLine{API: api.URL}.Run(t, "tools").Want(t, cli.ExitError, nil, []string{tt.want})
	}
}

// An error says once who speaks, and only then if it did already.
func TestErrorsSayOnceWhoSpeaks(t *testing.T) {
	api := clitest.NewAPI(t)
	for detail, want := range map[string]string{
		"pawl: the agent is closed": "pawl: the agent is closed\n",
		"the agent is closed":       "pawl: the agent is closed\n",
		"pawl setup is missing":     "pawl: pawl setup is missing\n",
		"api: pawl: no":             "pawl: api: pawl: no\n",
	} {
		api.On("GET /api/tools", clitest.Reply(500, `{"detail":"`+detail+`","code":"internal"}`))
		if r := (clitest.CommandLine{API: api.URL}).Run(t, "tools"); r.Code != cli.ExitError || r.Err != want {
			t.Errorf("%s: %d, %q", detail, r.Code, r.Err)
		}
	}
}

func TestGroupsShowHelp(t *testing.T) {
	clitest.CommandLine{}.Run(t).Want(t, cli.ExitDone, []string{"approve", "review", "Exit codes"}, nil)
	clitest.CommandLine{}.Run(t, "audit").Want(t, cli.ExitDone, []string{"list"}, nil)
}

func TestVersion(t *testing.T) {
	clitest.CommandLine{}.Run(t, "version").Want(t, cli.ExitDone, []string{"pawl "}, nil)
	clitest.CommandLine{}.Run(t, "version", "-o", "json").Want(t, cli.ExitDone, []string{`"version":`}, nil)
	clitest.CommandLine{}.Run(t, "--version").Want(t, cli.ExitDone, []string{"pawl "}, nil)
}
