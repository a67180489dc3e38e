package access

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/admin"
	"github.com/pawlhq/pawl/rest"
)

const tokenPlaces = places + "\nThe first administrator's token is made with --direct."

func (a *app) token() *cobra.Command {
	cmd := cli.Group("token", "Make, list and revoke the tokens that identify callers of the API")
	cmd.Long = cmd.Short + ".\n\n" + tokenPlaces
	cmd.Example = "  pawl token new rita --role reviewer --group finance --out rita.token\n  pawl token list"
	cmd.AddCommand(a.tokenNew(), a.tokenList(), a.tokenRevoke())
	return cmd
}

func (a *app) tokenNew() *cobra.Command {
	t := &admin.Target{App: a.App}
	var spec rest.TokenSpec
	var roles []string
	var kind, expires, out string
	cmd := &cobra.Command{
		Use:   "new SUBJECT",
		Short: "Make a token and show it once",
		Long: `Make a token and show it once: only its hash is kept.

SUBJECT is who it stands for: a person's name as reviewers know it, or an
agent's (agent:billing). Two tokens of one subject are one person, or one agent.
An agent needs an --owner: the person who is responsible for it, and so may not
approve what it asks for.

` + tokenPlaces,
		Example: `  pawl token new ana --role admin --direct --database-url postgres://p@db/pawl
  pawl token new rita --role reviewer --group finance --out rita.token
  pawl token new agent:billing --role agent --owner ana --expires 720h`,
		Args: cli.OneArg("SUBJECT", "whom does the token stand for?"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Subject, spec.Kind = args[0], rest.Kind(kind)
			for _, name := range roles {
				role, err := rest.ParseRole(name)
				if err != nil && strings.Contains(name, ",") {
					err = errors.New("--role takes one role; for more, repeat it: --role agent --role reviewer")
				}
				if err != nil {
					return cli.UsageError(err)
				}
				spec.Roles = append(spec.Roles, role)
			}
			if err := readExpiry(&spec, expires, time.Now()); err != nil {
				return cli.UsageError(err)
			}
			if _, err := auth.PrincipalOf(spec, time.Now()); err != nil {
				return cli.UsageError(err)
			}
			made := newToken{app: a, out: out}
			if err := made.reserve(); err != nil {
				return err
			}
			err := t.Use(cmd, func(ctx context.Context, on admin.Admin) (err error) {
				made.where = on.String()
				made.existing, _ = on.Tokens(ctx) // only for warnings
				made.text, made.Token, err = on.NewToken(ctx, spec)
				return err
			})
			return made.handOut(err)
		},
	}
	t.AddFlags(cmd, 0)
	f := cmd.Flags()
	f.StringArrayVar(&roles, "role", nil, "`role` it has: agent, reviewer, auditor or admin; repeatable")
	f.StringArrayVar(&spec.Groups, "group", nil, "`group` the reviewer is in; repeatable")
	f.StringVar(&spec.Owner, "owner", "", "`person` who is responsible for the agent")
	f.StringVar(&spec.Team, "team", "", "`team` it may start calls for")
	f.StringArrayVar(&spec.Agents, "agent", nil,
		"`name` of an agent it may start calls as (default any); repeatable")
	f.StringVar(&kind, "kind", "", "agent or person (default agent, if that is the only role)")
	f.StringVar(&spec.Note, "note", "", "`text` for those who list tokens")
	f.StringVar(&expires, "expires", "2160h", "how `long` it works, or never")
	f.StringVar(&out, "out", "", "new `file` to write it to, for its owner only, instead of showing it")
	return cmd
}

func readExpiry(spec *rest.TokenSpec, text string, now time.Time) error {
	if text == "never" {
		spec.NeverExpires = true
		return nil
	}
	d, err := approval.ParseDuration(text)
	if err != nil || d <= 0 {
		return errors.New(`--expires must be a length of time like "2160h" (90 days), or never`)
	}
	at := now.Add(d.Std())
	spec.ExpiresAt = &at
	return nil
}

