package access

import (
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

func (a *app) open() *cobra.Command {
	var only bool
	cmd := &cobra.Command{
		Use:   "open",
		Short: "Open the page in a browser, signed in as you",
		Long: `Open the page where people decide. The address that is printed signs a
browser in as you: once, and within a minute. Where nobody is authenticated, it
is the page's address alone.`,
		Example: `  pawl open
  pawl open --print`,
		Args: cli.NoArgs,
		RunE: a.Ask(func(cmd *cobra.Command, c *client.Client, _ []string) error {
			p, err := c.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			var link rest.SignInLink
			page := strings.TrimSuffix(c.URL(), "/") + "/"
			if p.Method != rest.MethodNone {
				if link, err = c.NewSignInLink(cmd.Context()); err != nil {
					return err
				}
				page += "#signin=" + link.Code
			}
			if link.URL == "" {
				link.URL = page
			}
			if a.Output == cli.OutputJSON {
				return a.PrintValue(link)
			}
			if err := a.Print(link.URL + "\n"); err != nil || only {
				return err
			}
			if name, args := a.browser(link.URL); name != "" && exec.Command(name, args...).Start() != nil {
				a.Note("no browser could be started: open the address yourself")
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&only, "print", false, "only print the address")
	return cmd
}

// browser returns the command that opens an address; empty: there is no browser here.
func (a *app) browser(address string) (name string, args []string) {
	switch runtime.GOOS {
	case "darwin":
		return "open", []string{address}
	case "windows":
		return "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	if a.Getenv("DISPLAY")+a.Getenv("WAYLAND_DISPLAY") == "" {
		return "", nil
	}
	return "xdg-open", []string{address}
}
