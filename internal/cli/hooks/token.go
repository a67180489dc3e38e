package hooks

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/osfile"
	"github.com/pawlhq/pawl/rest"
)

// endsSoon is how long before its end a token is renewed: they last for 90 days.
const endsSoon = 14 * 24 * time.Hour

// tokenFile is where this user's agent has its token for one API, and what is noted about that. Its name
// says which API, so another is never shown it, whatever address the settings of a project name.
func tokenFile(api string) (path string, k kept, err error) {
	r, err := readRecord()
	if k = r.APIs[api]; err != nil || k.Token != "" {
		return k.Token, k, err
	}
	sum := sha256.Sum256([]byte(api))
	name := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:12])
	path, err = ownDir("claude-" + name + ".token")
	return path, k, err
}

// note has the hook show a token to the API that has taken it. id is that of one that was made here.
func note(api, path, id string) error {
	return changeRecord(func(r *record) {
		k := r.APIs[api]
		k.Token, k.TokenID = path, id
		r.APIs[api] = k
	})
}

// token is the file with the agent's token; none where the API knows nobody.
func (i *install) token(ctx context.Context, c *client.Client, me rest.Principal) (string, error) {
	path, k, err := tokenFile(c.URL())
	switch {
	case err != nil:
		return "", err
	case i.agentToken != "" && i.project:
		return "", fmt.Errorf("a project's settings are shared, and name no file of one machine.\n"+
			"Leave out --agent-token-file, and have the agent's token in\n  %s", path)
	case i.agentToken != "":
		if path, err = filepath.Abs(i.agentToken); err != nil {
			return "", err
		}
		if me.Method == rest.MethodNone {
			_, err = os.Stat(path)
			return path, err
		}
	case me.Method == rest.MethodNone:
		return "", nil
	}
	held, err := holder(ctx, c.URL(), path)
	refused := isStatus(err, http.StatusUnauthorized)
	soon := err == nil && !held.Expires.IsZero() && held.Expires.Sub(i.Now()) < endsSoon
	mayMake := slices.Contains(me.Roles, rest.RoleAdmin) && i.agentToken == ""
	switch {
	case err == nil && (!soon || !mayMake):
		if soon {
			i.Note("warning: the agent's token ends %s. Have an administrator make a new one:\n%s",
				cli.Timestamp(held.Expires), tokenCommand(me.Subject, path))
		}
		if k.Token != "" && held.TokenID == k.TokenID || i.dryRun || i.agentToken != "" {
			return path, nil
		}
		return path, note(c.URL(), path, "") // somebody else has made it
	case err != nil && !refused && !errors.Is(err, fs.ErrNotExist), i.agentToken != "":
		return "", fmt.Errorf("the agent's token can't be used:\n  %s\n%w", path, err)
	case !mayMake:
		why := "The agent needs a token, and you may make none."
		if refused {
			why = fmt.Sprintf("The agent's token is refused, and you may make none: %v", err)
		}
		return "", fmt.Errorf("%s\nHave an administrator run\n%sand run this again", why,
			tokenCommand(me.Subject, path))
	}
	if i.dryRun {
		return path, i.Print("A token for the agent would be written to\n  " + approval.Display(path, 0) + "\n")
	}
	if err := i.makeToken(ctx, c, me, path, k); err != nil {
		return "", err
	}
	lost := errors.Is(err, fs.ErrNotExist)
	// install made it, and nothing else has it
	if k.TokenID != "" && (lost || soon && held.TokenID == k.TokenID) {
		if _, err := c.RevokeToken(ctx, k.TokenID); err != nil && !isStatus(err, http.StatusNotFound) {
			i.Note("warning: the token before this one works until its end: %v", err)
		}
	}
	return path, i.Print("The agent's token is in\n  " + approval.Display(path, 0) + "\n")
}

// tokenCommand is what an administrator runs for the agent's token.
func tokenCommand(owner, path string) string {
	return fmt.Sprintf("  pawl token new %s --role agent --agent %s \\\n    --owner %s --out TOKEN-FILE\n"+
		"Then have that file as\n  %s\n", quote(subject(owner)), agent, quote(owner), path)
}

func subject(owner string) string { return agent + ":" + owner }

// makeToken notes the token before it is in its file: after a crash uninstall knows which to revoke.
func (i *install) makeToken(
	ctx context.Context, c *client.Client, me rest.Principal, path string, before kept,
) error {
	text, made, err := c.NewToken(ctx, rest.TokenSpec{
		Subject: subject(me.Subject), Kind: rest.KindAgent, Owner: me.Subject,
		Roles: []rest.Role{rest.RoleAgent}, Agents: []string{agent}, Note: "pawl hook claude-code install",
	})
	if err != nil {
		return fmt.Errorf("the agent's token was not made: %w", err)
	}
	err = note(c.URL(), path, made.ID)
	if err == nil {
		err = osfile.PrivateDir(filepath.Dir(path))
	}
	if err == nil {
		err = osfile.Replace(path, []byte(text+"\n"), 0o600)
	}
	if err != nil {
		_, revoked := c.RevokeToken(ctx, made.ID)
		err = errors.Join(err, revoked, note(c.URL(), before.Token, before.TokenID))
	}
	return err
}

// holder is whom the token in a file stands for, which must be an agent that may ask in this one's name.
func holder(ctx context.Context, api, path string) (p rest.Principal, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	c, err := client.New(client.Options{URL: api, Token: cmp.Or(strings.TrimSpace(string(text)), "none")})
	if err != nil {
		return p, err
	}
	p, err = c.Whoami(ctx)
	switch {
	case err != nil:
	case !slices.Contains(p.Roles, rest.RoleAgent):
		err = fmt.Errorf("it is no agent's, but %s's", approval.Display(p.Subject, 80))
	case len(p.Agents) > 0 && !slices.Contains(p.Agents, agent):
		err = fmt.Errorf("it is not for the agent %s", agent)
	}
	return p, err
}

func isStatus(err error, status int) bool {
	e, ok := errors.AsType[*client.Error](err)
	return ok && e.HTTPStatus == status
}
