// Package gateway has the commands that put Pawl between an MCP client and its servers.
package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/build"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/mcp"
	"github.com/pawlhq/pawl/rest"
)

type app struct{ *cli.App }

// Commands makes the commands of this package.
func Commands(base *cli.App) []*cobra.Command {
	a := &app{base}
	return []*cobra.Command{a.mcp()}
}

// flags are those of 'pawl mcp'.
type flags struct {
	server, agent, session string
	wait, reportWithin     settings.Length
	url                    string
	headers                []string // NAME=VARIABLE
	listen                 string
}

func (a *app) mcp() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "mcp --server NAME (-- COMMAND [ARG…] | --url URL)",
		Short: "Guard an MCP server: its tools run once Pawl lets them",
		Long: `Stand between an MCP client and one MCP server, for the client to start instead
of the server. Every call of a tool waits until Pawl lets it run; all the rest
goes through as it is. The tool T is the tool NAME.T in Pawl, and in policies.

While people think, the client sees progress, if it asked for that. After --wait
it is told that the call is pending, and repeats it later. If Pawl can't be
asked, no tool runs. The server gets no setting or token of Pawl's.`,
		Example: `  pawl mcp --server files -- npx -y @modelcontextprotocol/server-filesystem .
  pawl mcp --server tracker --url https://mcp.example.com/mcp
  pawl mcp --server files --listen 127.0.0.1:7300 -- mcp-server-files /srv
  pawl mcp wrap .mcp.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch at := cmd.ArgsLenAtDash(); {
			case f.url != "" && len(args) > 0:
				return errors.New("give either the server's command or its address with --url")
			case f.url == "" && (at != 0 || len(args) == 0):
				return errors.New("which server? Give the command that starts it after --, or its address with --url")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.serve(cmd, f, args) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.server, "server", "", "`name` of the server: its tools are NAME.TOOL in Pawl")
	fs.StringVar(&f.agent, "agent", "", "`name` of the agent that asks (default: the token's, else mcp)")
	fs.StringVar(&f.session, "session", "", "`session`: only calls of the same one are taken up again")
	fs.Var(&f.wait, "wait", "how long a call waits for people before it is pending "+
		"(default 50s, or 3m30s for clients that go on while they see progress)")
	fs.Var(&f.reportWithin, "report-within", "how long a tool may run before its outcome counts as unknown "+
		"(default 10m)")
	fs.StringVar(&f.url, "url", "", "`address` of a server that speaks Streamable HTTP")
	fs.StringArrayVar(&f.headers, "header-env", nil, "`NAME=VARIABLE`: header for --url with the value of a "+
		"variable of the environment; repeatable")
	fs.StringVar(&f.listen, "listen", "", "serve clients by Streamable HTTP on this `address`; "+
		"each shows its own token for Pawl as its bearer token")
	cmd.AddCommand(a.wrap())
	return cmd
}

func (a *app) serve(cmd *cobra.Command, f flags, command []string) error {
	if f.server == "" {
		return cli.UsageError(errors.New("--server is missing: name the server, as policies are to name it"))
	}
	if f.listen != "" && (cmd.Flag("token").Changed || cmd.Flag("token-file").Changed) {
		return cli.UsageError(errors.New("with --listen each client shows a token of its own: leave this one out"))
	}
	upstream, how, err := a.upstream(f, command)
	if err != nil {
		return cli.UsageError(err)
	}
	pins, err := pinsFile(f.server, how)
	if err != nil {
		return err
	}
	g, err := mcp.New(mcp.Options{
		Server: f.server, Agent: f.agent, Session: f.session, Pins: pins,
		Wait: time.Duration(f.wait), ReportWithin: time.Duration(f.reportWithin),
		Upstream: upstream,
		Logger:   slog.New(slog.NewTextHandler(a.Stderr, nil)),
		API: func(token string) (*client.Client, error) {
			if f.listen == "" {
				return a.Client(cmd)
			}
			return a.clientOf(cmd, token)
		},
	})
	if err != nil {
		return cli.UsageError(err)
	}
	if f.listen != "" {
		ln, err := net.Listen("tcp", f.listen)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		if ip := net.ParseIP(hostOf(ln.Addr())); ip == nil || !ip.IsLoopback() {
			if err := a.knowsCallers(cmd); err != nil {
				return errors.Join(cli.UsageError(err), ln.Close())
			}
			a.Note("warning: clients' tokens come unencrypted; put a proxy that speaks TLS before it")
		}
		a.Note("serving MCP clients at http://%s/mcp", ln.Addr())
		return g.Serve(cmd.Context(), ln)
	}
	return g.ServeStdio(cmd.Context(), io.NopCloser(a.Stdin), a.Stdout)
}

// clientOf asks Pawl for a client of the gateway's.
func (a *app) clientOf(cmd *cobra.Command, token string) (*client.Client, error) {
	return client.New(client.Options{
		URL: a.Setting(cmd, "api"), Token: token, UserAgent: "pawl-mcp/" + build.Version(),
	})
}

// knowsCallers refuses an API that takes everybody, as far as can be told now: each request asks it again.
func (a *app) knowsCallers(cmd *cobra.Command) error {
	api, err := a.clientOf(cmd, "")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
	defer cancel()
	if who, err := api.Whoami(ctx); err == nil && who.Method == rest.MethodNone {
		return mcp.ErrOpen
	}
	return nil
}

// upstream is how to reach the server, and what tells it from others.
func (a *app) upstream(f flags, command []string) (up mcp.Upstream, how []string, err error) {
	if f.url == "" {
		if len(f.headers) > 0 {
			return up, nil, errors.New("--header-env is for --url")
		}
		return mcp.Child(command, a.Environ(), a.Stderr), command, nil
	}
	u, err := url.Parse(f.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return up, nil, errors.New("--url must be an address that begins with http:// or https://")
	}
	header := http.Header{}
	for _, h := range f.headers {
		name, variable, ok := strings.Cut(h, "=")
		value := a.Getenv(variable)
		switch {
		case !ok || name == "" || variable == "":
			return up, nil, errors.New("--header-env must be NAME=VARIABLE")
		case strings.HasPrefix(strings.ToUpper(variable), "PAWL_"):
			return up, nil, errors.New("--header-env: what is Pawl's own goes to no server")
		case value == "":
			return up, nil, fmt.Errorf("--header-env: the variable %s is not set", approval.Display(variable, 80))
		}
		header.Set(name, value)
	}
	return mcp.Remote(f.url, header), []string{f.url}, nil
}

func hostOf(address net.Addr) string {
	host, _, _ := net.SplitHostPort(address.String()) // it is one that was listened on
	return host
}

// pinsFile is where it is kept what a server said of its tools. One that is started otherwise is
// another server.
func pinsFile(server string, how []string) (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	plain := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/:\`, r) {
			return '_'
		}
		return r
	}, server)
	sum := sha256.Sum256([]byte(strings.Join(append([]string{server}, how...), "\x00")))
	return filepath.Join(dir, "pawl", "mcp", plain+"-"+hex.EncodeToString(sum[:6])+".json"), nil
}
