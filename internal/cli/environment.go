package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

// OwnPrefix begins every variable of ours.
const OwnPrefix = "PAWL_"

// foreign are names that begin like ours and are not: those of our tests, which
// the processes that they start inherit, and those that Kubernetes sets for a
// service that is called pawl, or pawl-api.
var foreign = regexp.MustCompile(`^PAWL_TEST_|_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// checkEnvironment looks for variables that nobody reads. A setting that is
// misspelt would count silently as not made, and less be guarded than somebody
// believes: what serves, or prepares that, does not start then. Others warn.
func (a *App) checkEnvironment(cmd *cobra.Command) error {
	strangers := a.UnknownVariables(cmd.Root())
	switch cmd.CommandPath() {
	case "pawl doctor": // it reports them
	case "pawl worker", "pawl api", "pawl setup":
		if len(strangers) > 0 {
			return UsageError(errors.New(strings.Join(strangers, "\n") + "\nUnset them, or mend their names: a setting that is not heard may be one that guards"))
		}
	default:
		for _, s := range strangers {
			a.Note("warning: %s", s)
		}
	}
	return nil
}

// UnknownVariables says of each variable of the environment that begins like ours, and
// that no command reads, that it counts for nothing. Values stay out: they may
// be secrets.
func (a *App) UnknownVariables(root *cobra.Command) (found []string) {
	known := variables(root)
	for _, pair := range a.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, OwnPrefix) || slices.Contains(known, name) || foreign.MatchString(name) || strings.TrimSpace(value) == "" {
			continue
		}
		text := fmt.Sprintf("%s is no variable of Pawl's", approval.Display(name, 80))
		// Short names are all near each other: the first letter must be right.
		if near := yamlfile.Nearest(name, known); near != "" && strings.HasPrefix(strings.ToUpper(name), near[:len(OwnPrefix)+1]) {
			text += "; did you mean " + near + "?"
		}
		found = append(found, text)
	}
	slices.Sort(found)
	return found
}

// variables are those of all flags that settle and setting read.
func variables(root *cobra.Command) (names []string) {
	add := func(f *pflag.Flag) {
		if f.Name != "help" && f.Name != "version" && f.Name != "output" {
			names = append(names, Variable(f.Name))
		}
	}
	root.PersistentFlags().VisitAll(add)
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Flags().Lookup("config") != nil {
			cmd.LocalNonPersistentFlags().VisitAll(add)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
	slices.Sort(names)
	return slices.Compact(names)
}