type newToken struct {
	app   *app
	where string
	out   string
	file  *os.File // nil: shown

	existing []rest.Token // that there were

	text string
	rest.Token
}

// reserve makes the file first: a token that could not be written is lost.
func (n *newToken) reserve() (err error) {
	if n.out == "" {
		return nil
	}
	n.file, err = os.OpenFile(n.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: name another file, or remove it", n.out)
	}
	return err
}

// handOut hands the token out, or takes back what was reserved for it.
func (n *newToken) handOut(err error) error {
	if n.file != nil {
		if err == nil {
			_, err = n.file.WriteString(n.text + "\n")
		}
		if err = errors.Join(err, n.file.Close()); err != nil {
			err = errors.Join(err, os.Remove(n.out))
		}
	}
	if err != nil {
		if n.text != "" {
			err = fmt.Errorf("%w\nThe token %s may have been made: revoke it with 'pawl token revoke %s'",
				err, n.ID, n.ID)
		}
		return err
	}
	defer n.warn()
	if n.app.Output == cli.OutputJSON {
		shown := struct {
			Text string `json:"token,omitempty"`
			File string `json:"file,omitempty"`
			rest.Token
		}{n.text, n.out, n.Token}
		if n.file != nil {
			shown.Text = ""
		}
		return n.app.PrintValue(shown)
	}
	until := "for ever"
	if n.ExpiresAt != nil {
		until = "until " + cli.Timestamp(*n.ExpiresAt)
	}
	n.app.Note("token %s for %s (%s), %s, made %s", n.ID, n.Subject, strings.Join(n.Roles, ", "), until, n.where)
	if n.file != nil {
		n.app.Note("written to %s", n.out)
		return nil
	}
	n.app.Note("It is shown only once. Its owner sets PAWL_TOKEN, or puts it into a file for PAWL_TOKEN_FILE:")
	return n.app.Print(n.text + "\n")
}

// warn warns of what the token's maker may not have meant, and where it makes one of two that they
// may take for different: whoever asks can't approve, and one person's approvals count once.
func (n *newToken) warn() {
	for _, text := range auth.Warnings(n.Token) {
		n.app.Note("warning: %s", text)
	}
	said := map[string]bool{}
	for _, t := range n.existing {
		if !approval.SamePerson(t.Subject, n.Subject) || !t.Live(n.app.Now()) {
			continue
		}
		text := ""
		switch {
		case t.Kind != n.Kind:
			text = fmt.Sprintf("warning: %s (%s) has tokens, too, and counts as the same as %s (%s): "+
				"what one of them asks for, the other can't approve",
				cli.Cell(t.Subject, 80), t.Kind, cli.Cell(n.Subject, 80), n.Kind)
		case t.Subject != n.Subject:
			text = fmt.Sprintf("warning: %s has tokens, too, and counts as the same as %s: "+
				"names that differ in case only are one approver",
				cli.Cell(t.Subject, 80), cli.Cell(n.Subject, 80))
		}
		if text != "" && !said[text] {
			said[text] = true
			n.app.Note("%s", text)
		}
	}
}

func (a *app) tokenList() *cobra.Command {
	cmd := &cobra.Command{
		Short: "List tokens, newest first, without their secrets",
		Long:  "List tokens, newest first, without their secrets.\n\n" + tokenPlaces,
		Example: `  pawl token list
  pawl token list --direct --database-url postgres://pawl@db:5432/pawl -o json`,
	}
	return listCommand(a, cmd, admin.Admin.Tokens, cli.Listing[rest.Token]{
		Empty:  "there are no tokens yet",
		Header: []string{"ID", "SUBJECT", "ROLES", "GROUPS", "TEAM", "OWNER", "STATE", "EXPIRES", "NOTE"},
		Row:    a.tokenRow,
	})
}

