package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/build"
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
			}{build.Version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if a.Output == OutputJSON {
				return a.PrintValue(v)
			}
			return a.Print(fmt.Sprintf("pawl %s (%s, %s)\n", v.Version, v.Go, v.Platform))
		},
	}
}
