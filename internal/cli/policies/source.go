package policies

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/policytest"
	"github.com/pawlhq/pawl/rest"
)

// activeName stands for the active policy where a command takes files; @ and a digest for one that
// was ever applied. Files of such names need ./ before.
const activeName = "active"

// readPolicy reads the policy that names stand for: files and folders; or, by itself, 'active' or
// '@DIGEST'. It has reported the problems and warnings of files; those of an
// applied policy were reported when it was applied.
func (a *app) readPolicy(cmd *cobra.Command, names ...string) (*policy.Set, error) {
	var set *policy.Set
	var err error
	switch remote := remoteName(names); {
	case remote == "":
		if set, err = inspectPolicy(names); err == nil {
			a.noteProblems(set.Warnings())
		}
	case len(names) > 1:
		return nil, cli.UsageError(
			fmt.Errorf("%s is a whole policy: name nothing beside it", approval.Display(remote, 80)))
	default:
		set, err = a.fetchPolicy(cmd, remote)
	}
	if err != nil {
		return nil, a.problems(err)
	}
	if left := set.Unexecuted(); len(left) > 0 {
		a.noteProblems(left)
		a.Note("warning: no worker loads this policy as it is: see above")
	}
	return set, nil
}

// remoteName returns the first name that stands for no file.
func remoteName(names []string) string {
	for _, name := range names {
		if name == activeName || strings.HasPrefix(name, "@") {
			return name
		}
	}
	return ""
}

// fetchPolicy asks the API for a policy, and says which one that is.
func (a *app) fetchPolicy(cmd *cobra.Command, name string) (*policy.Set, error) {
	digest, byDigest := strings.CutPrefix(name, "@")
	if byDigest && digest == "" {
		return nil, cli.UsageError(errors.New("@ is without a digest: 'pawl policy history' lists them"))
	}
	c, err := a.Client(cmd)
	if err != nil {
		return nil, err
	}
	if !byDigest {
		p, err := c.Policy(cmd.Context())
		if err != nil {
			return nil, err
		}
		a.Note("the active policy: %s", appliedBy(p.PolicyVersion))
		return compileLayers(p.Layers, p.Digest)
	}
	p, err := c.PolicyText(cmd.Context(), strings.TrimSuffix(digest, approval.CutMark))
	if err != nil {
		return nil, err
	}
	a.Note("the policy with digest %s", p.Digest)
	return compileLayers(p.Layers, p.Digest)
}

// compileLayers compiles the text of an applied policy to look at it. The error is
// yamlfile.Problems where this Pawl does not know what stands there.
func compileLayers(layers []rest.PolicyLayer, digest string) (*policy.Set, error) {
	set, err := policy.Inspect(admin.Files(layers)...)
	if err == nil && digest != set.Digest() {
		err = fmt.Errorf("the text of the policy %s has another digest here: it was changed on its way or in the "+
			"database, or this Pawl is of another version", approval.Display(cli.ShortHash(digest), 80))
	}
	return set, err
}

// inspectPolicy compiles files, and the files of folders, to one policy, with the rules that no
// worker would take yet. The error is yamlfile.Problems.
func inspectPolicy(paths []string) (*policy.Set, error) {
	paths, err := policytest.PolicyFiles(paths...)
	if err != nil {
		return nil, err
	}
	return policytest.Inspect(paths...)
}

// problems reports what is wrong with files, a line each, and ends the command. It returns other
// errors as they are.
func (a *app) problems(err error) error {
	found, ok := errors.AsType[yamlfile.Problems](err)
	if !ok {
		return err
	}
	a.noteProblems(found)
	return cli.ExitWith(cli.ExitError)
}

func (a *app) noteProblems(problems []yamlfile.Problem) {
	for _, p := range problems {
		a.Note("%s", p)
	}
}
