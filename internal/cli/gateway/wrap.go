package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/internal/wrapped"
	"github.com/pawlhq/pawl/strictjson"
)

func (a *app) wrap() *cobra.Command {
	var undo bool
	var agent string
	var only []string
	var wait settings.Length
	cmd := &cobra.Command{
		Use:   "wrap FILE",
		Short: "Send the servers in an MCP client's settings through Pawl",
		Long: `Rewrite the settings of an MCP client so that each of its servers is started
through 'pawl mcp'. Comments stay. What was there is kept on record: --undo puts
it back. Done twice, it changes only what is new. Restart the client afterwards.

FILE is, for example:
  Claude Desktop  claude_desktop_config.json
  Claude Code     .mcp.json of a project, or ~/.claude.json
  Cursor          ~/.cursor/mcp.json
  VS Code         .vscode/mcp.json`,
		Example: `  pawl mcp wrap .mcp.json
  pawl mcp wrap ~/.cursor/mcp.json --only github
  pawl mcp wrap --undo .mcp.json`,
		Args: cli.OneArg("FILE", "which settings? Name the file of your MCP client"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flag("wait").Changed && wait <= 0 {
				return cli.UsageError(errors.New("--wait leaves no time"))
			}
			var api *client.Client
			if !undo { // what is wrong with the token's file is said before anything is changed
				var err error
				if api, err = a.Client(cmd); err != nil {
					return err
				}
			}
			return a.rewrite(cmd, args[0], api, func(doc []byte, file string, r *wrapped.Record) (change, error) {
				if undo {
					return unwrapAll(doc, file, only, r)
				}
				return a.wrapAll(cmd, doc, file, agent, only, r)
			})
		},
	}
	fs := cmd.Flags()
	fs.BoolVar(&undo, "undo", false, "put back what was there before")
	fs.StringVar(&agent, "agent", "",
		"`name` of the agent (default: the client's, or the token's if one is given)")
	fs.StringArrayVar(&only, "only", nil, "only the server of this `name`; repeatable")
	fs.Var(&wait, "wait", "how long a call waits for people before it is pending: less than the client "+
		"gives a server (default as 'pawl mcp' has it)")
	return cmd
}

// change is what a rewrite does.
type change struct {
	edits []wrapped.Edit
	done  []string // servers, and what became of them
	left  []string // servers that stay as they are, and why
}

// rewrite changes settings and the record of that, and looks whether the API is there, if one is given.
// The record is written first: a server that goes through Pawl and is not on it could not be put back.
func (a *app) rewrite(
	cmd *cobra.Command, path string, api *client.Client,
	with func([]byte, string, *wrapped.Record) (change, error),
) error {
	file, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	config, err := os.UserConfigDir()
	if err != nil {
		return err
	}
	kept := wrapped.File(config)
	lock, err := wrapped.Lock(kept)
	if err != nil {
		return err
	}
	defer lock.Close() // nothing was written to it
	settings, err := wrapped.ReadSettings(file)
	if err != nil {
		return fmt.Errorf("the client's settings: %w", err)
	}
	doc := settings.Text
	record, err := wrapped.Read(kept)
	if err != nil {
		return err
	}
	before := wrapped.Record{Servers: slices.Clone(record.Servers)}
	c, err := with(doc, file, &record)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(c.edits) > 0 {
		text := wrapped.Apply(doc, c.edits)
		if !json.Valid(wrapped.Plain(text)) {
			return fmt.Errorf("%s: it is laid out in a way that can't be changed safely; nothing was changed", path)
		}
		if err := settings.Writable(); err != nil {
			return fmt.Errorf("the client's settings: %w", err)
		}
		if err := record.Write(kept); err != nil {
			return err
		}
		if err := settings.Write(text); err != nil {
			return errors.Join(fmt.Errorf("the client's settings: %w", err), before.Write(kept))
		}
	}
	for _, text := range c.left {
		a.Note("left as it is: %s", text)
	}
	if len(c.done) == 0 {
		return a.Print("nothing to change\n")
	}
	err = a.Print(strings.Join(c.done, "\n") + "\nRestart the client: it reads its settings when it starts.\n")
	if api != nil {
		a.lookForPawl(cmd.Context(), api)
	}
	return err
}

// lookForPawl tells who has just put servers behind a Pawl that is not there.
func (a *app) lookForPawl(ctx context.Context, api *client.Client) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := api.Version(ctx); errors.As(err, new(*client.UnreachableError)) {
		a.Note("no Pawl answers at %s now:\nuntil one does, these servers run no tool", api.URL())
	}
}

