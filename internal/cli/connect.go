package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/build"
	"github.com/pawlhq/pawl/internal/settings"
)

// Setting reads a global flag, or --config, else its environment variable.
func (a *App) Setting(cmd *cobra.Command, flag string) string {
	if f := cmd.Flag(flag); f.Changed {
		return strings.TrimSpace(f.Value.String())
	}
	return strings.TrimSpace(a.Getenv(settings.Variable(flag)))
}

// Client makes the client that the global flags ask for.
func (a *App) Client(cmd *cobra.Command) (*client.Client, error) {
	token, err := a.credential(cmd)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{
		URL: a.Setting(cmd, "api"), Token: token,
		Reviewer: a.Setting(cmd, "as"), UserAgent: "pawl-cli/" + build.Version(),
	})
	if err != nil {
		return nil, UsageError(err)
	}
	if token != "" {
		if cmd.Flag("token").Changed {
			a.Note("warning: other users of this machine can see --token; set PAWL_TOKEN instead")
		}
		if u, err := url.Parse(c.URL()); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
			a.Note("warning: the token goes to %s unencrypted; use https", c.URL())
		}
	}
	return c, nil
}

// Ask makes the RunE of a command that does nothing before it asks the API.
func (a *App) Ask(
	do func(*cobra.Command, *client.Client, []string) error,
) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.Client(cmd)
		if err != nil {
			return err
		}
		return do(cmd, c, args)
	}
}

// credential returns the token to send, or none.
func (a *App) credential(cmd *cobra.Command) (string, error) {
	byFlag, byFile := cmd.Flag("token").Changed, cmd.Flag("token-file").Changed
	if byFlag && byFile {
		return "", UsageError(errors.New("give either --token-file or --token"))
	}
	token := a.Setting(cmd, "token")
	path := a.Setting(cmd, "token-file")
	if path == "" || !byFile && token != "" {
		if path != "" && !byFlag {
			a.Note("note: PAWL_TOKEN and PAWL_TOKEN_FILE are both set; PAWL_TOKEN is used")
		}
		return token, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the token's file: %w", err)
	}
	// What a file holds that is no token is never shown: it may be another secret.
	if !info.Mode().IsRegular() || info.Size() > auth.MaxCredential {
		return "", fmt.Errorf("the token's file %s holds no token: is it the right file?", path)
	}
	if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		a.Note("warning: other users of this machine may read %s; 'chmod 600' keeps them out", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the token's file: %w", err)
	}
	if token = strings.TrimSpace(string(text)); token == "" {
		return "", fmt.Errorf("the token's file %s is empty", path)
	}
	return token, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// CheckReviewer refuses to go on where nobody says who decides.
func (a *App) CheckReviewer(cmd *cobra.Command) error {
	if a.Setting(cmd, "token") == "" && a.Setting(cmd, "token-file") == "" && a.Setting(cmd, "as") == "" {
		return UsageError(errors.New("who are you? Give your token with PAWL_TOKEN or --token-file, " +
			"or, where the API authenticates nobody, your name with --as NAME or PAWL_AS"))
	}
	return nil
}

// Reviewer makes a client for deciding, which needs somebody who decides.
func (a *App) Reviewer(cmd *cobra.Command) (*client.Client, error) {
	if err := a.CheckReviewer(cmd); err != nil {
		return nil, err
	}
	return a.Client(cmd)
}

const (
	ownID     = "pawl-" // begins the IDs that Pawl makes
	WhichCall = "which call? 'pawl pending' lists those that wait"
)

// Find returns a call by ID or prefix, also of what follows ownID. Calls the store has not seen
// yet, while no worker runs, are looked up by whole ID where they wait.
func Find(ctx context.Context, c *client.Client, id string) (client.View, error) {
	v, err := c.Request(ctx, id)
	if approval.CodeOf(err) == approval.CodeNotFound {
		if waiting, e := c.Get(ctx, id, 0); e == nil {
			return waiting, nil
		}
		if !strings.HasPrefix(id, ownID) {
			if bare, e := c.Request(ctx, ownID+id); approval.CodeOf(e) != approval.CodeNotFound {
				v, err = bare, e
			}
		}
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", id, err)
	}
	return v, nil
}

// WholeID returns the ID that a prefix stands for.
func WholeID(ctx context.Context, c *client.Client, id string) (string, error) {
	if len(id) == len(approval.KeyedID("", "")) && strings.HasPrefix(id, ownID) {
		return id, nil
	}
	v, err := Find(ctx, c, id)
	return cmp.Or(v.ID, id), err
}