func (a *app) tokenRow(t rest.Token) []string {
	state, until := "works", "never"
	if t.ExpiresAt != nil {
		until = cli.Timestamp(*t.ExpiresAt)
	}
	switch {
	case t.RevokedAt != nil:
		state = "revoked"
	case !t.Live(a.Now()):
		state = "expired"
	}
	return []string{
		cli.Cell(t.ID, 20), cli.Cell(t.Subject, 30), cli.Cell(strings.Join(t.Roles, ","), 40),
		cli.Cell(strings.Join(t.Groups, ","), 40), cli.Cell(t.Team, 20), cli.Cell(t.Owner, 30),
		state, until, cli.Cell(t.Note, 40),
	}
}

func (a *app) tokenRevoke() *cobra.Command {
	t := &admin.Target{App: a.App}
	cmd := &cobra.Command{
		Use:   "revoke ID…",
		Short: "Revoke tokens: they stop working at once, everywhere",
		Long: `Revoke tokens by their IDs, which 'pawl token list' shows, or by an unambiguous
beginning of four characters or more: they stop working at once, everywhere, and
for good.

` + tokenPlaces,
		Example: `  pawl token revoke 4oYx0dQ8m2Kc
  pawl token revoke 4oYx0dQ8m2Kc --direct --database-url postgres://pawl@db/pawl`,
		Args: cobra.MatchAll(cli.SomeArgs("ID", "which token? 'pawl token list' lists them"), refuseTokens),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return t.Use(cmd, func(ctx context.Context, on admin.Admin) error {
				all, _ := on.Tokens(ctx) // only for a warning, and for the beginnings of IDs
				return a.revoke(ids, all, func(id string) (rest.Token, error) { return on.RevokeToken(ctx, id) })
			})
		},
	}
	t.AddFlags(cmd, 0)
	return cmd
}

func refuseTokens(_ *cobra.Command, args []string) error {
	for _, id := range args {
		if _, whole := auth.TokenID(id); whole || strings.HasPrefix(id, "pawl_") {
			return errors.New("that is a token, not its ID: never write a token into a command line. " +
				"Its ID is the part between the second _ and the third")
		}
	}
	return nil
}

// leastTokenID is how many characters of an ID revoking needs, because it is for good.
const leastTokenID = 4

// wholeTokenID returns the ID that begins so. What begins none, or is too short to go by, stays as
// it is, for whoever revokes to refuse.
func wholeTokenID(id string, all []rest.Token) (string, error) {
	var fits []string
	for _, t := range all {
		if t.ID == id {
			return id, nil
		}
		if strings.HasPrefix(t.ID, id) {
			fits = append(fits, t.ID)
		}
	}
	switch {
	case len(fits) == 0 || len(id) < leastTokenID:
		return id, nil
	case len(fits) > 1:
		return "", errors.New("several tokens have IDs that begin like this; give more of it")
	}
	return fits[0], nil
}

// revoke takes IDs, or the beginnings of those of all tokens. It warns where none is left of the
// administrators' tokens that worked before.
func (a *app) revoke(ids []string, all []rest.Token, revoke func(id string) (rest.Token, error)) error {
	one := func(id string) (t rest.Token, err error) {
		if id, err = wholeTokenID(id, all); err != nil {
			return t, err
		}
		return revoke(id)
	}
	admins := admin.LiveAdmins(all)
	revoked, err := endEach(a, ids, one, func(t rest.Token) string {
		return fmt.Sprintf("revoked: %s (%s)\n", cli.Cell(t.ID, 20), cli.Cell(t.Subject, 80))
	}, "revoked")
	left := slices.DeleteFunc(admins, func(x rest.Token) bool {
		return slices.ContainsFunc(revoked, func(t rest.Token) bool { return t.ID == x.ID })
	})
	if len(admins) > 0 && len(left) == 0 {
		a.Note("warning: no administrator's token works now. With access to the database, make one: " +
			"'pawl token new YOU --role admin --direct'; a dev stack makes one when it starts")
	}
	return err
}