// clients are known by where their settings are.
var clients = []struct{ part, name string }{
	{"claude_desktop_config.json", "claude-desktop"}, {".claude.json", "claude-code"},
	{".mcp.json", "claude-code"}, {".cursor", "cursor"}, {".vscode", "vscode"}, {"Code", "vscode"},
}

// arguments are those of 'pawl mcp' that hold for every server of a file.
func (a *app) arguments(cmd *cobra.Command, place, agent string) ([]string, error) {
	var out []string
	token := a.Setting(cmd, "token") != "" || a.Setting(cmd, "token-file") != ""
	if agent == "" && !token {
		for _, c := range clients {
			if slices.Contains(strings.Split(filepath.ToSlash(place), "/"), c.part) {
				agent = c.name
				break
			}
		}
	}
	if agent != "" {
		out = append(out, "--agent", agent)
	}
	if wait, ok := cmd.Flag("wait").Value.(*settings.Length); ok && *wait > 0 {
		out = append(out, "--wait", time.Duration(*wait).String())
	}
	// Clients start servers without the variables of this shell, and perhaps with others, which could send
	// calls and token elsewhere.
	out = append(out, "--api", cmp.Or(a.Setting(cmd, "api"), client.DefaultURL))
	file := a.Setting(cmd, "token-file")
	switch inShell := a.Setting(cmd, "token") != ""; {
	case cmd.Flag("token").Changed:
		return nil, cli.UsageError(errors.New("a token would be on view in the settings: " +
			"write it to a file, and give --token-file"))
	case inShell && !cmd.Flag("token-file").Changed:
		return nil, cli.UsageError(errors.New("the client starts the servers without PAWL_TOKEN,\n" +
			"and in the settings a token would be on view. Make one for the agent,\n" +
			"  pawl token new agent:NAME --role agent --owner YOU --out agent.token\n" +
			"and give --token-file agent.token. To use none, unset PAWL_TOKEN"))
	case file != "":
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		out = append(out, "--token-file", path)
	}
	return out, nil
}

func (a *app) wrapAll(
	cmd *cobra.Command, doc []byte, file, agent string, only []string, r *wrapped.Record,
) (c change, err error) {
	program, err := os.Executable()
	if err != nil {
		return c, err
	}
	general, err := a.arguments(cmd, file, agent)
	if err != nil {
		return c, err
	}
	entries, err := wrapped.Entries(doc)
	if err != nil {
		return c, err
	}
	if err := known(entries, only); err != nil {
		return c, err
	}
	for _, e := range entries {
		if len(only) > 0 && !slices.Contains(only, e.Name) {
			continue
		}
		edits, why := through(e, program, general)
		if why != "" {
			c.left = append(c.left, fmt.Sprintf("%s: %s", approval.Display(e.Name, 80), why))
			continue
		}
		moved := make([]wrapped.Edit, len(edits))
		for i, d := range edits {
			moved[i] = wrapped.Edit{From: d.From - e.Value, To: d.To - e.Value, Text: d.Text}
		}
		written := wrapped.Apply(e.Text(), moved)
		r.Servers = slices.DeleteFunc(r.Servers, func(s wrapped.Server) bool {
			return s.File == file && slices.Equal(s.Keys, e.Keys)
		})
		r.Servers = append(r.Servers, wrapped.Server{
			Name: e.Name, File: file, Keys: e.Keys, Digest: wrapped.Digest(wrapped.Plain(written)),
			Written: string(written), Original: string(e.Text()), At: a.Now().UTC().Truncate(time.Second),
		})
		c.edits = append(c.edits, edits...)
		c.done = append(c.done, fmt.Sprintf("%s now goes through Pawl: its tools are %s.TOOL there",
			approval.Display(e.Name, 80), serverName(e.Name)))
	}
	return c, nil
}

func known(entries []wrapped.Entry, only []string) error {
	if len(entries) == 0 {
		return errors.New("there are no MCP servers in it")
	}
	for _, name := range only {
		if !slices.ContainsFunc(entries, func(e wrapped.Entry) bool { return e.Name == name }) {
			return fmt.Errorf("there is no server %s in it", approval.Display(name, 80))
		}
	}
	return nil
}

// serverName makes a name that policies can have, the same one that the hook of a coding agent has.
func serverName(name string) string {
	plain := wrapped.ToolName(name)
	if approval.CheckTool(plain) != nil {
		plain = "_" + plain
	}
	return plain
}

