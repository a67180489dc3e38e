package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

func (a *App) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show which Pawl this is",
		Example: "  pawl version -o json",
		Args:    NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{buildVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if a.Output == OutputJSON {
				return a.PrintValue(v)
			}
			return a.Print(fmt.Sprintf("pawl %s (%s, %s)\n", v.Version, v.Go, v.Platform))
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
