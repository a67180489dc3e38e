package cases_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/mcp"
)

const (
	gatewayMode = "gateway"
	serverMode  = "CASE_SERVER" // has the call; the gateway hands it to its server
)

// throughGateway asks by an MCP client of the Go SDK and the gateway, both in this process, before a
// server in a process of its own. It returns what the client is told.
func (asked caseCall) throughGateway(ctx context.Context) (string, error) {
	doc, err := json.Marshal(asked)
	if err != nil {
		return "", err
	}
	server, tool, _ := strings.Cut(asked.Tool, ".")
	command := []string{os.Args[0], "-test.run=^TestCaseProcess$"}
	g, err := mcp.New(mcp.Options{
		Server: server, Agent: asked.Agent, Wait: asked.patience(),
		Upstream: mcp.Child(command, append(os.Environ(), serverMode+"="+string(doc)), os.Stderr),
		API:      func(string) (*client.Client, error) { return client.New(client.Options{URL: asked.API}) },
	})
	if err != nil {
		return "", err
	}
	in, to := io.Pipe()
	from, out := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- g.ServeStdio(ctx, in, out) }()
	c := sdk.NewClient(&sdk.Implementation{Name: "case", Version: "1"}, nil)
	cs, err := c.Connect(ctx, &sdk.IOTransport{Reader: from, Writer: to}, nil)
	if err != nil {
		return "", err
	}
	res, err := cs.CallTool(ctx, &sdk.CallToolParams{Name: tool, Arguments: map[string]any{"x": 1}})
	if err != nil {
		return "", err
	}
	said, _ := res.Content[0].(*sdk.TextContent)
	err = to.Close()
	if end := <-served; !asked.Unsure { // until the call is reported; whose server died may end with that
		err = errors.Join(err, end)
	}
	if said == nil || err != nil {
		return "", errors.Join(err, errors.New("the answer is no text"))
	}
	return gatewaySays(said.Text), nil
}

// gatewaySays is an answer of the gateway's in the words of the cases.
func gatewaySays(text string) string {
	lines := strings.Split(text, "\n")
	switch {
	case lines[0] == "Not run: people rejected this call.":
		i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "Notes: ") })
		return "rejected: " + strings.TrimPrefix(lines[max(i, 0)], "Notes: ")
	case lines[0] == "Not run: nobody approved this call in time.":
		return "expired"
	case lines[0] == "Not run: the policy does not allow this call.":
		return "blocked"
	case strings.HasPrefix(text, "Pending: "):
		return "pending"
	case strings.HasPrefix(text, "Outcome unknown: "):
		return "outcome_unknown"
	case strings.HasPrefix(text, "Not run: Pawl did not permit this call. Pawl's API did not answer"):
		return "unreachable"
	}
	return text
}

// serve is the server behind the gateway. Its tool does what the case says.
func (asked caseCall) serve(ctx context.Context) error {
	_, tool, _ := strings.Cut(asked.Tool, ".")
	gateway := os.Getppid()
	server := sdk.NewServer(&sdk.Implementation{Name: "case", Version: "1"}, nil)
	server.AddTool(&sdk.Tool{Name: tool, InputSchema: map[string]any{"type": "object"}},
		func(ctx context.Context, _ *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
			dies, unsure := asked.Dies, asked.Unsure
			asked.Dies = false // it is the gateway that dies
			if err := asked.act(); err != nil {
				return nil, err
			}
			if unsure {
				os.Exit(1)
			}
			if dies {
				p, err := os.FindProcess(gateway)
				if err != nil {
					return nil, err
				}
				_ = p.Kill()
				<-ctx.Done()
			}
			return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "executed"}}}, nil
		})
	return server.Run(ctx, &sdk.StdioTransport{})
}