// server is what matters of an entry.
type server struct {
	Type    string            `json:"type"`
	Command string            `json:"command"`
	Args    []string          `json:"args"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Env     map[string]string `json:"env"`
}

// through returns the edits that send a server through the gateway, or why it stays as it is.
func through(e wrapped.Entry, program string, general []string) (edits []wrapped.Edit, why string) {
	var s server
	if err := json.Unmarshal(e.Plain(), &s); err != nil {
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fmt.Sprintf("its %s can't be a JSON %s", e.Field, e.Value)
		}
		return nil, "its entry can't be read: " + err.Error()
	}
	base := strings.TrimSuffix(filepath.Base(strings.ReplaceAll(s.Command, `\`, "/")), ".exe")
	switch {
	case base == "pawl" && len(s.Args) > 0 && s.Args[0] == "mcp" || s.Command == program:
		return nil, "it goes through Pawl already; --undo first to change how"
	case s.Command != "" && s.URL != "":
		return nil, "it has a command and an address"
	case s.Type == "sse" || s.Type == "ws":
		return nil, "the gateway speaks Streamable HTTP only, and this is " + s.Type
	case s.Command == "" && s.URL == "":
		return nil, "it has neither a command nor an address"
	}
	args := append([]string{"mcp", "--server", serverName(e.Name)}, general...)
	set := func(m wrapped.Member, text string) {
		edits = append(edits, wrapped.Edit{From: m.Value, To: m.To, Text: text})
	}
	find := func(name string) (wrapped.Member, bool) {
		i := slices.IndexFunc(e.Fields, func(m wrapped.Member) bool { return m.Name == name })
		if i < 0 {
			return wrapped.Member{}, false
		}
		return e.Fields[i], true
	}
	if s.Command != "" {
		args = append(append(append(args, "--"), s.Command), s.Args...)
		command, _ := find("command")
		list, there := find("args")
		if there {
			set(command, quote(program))
			set(list, quote(args))
		} else {
			set(command, quote(program)+`, "args": `+quote(args))
		}
		return edits, ""
	}
	args = append(args, "--url", s.URL)
	env := map[string]string{}
	for i, name := range strictjson.SortedKeys(s.Headers) {
		variable := fmt.Sprintf("MCP_HEADER_%d", i+1)
		args = append(args, "--header-env", name+"="+variable)
		env[variable] = s.Headers[name]
	}
	for name, value := range s.Env {
		env[name] = value
	}
	address, _ := find("url")
	edits = append(edits, wrapped.Edit{From: address.From, To: address.To,
		Text: `"command": ` + quote(program) + `, "args": ` + quote(args)})
	if kind, there := find("type"); there {
		set(kind, `"stdio"`)
	}
	headers, hasHeaders := find("headers")
	own, hasEnv := find("env")
	switch {
	case hasHeaders && hasEnv:
		set(own, quote(env))
		edits = append(edits, wrapped.Edit{From: headers.From, To: headers.To, Text: `"headers": {}`})
	case hasHeaders:
		edits = append(edits, wrapped.Edit{From: headers.From, To: headers.To, Text: `"env": ` + quote(env)})
	}
	return edits, ""
}

func quote(v any) string {
	doc, _ := strictjson.Marshal(v) // texts, and lists and maps of them, marshal
	return string(doc)
}

// unwrapAll puts entries back that are as they were written.
func unwrapAll(doc []byte, file string, only []string, r *wrapped.Record) (c change, err error) {
	entries, err := wrapped.Entries(doc)
	if err != nil {
		return c, err
	}
	r.Servers = slices.DeleteFunc(r.Servers, func(s wrapped.Server) bool {
		if s.File != file || len(only) > 0 && !slices.Contains(only, s.Name) {
			return false
		}
		name := approval.Display(s.Name, 80)
		i := slices.IndexFunc(entries, func(e wrapped.Entry) bool { return slices.Equal(e.Keys, s.Keys) })
		switch {
		case i < 0:
			c.left = append(c.left, name+": it is not there any more")
		case wrapped.Digest(entries[i].Plain()) != s.Digest:
			c.left = append(c.left, name+": it was changed since; put it back by hand, before Pawl it was "+s.Original)
			return false
		default:
			c.edits = append(c.edits, wrapped.Edit{From: entries[i].Value, To: entries[i].To, Text: s.Original})
			c.done = append(c.done, name+" is as it was before")
		}
		return true
	})
	return c, nil
}
