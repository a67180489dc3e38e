package hooks

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
func (a *app) named(cmd *cobra.Command, c *client.Client, me rest.Principal) (*client.Client, error) {
	name := cmp.Or(a.Getenv("USER"), a.Getenv("USERNAME"))
	if me.Method != rest.MethodNone || a.Setting(cmd, "as") != "" || name == "" {
		return c, nil
	}
	if err := cmd.Flag("as").Value.Set(name); err != nil {
		return nil, err
	}
	cmd.Flag("as").Changed = true
	return a.Client(cmd)
}

// layerAt is where the layer is in a policy, or -1.
func layerAt(p rest.ActivePolicy) int {
	return slices.IndexFunc(p.Layers, func(l rest.PolicyLayer) bool {
		return l.Name == layer+".yaml" || l.Name == layer
	})
}

// followed reports whether the policy comes from files that a process applies again whenever they change,
// without anything that was added by the API. Workers take theirs for a store that has no policy only.
func followed(p rest.ActivePolicy) bool { return p.Channel == "file" && p.By != "pawl worker" }

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// changePolicy gives the active policy the layers that with says, unless those are nil, and reports whether
// it did.
func changePolicy(
	ctx context.Context, c *client.Client, note string, dryRun bool,
	with func(rest.ActivePolicy) ([]rest.PolicyLayer, error),
) (changed bool, err error) {
	const tries = 3 // somebody else may apply another policy at the same time
	for try := 1; ; try++ {
		active, err := c.Policy(ctx)
		if err != nil {
			return false, err
		}
		layers, err := with(active)
		if layers == nil || err != nil {
			return false, err
		}
		to := rest.PolicyChange{Layers: layers, Expect: &active.Version, Note: note}
		if dryRun {
			_, err = c.TryPolicy(ctx, to)
		} else {
			_, err = c.ApplyPolicy(ctx, to)
		}
		if approval.CodeOf(err) != rest.CodePolicyChanged || try == tries {
			return err == nil, err
		}
	}
}

// policy adds the ready layer to the active policy, unless it has one of that name. Whatever keeps it from
// that, or from lasting, is an error: without the layer everything may wait for people.
func (i *install) policy(ctx context.Context, c *client.Client) error {
	fromFiles := false
	before, err := readRecord()
	if err != nil {
		return err
	}
	added, err := changePolicy(ctx, c, "pawl hook claude-code install", i.dryRun,
		func(active rest.ActivePolicy) ([]rest.PolicyLayer, error) {
			fromFiles = followed(active)
			if layerAt(active) >= 0 {
				return nil, nil
			}
			own := rest.PolicyLayer{Name: layer + ".yaml", Text: ready.CodingAgent}
			// After a crash uninstall knows the layer, added or not.
			noted := i.noteLayer(c.URL(), sumOf(ready.CodingAgent), fromFiles)
			return append(slices.Clone(active.Layers), own), noted
		})
	switch {
	case err == nil && i.dryRun && added:
		return i.Print("The layer " + layer + " would be added to the active policy.\n")
	case err == nil:
		return i.lasts(c.URL(), added, fromFiles)
	}
	if e, ok := errors.AsType[*client.Error](err); ok && e.HTTPStatus < 500 { // it was surely not added
		k := before.APIs[c.URL()]
		err = errors.Join(err, i.noteLayer(c.URL(), k.Layer, k.Followed))
	}
	const without = "WITHOUT THE LAYER " + layer + " EVERYTHING MAY WAIT FOR PEOPLE"
	if approval.CodeOf(err) == rest.CodeReviewerRequired {
		return fmt.Errorf("the policy was not changed, as it is unknown who you are.\n%s.\n"+
			"Run this again with --as YOUR-NAME", without)
	}
	return fmt.Errorf("the policy was not changed: %w\n%s.\nAn administrator adds it to the active layers by\n"+
		"  pawl hook claude-code install --policy-only --api %s", err, without, quote(c.URL()))
}

// noteLayer notes the layer that install adds, and whether files that a process follows will replace it.
func (i *install) noteLayer(api, sum string, fromFiles bool) error {
	if i.dryRun {
		return nil
	}
	return changeRecord(func(r *record) {
		k := r.APIs[api]
		k.Layer, k.Followed = sum, fromFiles
		r.APIs[api] = k
	})
}

// lasts says whether the layer, which is there, lasts. A process that follows files applies them again
// when they change and when it starts, and only whoever started it can give it one more.
func (i *install) lasts(api string, added, fromFiles bool) error {
	said := "The active policy has the layer " + layer + " already.\n"
	if added {
		said = "The layer " + layer + " was added to the active policy.\n"
	}
	r, err := readRecord()
	k := r.APIs[api]
	switch {
	case err != nil:
		return err
	case !added && fromFiles && k.Followed: // the files have it
		k.Followed = false
		err = i.noteLayer(api, k.Layer, false)
	}
	if err = errors.Join(err, i.Print(said)); err != nil || !k.Followed {
		return err
	}
	file, err := i.keepLayer()
	if err != nil {
		return fmt.Errorf("THE LAYER %s WILL BE LOST, as the policy comes from files that a\n"+
			"process follows, and it was not written for that: %w", layer, err)
	}
	return fmt.Errorf("THE LAYER %s WILL BE LOST. The policy comes from files that a\n"+
		"process follows, as pawl-dev does: they replace it when they change, and when\n"+
		"that process starts. Give it this file, too, beside the others, with --policy or\n"+
		"in policy: of its temporal-dev.yaml, and run this again:\n  %s", layer, file)
}

func layerFile() (string, error) { return ownDir(layer + ".yaml") }

// keepLayer writes the layer to a file of the user's. One that is there may be edited: it stays.
func (i *install) keepLayer() (string, error) {
	file, err := layerFile()
	if err != nil || i.dryRun {
		return file, err
	}
	switch text, err := os.ReadFile(file); {
	case err == nil && string(text) != ready.CodingAgent:
		i.Note("This file stays as it is, as it is not the layer of this Pawl:\n  %s", file)
		return file, nil
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return file, err
	}
	if err := osfile.PrivateDir(filepath.Dir(file)); err != nil {
		return "", err
	}
	return file, osfile.Replace(file, []byte(ready.CodingAgent), 0o600)
}
