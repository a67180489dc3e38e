package hooks

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	udiff "github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/examples/policy/ready"
	"github.com/pawlhq/pawl/hook"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

type uninstall struct {
	*app
	place
	yes        bool
	policyOnly bool
}

func (a *app) uninstall() *cobra.Command {
	u := &uninstall{app: a}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take out what install has put in",
		Long: `Take out of Claude Code's settings what 'pawl hook claude-code install' has put
there, and nothing else. Restart Claude Code afterwards.

Unless other settings of yours have the hook, too, this also revokes the token
that install made for the agent, and takes the layer coding-agent, if install
added it and nobody has changed it, out of the active policy: it shows that, and
asks first. What it can't undo now it names; run it again then.`,
		Example: `  pawl hook claude-code uninstall
  pawl hook claude-code uninstall --project
  pawl hook claude-code uninstall --yes`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return u.run(cmd) },
	}
	u.addFlags(cmd)
	cmd.Flags().BoolVar(&u.yes, "yes", false, "take the layer out of the active policy without asking")
	cmd.Flags().BoolVar(&u.policyOnly, "policy-only", false,
		"only take out the layer, as it came with this Pawl, whoever added it")
	return cmd
}

// run begins with the settings, which must not need Pawl: it may be down for good.
func (u *uninstall) run(cmd *cobra.Command) error {
	u.config = u.Getenv("CLAUDE_CONFIG_DIR")
	if u.policyOnly {
		c, err := u.Client(cmd)
		if err != nil {
			return err
		}
		return u.takeBack(cmd, c, kept{Layer: sumOf(ready.CodingAgent)})
	}
	if err := u.edit(u.App, hook.Uninstall); err != nil {
		return err
	}
	r, err := u.left()
	if err != nil || len(r.APIs) == 0 {
		return err
	}
	if len(r.Settings) > 0 {
		return u.Print("The agent's token and the policy's layer stay, as these settings need them:\n  " +
			approval.DisplayLines(strings.Join(r.Settings, "\n  "), 0) + "\n")
	}
	apis := slices.Sorted(maps.Keys(r.APIs))
	if u.Setting(cmd, "api") == "" && len(apis) == 1 {
		if err := cmd.Flag("api").Value.Set(apis[0]); err != nil {
			return err
		}
		cmd.Flag("api").Changed = true
	}
	c, err := u.Client(cmd)
	if err != nil {
		return fmt.Errorf("%w:\n%w", errStays, err)
	}
	if k, ok := r.APIs[c.URL()]; ok {
		err = u.takeBack(cmd, c, k)
	}
	for _, api := range apis {
		if api != c.URL() {
			u.Note("what install has done there stays; run this again with\n  --api %s", api)
		}
	}
	return err
}

var errStays = errors.New("what install has done at Pawl stays, until this is run again")

// left is what install has done beside these settings. Of others only those count that still have the hook,
// or may have it, as nobody can read them.
func (u *uninstall) left() (record, error) {
	file, wrong := u.file()
	r, err := readRecord()
	if err = errors.Join(wrong, err); err != nil {
		return r, err
	}
	before := len(r.Settings)
	without := func(name string) bool {
		if name == file && u.dryRun {
			return true
		}
		doc, err := os.ReadFile(name)
		return errors.Is(err, fs.ErrNotExist) || err == nil && json.Valid(doc) && !hook.Installed(doc)
	}
	r.Settings = slices.DeleteFunc(r.Settings, without)
	if !u.dryRun && len(r.Settings) < before {
		err = changeRecord(func(now *record) { now.Settings = slices.DeleteFunc(now.Settings, without) })
	}
	return r, err
}

// takeBack undoes what install has done at an API.
func (u *uninstall) takeBack(cmd *cobra.Command, c *client.Client, k kept) error {
	if k.Layer == "" && k.TokenID == "" {
		return u.token(cmd.Context(), c, k)
	}
	me, err := c.Whoami(cmd.Context())
	if err == nil {
		c, err = u.named(cmd, c, me)
	}
	if err != nil {
		return fmt.Errorf("%w:\n%w", errStays, err)
	}
	return errors.Join(u.layer(cmd.Context(), c, k.Layer), u.token(cmd.Context(), c, k))
}

func (u *uninstall) forget(api string, what func(*kept)) error {
	if u.dryRun {
		return nil
	}
	return changeRecord(func(r *record) {
		k := r.APIs[api]
		what(&k)
		r.APIs[api] = k
	})
}

