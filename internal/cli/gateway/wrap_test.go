package gateway_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/hook"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/internal/wrapped"
)

const desktop = `{
  "globalShortcut": "", // mine
  "mcpServers": {
    /* the files */
    "files": {
      "command": "npx", // of Node
      "args": ["-y", "@modelcontextprotocol/server-filesystem", "/home/ana"], // all
      "env": {"A": "1"},
    },
    "bare one": {"command": "C:\\tools\\server.exe"},
    "old": {"type": "sse", "url": "https://a.example/sse"},
    "tracker": {
      "type": "http", // streamable
      "url": "https://b.example/mcp?x=1",
      "headers": {"X-Team": "a", "Authorization": "Bearer secret"} // keep
    },
  }, // end
}
`

type entry struct {
	Type, Command string
	Args          []string
	Env           map[string]string
	URL           string
}

func servers(t *testing.T, file, key string) map[string]entry {
	t.Helper()
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(wrapped.Plain(doc), &all); err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	out := map[string]entry{}
	if err := json.Unmarshal(all[key], &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// settings writes a client's settings, and has a record of its own.
func settings(t *testing.T, name, text string) (file string, record func() wrapped.Record) {
	t.Helper()
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	t.Setenv("HOME", config)
	file = filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, func() wrapped.Record {
		dir, err := os.UserConfigDir()
		if err != nil {
			t.Fatal(err)
		}
		r, err := wrapped.Read(wrapped.File(dir))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func TestWrapAndUndo(t *testing.T) {
	file, record := settings(t, "claude_desktop_config.json", desktop)
	cmd := clitest.CommandLine{}
	cmd.Run(t, "mcp", "wrap", file).Want(t, 0,
		[]string{"files now goes through Pawl: its tools are files.TOOL", "its tools are bare_one.TOOL", "tracker now"},
		[]string{"old: the gateway speaks Streamable HTTP only"})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	got := servers(t, file, "mcpServers")
	for name, want := range map[string]string{
		"files":    "mcp --server files --agent claude-desktop --api http://127.0.0.1:7295 -- npx -y @modelcontextprotocol/server-filesystem /home/ana",
		"bare one": `mcp --server bare_one --agent claude-desktop --api http://127.0.0.1:7295 -- C:\tools\server.exe`,
		"tracker": "mcp --server tracker --agent claude-desktop --api http://127.0.0.1:7295 " +
			"--url https://b.example/mcp?x=1 --header-env Authorization=MCP_HEADER_1 --header-env X-Team=MCP_HEADER_2",
	} {
		if e := got[name]; e.Command != self || strings.Join(e.Args, " ") != want || e.URL != "" || e.Type == "http" {
			t.Errorf("%s became %+v", name, e)
		}
	}
	if env := got["tracker"].Env; env["MCP_HEADER_1"] != "Bearer secret" || got["files"].Env["A"] != "1" {
		t.Errorf("environment: %v", env)
	}
	text, _ := os.ReadFile(file)
	for _, comment := range []string{"// mine", "/* the files */", "// of Node", "// all", "// streamable", "// keep", "// end"} {
		if !strings.Contains(string(text), comment) {
			t.Errorf("the comment %s is gone:\n%s", comment, text)
		}
	}
	if n := len(record().Servers); n != 3 {
		t.Errorf("%d servers are on record", n)
	}

	cmd.Run(t, "mcp", "wrap", file).Want(t, 0, []string{"nothing to change"}, []string{"goes through Pawl already"})
	if again, _ := os.ReadFile(file); string(again) != string(text) {
		t.Error("done twice, it changed something")
	}
	cmd.Run(t, "mcp", "wrap", "--undo", file).Want(t, 0, []string{"files is as it was before"}, nil)
	if back, _ := os.ReadFile(file); string(back) != desktop {
		t.Errorf("undone, it is\n%s", back)
	}
	if n := len(record().Servers); n != 0 {
		t.Errorf("%d servers are on record", n)
	}
}

// How long calls wait for people is the client's patience, which whoever wraps its servers may know.
func TestWrapSaysHowLongToWait(t *testing.T) {
	file, _ := settings(t, ".cursor/mcp.json", `{"mcpServers":{"a":{"command":"x"}}}`)
	cmd := clitest.CommandLine{}
	cmd.Run(t, "mcp", "wrap", file, "--wait", "3m").Want(t, 0, []string{"a now"}, nil)
	if text, _ := os.ReadFile(file); !strings.Contains(string(text), `"--wait","3m`) {
		t.Errorf("wrote %s", text)
	}
	cmd.Run(t, "mcp", "wrap", file, "--wait", "0s").Want(t, 2, nil, []string{"--wait"})
}

// The hook of a coding agent and the gateway call a server alike, so that one rule is about both.
func TestWrapNamesServersAsTheHookDoes(t *testing.T) {
	for name, want := range map[string]string{
		"github": "github", "my.files": "my_files", "bare one": "bare_one", "a/b:c": "a_b_c", "éa": "_a",
	} {
		file, _ := settings(t, ".mcp.json", `{"mcpServers":{`+strconv.Quote(name)+`:{"command":"x"}}}`)
		clitest.CommandLine{}.Run(t, "mcp", "wrap", file).Want(t, 0, []string{"tools are " + want + ".TOOL"}, nil)
		if got := hook.ToolName("mcp__" + wrapped.ToolName(name) + "__read"); got != want+".read" {
			t.Errorf("the hook calls it %s", got)
		}
	}
}

func TestWrapKnowsWhereClientsKeepServers(t *testing.T) {
	for name, c := range map[string]struct{ file, text, agent string }{
		"Claude Code, project": {".mcp.json", `{"mcpServers":{"a":{"command":"x","args":[]}}}`, "claude-code"},
		"Claude Code, user":    {".claude.json", `{"projects":{"/p":{"mcpServers":{"a":{"command":"x"}}}}}`, "claude-code"},
		"Cursor":               {".cursor/mcp.json", `{"mcpServers":{"a":{"command":"x"}}}`, "cursor"},
		"VS Code, folder":      {".vscode/mcp.json", `{"inputs":[],"servers":{"a":{"type":"stdio","command":"x"}}}`, "vscode"},
		"VS Code, settings":    {"Code/User/settings.json", `{"mcp":{"servers":{"a":{"command":"x"}}}}`, "vscode"},
	} {
		t.Run(name, func(t *testing.T) {
			file, record := settings(t, c.file, c.text)
			cmd := clitest.CommandLine{}
			cmd.Run(t, "mcp", "wrap", file).Want(t, 0, []string{"a now goes through Pawl"}, nil)
			text, _ := os.ReadFile(file)
			if !strings.Contains(string(text), `"--agent","`+c.agent+`"`) {
				t.Errorf("wrote %s", text)
			}
			if c.file == ".mcp.json" && !record().Covers("a", wrapped.ClaudeAt(t.TempDir(), "", filepath.Dir(file))) {
				t.Error("a hook would ask again")
			}
			cmd.Run(t, "mcp", "wrap", "--undo", file).Want(t, 0, []string{"a is as it was"}, nil)
			if back, _ := os.ReadFile(file); string(back) != c.text {
				t.Errorf("undone, it is %s", back)
			}
		})
	}
}

// A client starts its servers without the variables of the shell in which they were wrapped, and with
// others: these send no gateway elsewhere.
func TestWrapNamesTheAPI(t *testing.T) {
	for set, want := range map[string]string{"https://pawl.example": "https://pawl.example", "": client.DefaultURL} {
		file, _ := settings(t, ".mcp.json", `{"mcpServers":{"a":{"command":"x"}}}`)
		cmd := clitest.CommandLine{Env: map[string]string{"PAWL_API": set}}
		cmd.Run(t, "mcp", "wrap", file).Want(t, 0, []string{"a now goes"}, nil)
		if got := strings.Join(servers(t, file, "mcpServers")["a"].Args, " "); !strings.Contains(got, " --api "+want+" ") {
			t.Errorf("with PAWL_API=%q it wrote %q", set, got)
		}
	}
}

func TestWrapGuardsWhatItIsGiven(t *testing.T) {
	file, record := settings(t, ".mcp.json", `{"mcpServers":{"a":{"command":"x"},"b":{"command":"y"}}}`)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := clitest.CommandLine{}
	cmd.Run(t, "mcp", "wrap", file, "--token", "secret").Want(t, 2, nil, []string{"--token-file"})
	cmd.Run(t, "mcp", "wrap", file, "--only", "c").Want(t, 1, nil, []string{"no server c"})
	cmd.Run(t, "mcp", "wrap", file, "--only", "a", "--token-file", token, "--api", "https://pawl.example").Want(t, 0,
		[]string{"a now goes"}, nil)
	got := servers(t, file, "mcpServers")
	want := "mcp --server a --api https://pawl.example --token-file " + token + " -- x"
	if strings.Join(got["a"].Args, " ") != want || got["b"].Command != "y" {
		t.Errorf("wrote %+v", got)
	}
	// Changed by hand, it is not overwritten.
	text, _ := os.ReadFile(file)
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), `"x"`, `"z"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Run(t, "mcp", "wrap", "--undo", file).Want(t, 0, []string{"nothing to change"}, []string{"was changed since", `"command":"x"`})
	if len(record().Servers) != 1 {
		t.Error("the record is gone")
	}
	for text, problem := range map[string]string{
		"{\n\"a\": x\n}": "line 2: it is not JSON", "": "line 1: it is not JSON", "[]": "settings must be a JSON object",
		`{"x":1}`: "no MCP servers", `{"mcpServers":[]}`: "must be a JSON object",
		`{"mcpServers":{"a":{"command":"x","command":"y"}}}`: "given twice",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd.Run(t, "mcp", "wrap", file).Want(t, 1, nil, []string{problem})
	}
}

// A token of the shell's goes into no settings, and servers without one would run no tool.
func TestWrapNamesTheTokensFile(t *testing.T) {
	const text = `{"mcpServers":{"a":{"command":"x"}}}`
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("pawl_secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env   map[string]string
		flags []string
		code  int
		says  string
		wrote string // the token's file in the settings
	}{
		"token":               {map[string]string{"PAWL_TOKEN": "pawl_secret"}, nil, 2, "--token-file agent.token", ""},
		"token and file":      {map[string]string{"PAWL_TOKEN": "pawl_secret", "PAWL_TOKEN_FILE": token}, nil, 2, "PAWL_TOKEN", ""},
		"token, file by flag": {map[string]string{"PAWL_TOKEN": "pawl_secret"}, []string{"--token-file", token}, 0, "", token},
		"file":                {map[string]string{"PAWL_TOKEN_FILE": token}, nil, 0, "", token},
		"no such file":        {map[string]string{"PAWL_TOKEN_FILE": token + "s"}, nil, 1, "the token's file", ""},
		"none":                {nil, nil, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file, record := settings(t, ".mcp.json", text)
			cmd := clitest.CommandLine{Env: c.env}
			got := cmd.Run(t, append([]string{"mcp", "wrap", file}, c.flags...)...)
			if got.Want(t, c.code, nil, []string{c.says}); strings.Contains(got.Err, "pawl_secret") {
				t.Errorf("it says the token: %s", got.Err)
			}
			after, _ := os.ReadFile(file)
			if c.code != 0 {
				if string(after) != text || len(record().Servers) != 0 {
					t.Errorf("it changed %s and %v", after, record())
				}
				return
			}
			if wrote := strings.Contains(string(after), `"--token-file",`+quoted(c.wrote)); wrote != (c.wrote != "") {
				t.Errorf("wrote %s", after)
			}
			cmd.Env = map[string]string{"PAWL_TOKEN": "another"} // is of no use to put things back
			cmd.Run(t, "mcp", "wrap", "--undo", file).Want(t, 0, []string{"a is as it was"}, nil)
		})
	}
}

func quoted(text string) string {
	doc, _ := json.Marshal(text)
	return string(doc)
}

// What an editor on Windows writes is read, and stays as it was.
func TestWrapKeepsTheEncoding(t *testing.T) {
	const mark, plain = "\xef\xbb\xbf", `{"mcpServers":{"a":{"command":"x"}}}`
	file, record := settings(t, ".mcp.json", mark+plain)
	cmd := clitest.CommandLine{}
	cmd.Run(t, "mcp", "wrap", file).Want(t, 0, []string{"a now goes"}, nil)
	after, _ := os.ReadFile(file)
	if !strings.HasPrefix(string(after), mark+`{"mcpServers"`) || strings.Count(string(after), mark) != 1 {
		t.Errorf("wrote %q", after)
	}
	if !record().Covers("a", wrapped.ClaudeAt(t.TempDir(), "", filepath.Dir(file))) {
		t.Error("a hook would ask again")
	}
	cmd.Run(t, "mcp", "wrap", "--undo", file).Want(t, 0, []string{"a is as it was"}, nil)
	if back, _ := os.ReadFile(file); string(back) != mark+plain {
		t.Errorf("undone, it is %q", back)
	}
	for text, problem := range map[string]string{
		"\xff\xfe{\x00}\x00": "is in UTF-16: save it as UTF-8", "\xfe\xff\x00{\x00}": "is in UTF-16",
		"{\"mcpServers\":{\"a\":{\"command\":\"caf\xe9\"}}}": "is not in UTF-8", mark: "line 1: it is not JSON",
		mark + mark + plain: "line 1: it is not JSON",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd.Run(t, "mcp", "wrap", file).Want(t, 1, nil, []string{problem})
		if after, _ := os.ReadFile(file); string(after) != text {
			t.Errorf("wrote %q", after)
		}
	}
}

// Settings that can't be written stay as they are, and so does the record.
func TestWrapChangesNothingByHalves(t *testing.T) {
	const text = `{"mcpServers":{"a":{"command":"x"}}}`
	for name, undo := range map[string]bool{"wrap": false, "undo": true} {
		t.Run(name, func(t *testing.T) {
			file, record := settings(t, ".mcp.json", text)
			cmd, args := clitest.CommandLine{}, []string{"mcp", "wrap", file}
			if undo {
				cmd.Run(t, args...).Want(t, 0, []string{"a now goes"}, nil)
				args = append(args, "--undo")
			}
			before, _ := os.ReadFile(file)
			servers := len(record().Servers)
			if err := os.Chmod(file, 0o400); err != nil {
				t.Fatal(err)
			}
			cmd.Run(t, args...).Want(t, 1, nil, []string{"can't be written, so nothing was changed:\nmake it writable"})
			if after, _ := os.ReadFile(file); string(after) != string(before) {
				t.Errorf("wrote %s", after)
			}
			if n := len(record().Servers); n != servers {
				t.Errorf("%d servers are on record, not %d", n, servers)
			}
			if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
				t.Errorf("it left %v", left)
			}
		})
	}
}

// Entries that nobody could start stay as they are, and whoever wraps is told of a Pawl that is not there.
func TestWrapTellsWhatIsWrong(t *testing.T) {
	for entry, why := range map[string]string{
		`{"command":5}`: "a: its command can't be a JSON number", `{"command":"x","args":"y"}`: "a: its args can't be a JSON string",
		`{"command":"x","env":{"A":1}}`: "a: its env", `{"command":"x","url":"http://y"}`: "a command and an address", `{}`: "neither",
	} {
		file, _ := settings(t, ".mcp.json", `{"mcpServers":{"a":`+entry+`}}`)
		cmd := clitest.CommandLine{}
		cmd.Run(t, "mcp", "wrap", file).Want(t, 0, []string{"nothing to change"}, []string{why})
	}
	file, _ := settings(t, ".mcp.json", `{"mcpServers":{"a":{"command":"x"}}}`)
	cmd := clitest.CommandLine{}
	cmd.Run(t, "mcp", "wrap", file, "--api", "http://127.0.0.1:1").Want(t, 0, []string{"a now goes"},
		[]string{"no Pawl answers at http://127.0.0.1:1 now"})
	cmd.Run(t, "mcp", "wrap", "--undo", file, "--api", "http://127.0.0.1:1").Want(t, 0, []string{"a is as it was"}, nil)
}

func TestGatewaySettingsAreChecked(t *testing.T) {
	for problem, args := range map[string][]string{
		"which server":           {"--server", "a"},
		"either the":             {"--server", "a", "--url", "http://x", "--", "y"},
		"--server is missing":    {"--", "y"},
		"begins with http":       {"--server", "a", "--url", "x"},
		"must be NAME=VARIABLE":  {"--server", "a", "--url", "http://x", "--header-env", "A"},
		"Pawl's own":             {"--server", "a", "--url", "http://x", "--header-env", "A=PAWL_TOKEN"},
		"variable B is not set":  {"--server", "a", "--url", "http://x", "--header-env", "A=B"},
		"--header-env is for":    {"--server", "a", "--header-env", "A=B", "--", "y"},
		"the server's name: use": {"--server", "a b", "--", "y"},
		"each client shows":      {"--server", "a", "--listen", "127.0.0.1:0", "--token-file", "x", "--", "y"},
	} {
		cmd := clitest.CommandLine{}
		cmd.Run(t, append([]string{"mcp"}, args...)...).Want(t, 2, nil, []string{problem})
	}
}
