// Package admin administers Pawl: by the API, or directly on the store where no API runs, or none
// that may write.
package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// AdviceFirstToken says how to make the first administrator's token.
const AdviceFirstToken = "make the first one in the store itself: pawl token new YOU --role admin --direct"

// Admin administers one Pawl. What is refused is a *client.Error either way.
type Admin interface {
	// String says where it works, to go on after "made".
	fmt.Stringer
	Tokens(context.Context) ([]rest.Token, error)
	// NewToken also returns the token that could not be stored, or of which that is not known.
	NewToken(context.Context, rest.TokenSpec) (text string, t rest.Token, err error)
	RevokeToken(ctx context.Context, id string) (rest.Token, error)
	Keys(context.Context) ([]rest.SigningKey, error)
	RotateKey(ctx context.Context, revokeOld bool) (rest.Rotated, error)
	EndKey(ctx context.Context, id string, revoke bool) (rest.SigningKey, error)
	Policy(context.Context) (rest.ActivePolicy, error)
	TryPolicy(context.Context, rest.PolicyChange) (rest.PolicyTrial, error)
	ApplyPolicy(context.Context, rest.PolicyChange) (rest.AppliedPolicy, error)
	Entries(context.Context, client.EntryQuery) (client.Page[rest.Entry], error)
}

// Target says what a command administers.
type Target struct {
	cli.Config
	App    *cli.App
	Direct bool   // the store itself
	By     string // who administers the store; empty: the user of the operating system
}

// AddFlags adds the flags that say what is administered, and those of more settings.
func (t *Target) AddFlags(cmd *cobra.Command, more settings.Command) {
	t.AddStoreFlags(cmd, more)
	cmd.Flags().BoolVar(&t.Direct, "direct", false, "use the store itself instead of asking the API")
}

// AddStoreFlags adds the flags of a command that always uses the store itself.
func (t *Target) AddStoreFlags(cmd *cobra.Command, more settings.Command) {
	t.Config.AddFlags(cmd, settings.Direct|more)
	settings.Default(cmd.Flags(), "log-level", "warn")
}

// Use lets do administer what the command's flags name.
func (t *Target) Use(cmd *cobra.Command, do func(context.Context, Admin) error) error {
	if t.Direct {
		return t.UseStore(cmd, func(ctx context.Context, s *Store) error { return do(ctx, s) })
	}
	if cmd.Flag("database-url").Changed {
		return cli.UsageError(errors.New("--database-url is for --direct; the API is named by --api"))
	}
	c, err := t.App.Client(cmd)
	if err != nil {
		return err
	}
	return do(cmd.Context(), byAPI{c})
}

