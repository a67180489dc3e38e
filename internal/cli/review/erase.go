package review

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/cli"
)

func (a *app) auditErase() *cobra.Command {
	var id, reason string
	cmd := &cobra.Command{
		Use:   "erase --call ID --reason WHY",
		Short: "Erase what a call that has ended said, for good",
		Long: `Erase what a call that has ended said: arguments, result, names, notes, and the
payloads of its audit entries. A tombstone stays: its ID, digest, status and
permit, and the hashes, so that the log still verifies. That it was erased, by
whom and why is on record itself. Temporal keeps its own copy for as long as the
namespace's retention says.`,
		Example: `  pawl audit erase --call pawl-k3vq2m7x5d --reason "case 812"`,
		Args:    cli.NoArgsBut("--call"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case id == "":
				return cli.UsageError(errors.New("--call is missing: the whole ID of the call"))
			case strings.TrimSpace(reason) == "":
				return cli.UsageError(errors.New("--reason is missing: it is kept, so write no secrets into it"))
			}
			c, err := a.Client(cmd)
			if err != nil {
				return err
			}
			v, err := c.Erase(cmd.Context(), id, reason) // never by the beginning of an ID
			if err != nil {
				return err
			}
			if a.Output == cli.OutputJSON {
				return a.PrintJSON(v.Raw)
			}
			return a.Say("erased what " + v.ID + " said; its tombstone stays\n")
		},
	}
	f := cmd.Flags()
	f.StringVar(&id, "call", "", "the `ID` of the call, in whole")
	f.StringVar(&reason, "reason", "", "`why`; it is kept")
	return cmd
}
