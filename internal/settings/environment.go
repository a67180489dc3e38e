package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/yamlfile"
)

const prefix = "PAWL_"

// foreign are names that begin like Pawl's and are not: those of its tests, which the processes
// that they start inherit, and those that Kubernetes sets for a service that is called pawl, or
// pawl-api.
var foreign = regexp.MustCompile(`^PAWL_TEST_|_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$` +
	`|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// Unknown says of each variable of an environment (NAME=VALUE) that begins like Pawl's, and that no
// setting of the table has, that it counts for nothing: a misspelt one would silently count as not
// set. Values stay out: they may be secrets.
func (t Table) Unknown(environment []string) (found []string) {
	var known []string
	for _, r := range t {
		known = append(known, Variable(r.Flag))
	}
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, prefix) || strings.TrimSpace(value) == "" ||
			slices.Contains(known, name) || foreign.MatchString(name) {
			continue
		}
		text := fmt.Sprintf("%s is not one of Pawl's variables", approval.Display(name, 80))
		// Short names are all near each other: the first letter must be right.
		near := yamlfile.Nearest(name, known)
		if near != "" && strings.HasPrefix(strings.ToUpper(name), near[:len(prefix)+1]) {
			text += "; did you mean " + near + "?"
		}
		found = append(found, text)
	}
	slices.Sort(found)
	return found
}
