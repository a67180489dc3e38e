package hooks

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/examples/policy/ready"
	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/rest"
)

// agent is the agent's name in the ready policy, and layer that policy's.
const (
	agent = "claude-code"
	layer = "coding-agent"
)

// named is a client for one who says who they are, as an API wants it that knows nobody.
func (i *install) named(cmd *cobra.Command, c *client.Client, me rest.Principal) (*client.Client, error) {
	name := cmp.Or(i.Getenv("USER"), i.Getenv("USERNAME"))
	if me.Method != rest.MethodNone || i.Setting(cmd, "as") != "" || name == "" {
		return c, nil
	}
	if err := cmd.Flag("as").Value.Set(name); err != nil {
		return nil, err
	}
	cmd.Flag("as").Changed = true
	return i.Client(cmd)
}

// policy adds the ready layer to the active policy, unless it has one of that name.
func (i *install) policy(ctx context.Context, c *client.Client) error {
	const tries = 3 // somebody else may apply another policy at the same time
	for try := 1; ; try++ {
		active, err := c.Policy(ctx)
		if err == nil && slices.ContainsFunc(active.Layers, func(l rest.PolicyLayer) bool {
			return l.Name == layer+".yaml" || l.Name == layer
		}) {
			return i.Print("The active policy has the layer " + layer + " already.\n")
		}
		own := rest.PolicyLayer{Name: layer + ".yaml", Text: ready.CodingAgent}
		change := rest.PolicyChange{
			Layers: append(slices.Clone(active.Layers), own),
			Expect: &active.Version, Note: "pawl hook claude-code install",
		}
		switch {
		case err != nil:
		case i.dryRun:
			_, err = c.TryPolicy(ctx, change)
		default:
			_, err = c.ApplyPolicy(ctx, change)
		}
		var refused *client.Error
		switch errors.As(err, &refused); {
		case err == nil && i.dryRun:
			return i.Print("The layer " + layer + " would be added to the active policy.\n")
		case err == nil:
			return i.added(active)
		case refused != nil && refused.Code == rest.CodePolicyChanged && try < tries:
			continue
		case refused != nil && refused.Code == rest.CodeReviewerRequired:
			i.Note("The policy was not changed, as it is unknown who you are: run this again with\n"+
				"--as YOUR-NAME. Without the layer %s everything may wait for people.", layer)
			return nil
		}
		file, kept := i.keepLayer()
		if kept != nil {
			return errors.Join(err, kept)
		}
		i.Note("The policy was not changed:\n  %v\nWithout the layer %s everything may wait for people. "+
			"Have an\nadministrator apply it beside the layers that are active:\n"+
			"  'pawl policy apply LAYERS…' with\n  %s", err, layer, file)
		return nil
	}
}

// added says what was done. A process that was started with policy files loads them again when they
// change, without this layer.
func (i *install) added(before rest.ActivePolicy) error {
	text := "The layer " + layer + " was added to the active policy.\n"
	if before.Channel == "file" {
		file, err := i.keepLayer()
		if err != nil {
			return err
		}
		text += "The policy before came from files. Give this one with --policy, too, or it is\n" +
			"lost when they change:\n  " + approval.Display(file, 0) + "\n"
	}
	return i.Print(text)
}

// keepLayer writes the layer to a file of the user's.
func (i *install) keepLayer() (string, error) {
	file, err := ownDir(layer + ".yaml")
	if err != nil || i.dryRun {
		return file, err
	}
	if err := osfile.PrivateDir(filepath.Dir(file)); err != nil {
		return "", err
	}
	return file, osfile.Replace(file, []byte(ready.CodingAgent), 0o600)
}