// token revokes the token that install has made, and removes its file, unless that holds another one now.
func (u *uninstall) token(ctx context.Context, c *client.Client, k kept) error {
	stays := func() error {
		return errors.Join(u.forget(c.URL(), func(k *kept) { k.Token, k.TokenID = "", "" }),
			u.Print("The agent's token stays, as somebody else has made it:\n  "+approval.Display(k.Token, 0)+"\n"))
	}
	switch {
	case k.Token == "":
		return nil
	case k.TokenID == "":
		return stays()
	case u.dryRun:
		return u.Print("The agent's token would be revoked, and its file removed:\n  " +
			approval.Display(k.Token, 0) + "\n")
	}
	held, wrong := holder(ctx, c.URL(), k.Token)
	if _, err := c.RevokeToken(ctx, k.TokenID); err != nil && !isStatus(err, http.StatusNotFound) {
		return fmt.Errorf("the agent's token stays: %w\nAn administrator revokes it by\n"+
			"  pawl token revoke %s --api %s", err, k.TokenID, quote(c.URL()))
	}
	if wrong == nil && held.TokenID != k.TokenID {
		return stays()
	}
	if err := os.Remove(k.Token); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the agent's token was revoked, and its file stays: %w", err)
	}
	return errors.Join(u.forget(c.URL(), func(k *kept) { k.Token, k.TokenID = "", "" }),
		u.Print("The agent's token was revoked, and its file removed:\n  "+approval.Display(k.Token, 0)+"\n"))
}

// layer takes the ready layer out of the active policy, if it is as install has added it. In doubt it stays:
// its rules may be all that keeps the agent from something.
func (u *uninstall) layer(ctx context.Context, c *client.Client, sum string) error {
	if sum == "" {
		return nil
	}
	stays, sure := "", u.yes
	gone, err := changePolicy(ctx, c, "pawl hook claude-code uninstall", u.dryRun,
		func(active rest.ActivePolicy) ([]rest.PolicyLayer, error) {
			at := layerAt(active)
			switch {
			case at < 0:
				return nil, nil
			case sumOf(active.Layers[at].Text) != sum:
				stays = "somebody has changed it"
			case followed(active):
				stays = "it comes from files that a process follows: take it out of these"
			case len(active.Layers) == 1:
				stays = "it is the only one, and a policy has one at least"
			}
			if stays != "" {
				return nil, nil
			}
			l := active.Layers[at]
			if sure || u.dryRun {
				return slices.Delete(slices.Clone(active.Layers), at, at+1), nil
			}
			shown := approval.DisplayLines(udiff.Unified(l.Name, l.Name+" (gone)", l.Text, ""), 0)
			question := "\nThat is for everybody who uses this Pawl: the other layers alone judge their agents\n" +
				"then. Take this one out of the active policy? [y/N] "
			var err error
			if sure, err = u.confirm(ctx, shown+question); err != nil || !sure {
				stays = "you did not say yes"
				return nil, err
			}
			return slices.Delete(slices.Clone(active.Layers), at, at+1), nil
		})
	const everybody = "for everybody who uses this Pawl.\n"
	const how = "'pawl policy show' shows the policy, and 'pawl policy apply' replaces it."
	switch {
	case err != nil:
		return fmt.Errorf("the policy's layer %s stays: %w\nAn administrator takes it out by\n"+
			"  pawl hook claude-code uninstall --policy-only --api %s", layer, err, quote(c.URL()))
	case stays != "":
		return u.Say(fmt.Sprintf("The policy's layer %s stays: %s.\n%s\n", layer, stays, how))
	case gone && u.dryRun:
		return u.Print("The layer " + layer + " would be taken out of the active policy,\n" + everybody)
	case gone:
		err = u.Print("The layer " + layer + " was taken out of the active policy,\n" + everybody)
	default:
		err = u.Print("The active policy has no layer " + layer + ".\n")
	}
	if file, wrong := layerFile(); wrong == nil {
		if _, wrong = os.Stat(file); wrong == nil {
			err = errors.Join(err, u.Print("This file stays, for the process that follows it, if one does:\n  "+
				approval.Display(file, 0)+"\n"))
		}
	}
	return errors.Join(err, u.forget(c.URL(), func(k *kept) { k.Layer, k.Followed = "", false }))
}

// confirm asks a person.
func (u *uninstall) confirm(ctx context.Context, question string) (sure bool, err error) {
	if err := u.Print(question); err != nil {
		return false, err
	}
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(u.Stdin).ReadString('\n') // what ends without one is no answer
		answer <- line
	}()
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case line := <-answer:
		if line == "" {
			return false, errors.New("nobody can be asked here: look at it, then add --yes")
		}
		return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line))), nil
	}
}
