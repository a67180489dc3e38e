package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New("takes flags only, no arguments")
	}
	return nil
}

func oneArg(name, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return fmt.Errorf("%s is missing: %s", name, what)
		case 1:
			if args[0] == "" {
				return fmt.Errorf("%s is empty: %s", name, what)
			}
			return nil
		}
		return fmt.Errorf("takes one %s, %d arguments given; put values with spaces in quotes", name, len(args))
	}
}

func (a *app) tools() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tools",
		Short: "List the tools that workers offer",
		Long: `List the tools that workers offer, and whether a process polls the task queue
that they run on now: if none does (NO), an approved call waits for one, and
expires if it does not come in time.`,
		Example: `  pawl tools
  pawl tools -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd)
			if err != nil {
				return err
			}
			page, err := c.Tools(cmd.Context())
			if err != nil {
				return err
			}
			if a.output == outputJSON {
				return printPage(a, page)
			}
			if len(page.Items) == 0 {
				a.note("no worker offers a tool yet")
				return nil
			}
			var rows [][]string
			for _, t := range page.Items {
				repeat := "no"
				if t.Idempotent {
					repeat = "yes"
				}
				served := "unknown"
				if t.Served != nil {
					served = map[bool]string{true: "yes", false: "NO"}[*t.Served]
				}
				rows = append(rows, []string{
					cell(t.Name, 40), cell(t.Kind, 12), cell(t.Queue, 30), served, repeat, t.Timeout.String(), cell(t.Description, 70),
				})
			}
			return a.print(table([]string{"NAME", "KIND", "QUEUE", "SERVED", "IDEMPOTENT", "TIMEOUT", "DESCRIPTION"}, rows))
		},
	}
	cmd.AddCommand(a.forget())
	return cmd
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show which Pawl this is",
		Example: "  pawl version -o json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{buildVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if a.output == outputJSON {
				return a.printValue(v)
			}
			return a.print(fmt.Sprintf("pawl %s (%s, %s)\n", v.Version, v.Go, v.Platform))
		},
	}
}

// buildVersion is the module version that Go stamps into the binary.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "devel"
	}
	return strings.Trim(info.Main.Version, "()")
}