// UseStore lets do administer the store itself.
func (t *Target) UseStore(cmd *cobra.Command, do func(context.Context, *Store) error) (err error) {
	if err := t.Read(t.App, cmd); err != nil {
		return err
	}
	if err := t.Database.Validate(); err != nil {
		return cli.UsageError(err)
	}
	opened, err := t.Database.OpenExisting(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	s := &Store{store: opened, where: t.Database.String(), keyFile: t.SigningKey, by: cmp.Or(t.By, operator())}
	return do(cmd.Context(), s)
}

// operator names who works on the database itself.
func operator() string {
	name := "database"
	if u, err := user.Current(); err == nil && approval.CheckName("user", u.Username) == nil {
		name += ":" + u.Username
	}
	return name
}

// LiveAdmins returns the administrators' tokens that are valid now.
func LiveAdmins(tokens []rest.Token) []rest.Token {
	return slices.DeleteFunc(slices.Clone(tokens), func(t rest.Token) bool {
		return !t.Has(rest.RoleAdmin) || !t.Live(time.Now())
	})
}

type byAPI struct{ *client.Client }

func (a byAPI) String() string { return "by the API at " + a.URL() }

func (a byAPI) Tokens(ctx context.Context) ([]rest.Token, error) {
	page, err := a.Client.Tokens(ctx)
	return page.Items, err
}

func (a byAPI) Keys(ctx context.Context) ([]rest.SigningKey, error) {
	page, err := a.Client.Keys(ctx)
	return page.Items, err
}

func (a byAPI) RotateKey(ctx context.Context, revokeOld bool) (rest.Rotated, error) {
	r, err := a.Client.RotateKey(ctx, revokeOld)
	if silent, ok := errors.AsType[*client.UnreachableError](err); ok && silent.Sent {
		// The next rotation would end the new key, not the one that was meant.
		err = fmt.Errorf("%w\nThe key may have been replaced anyway, and the old one may still be trusted: "+
			"'pawl key list' shows it, and 'pawl key retire' or 'pawl key revoke' ends it", err)
	}
	return r, err
}

// Store administers a store without an API between, and answers as the API does.
type Store struct {
	store   store.Store
	where   string
	keyFile string // of the API's signing key
	by      string
}

func (s *Store) String() string { return "in " + s.where }

// direct is how who uses a Store acts, for the record.
var direct = approval.Via{Channel: "direct"}

func (s *Store) Tokens(ctx context.Context) ([]rest.Token, error) { return Tokens(ctx, s.store) }

// Tokens reads all tokens out of a store.
func Tokens(ctx context.Context, s store.TokenReader) (tokens []rest.Token, err error) {
	kept, err := allPages(ctx, s.Tokens)
	for _, t := range kept {
		tokens = append(tokens, t.Token)
	}
	return tokens, err
}

func (s *Store) NewToken(ctx context.Context, spec rest.TokenSpec) (string, rest.Token, error) {
	text, t, err := auth.Issue(spec, s.by, time.Now())
	if err != nil {
		return "", rest.Token{}, err
	}
	t.Via = direct
	return text, t.Token, s.store.AddToken(ctx, t)
}

func (s *Store) RevokeToken(ctx context.Context, id string) (rest.Token, error) {
	t, _, err := s.store.RevokeToken(ctx, store.RevokeParams{ID: id, By: s.by, Via: direct, At: time.Now()})
	return t.Token, err
}

func (s *Store) Keys(ctx context.Context) ([]rest.SigningKey, error) {
	return allPages(ctx, s.store.SigningKeys)
}

func (s *Store) AddKey(ctx context.Context, file string) (rest.SigningKey, error) {
	signer, err := s.signer(ctx, file)
	if err != nil {
		return rest.SigningKey{}, err
	}
	keys, err := s.store.TrustedKeys(ctx, signer.KeyID())
	if err != nil || len(keys) == 0 {
		return rest.SigningKey{}, errors.Join(err, errors.New("the key was revoked meanwhile"))
	}
	return keys[0], nil
}

func (s *Store) RotateKey(ctx context.Context, revokeOld bool) (rest.Rotated, error) {
	signer, err := s.signer(ctx, s.keyFile)
	if err != nil {
		return rest.Rotated{}, err
	}
	return signer.Rotate(ctx, s.by, direct, revokeOld)
}

func (s *Store) signer(ctx context.Context, file string) (*auth.Signer, error) {
	return auth.OpenSigner(ctx, auth.SignerOptions{File: file, Store: s.store, By: s.by, Via: direct})
}

func (s *Store) EndKey(ctx context.Context, id string, revoke bool) (rest.SigningKey, error) {
	k, _, err := s.store.EndKey(ctx, store.EndKeyParams{ID: id, By: s.by, Via: direct, Revoke: revoke, At: time.Now()})
	return k, err
}

// ForgetTools takes tools out of the catalogue, and returns those that were there.
func (s *Store) ForgetTools(ctx context.Context, names ...string) ([]string, error) {
	return s.store.ForgetTools(ctx, names...)
}

// Entries returns one page, of each entry its kind, time and payload.
func (s *Store) Entries(ctx context.Context, q client.EntryQuery) (page client.Page[rest.Entry], err error) {
	found, err := s.store.Entries(ctx, store.EntryQuery{
		Kind: audit.Kind(q.Kind), Since: q.Since, Cursor: q.Cursor, Limit: q.Limit,
	})
	for _, e := range found.Items {
		page.Items = append(page.Items, rest.Entry{Kind: q.Kind, At: e.At, Payload: e.Payload})
	}
	page.Next = found.Next
	return page, err
}

func (s *Store) Policy(ctx context.Context) (rest.ActivePolicy, error) {
	return active.Current(ctx, s.store)
}

func (s *Store) TryPolicy(ctx context.Context, change rest.PolicyChange) (rest.PolicyTrial, error) {
	t, err := active.Try(ctx, s.store, active.Files(change.Layers)...)
	return t, refusal(err)
}

func (s *Store) ApplyPolicy(ctx context.Context, change rest.PolicyChange) (rest.AppliedPolicy, error) {
	a, err := active.Apply(ctx, s.store, active.Change{
		Files: active.Files(change.Layers), Expect: *change.Expect, By: s.by, Channel: direct.Channel, Note: change.Note,
	})
	if errors.Is(err, store.ErrPolicyChanged) {
		return a, &client.Error{Code: rest.CodePolicyChanged,
			Detail: fmt.Sprintf("version %d is active, not %d; nothing was changed", a.Version, *change.Expect)}
	}
	return a, refusal(err)
}

func refusal(err error) error {
	found, ok := errors.AsType[yamlfile.Problems](err)
	if !ok {
		return err
	}
	return &client.Error{
		Code: approval.CodeInvalid, Problems: found,
		Detail: fmt.Sprintf("the policy was not applied, mistakes: %d; the active one stays", len(found)),
	}
}

// allPages reads a whole list out of a store.
func allPages[T any](
	ctx context.Context, list func(context.Context, store.Paging) (store.Page[T], error),
) (all []T, err error) {
	for q := (store.Paging{Limit: store.MaxPage}); ; {
		page, err := list(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return all, nil
		}
	}
}

// Restored says that the store was restored from a backup, and how many permits are void for that.
func (s *Store) Restored(ctx context.Context, now time.Time) (voided int, err error) {
	e, err := audit.New(audit.SubjectStore, "restored/"+now.UTC().Format(time.RFC3339Nano), now,
		audit.Restored{By: s.by, Via: direct})
	if err != nil {
		return 0, err
	}
	return s.store.Restored(ctx, e)
}
