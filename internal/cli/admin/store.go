package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/yamlfile"
	"github.com/pawlhq/pawl/policy"
	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// Store administers a store without an API between, and answers as the API does.
type Store struct {
	store   store.Store
	where   string
	keyFile string // of the API's signing key
	by      string
}

func (s *Store) String() string { return "in " + s.where }

func (s *Store) Tokens(ctx context.Context) ([]rest.Token, error) { return Tokens(ctx, s.store) }

// Tokens reads all tokens out of a store.
func Tokens(ctx context.Context, s store.TokenReader) ([]rest.Token, error) {
	return allPages(ctx, s.Tokens, auth.Shown)
}

func (s *Store) NewToken(ctx context.Context, spec rest.TokenSpec) (string, rest.Token, error) {
	text, t, err := auth.Issue(spec, s.by, time.Now())
	if err != nil {
		return "", rest.Token{}, err
	}
	return text, auth.Shown(t), s.store.AddToken(ctx, t)
}

func (s *Store) RevokeToken(ctx context.Context, id string) (rest.Token, error) {
	t, _, err := s.store.RevokeToken(ctx, store.RevokeParams{ID: id, By: s.by, At: time.Now()})
	return auth.Shown(t), err
}

func (s *Store) Keys(ctx context.Context) ([]rest.SigningKey, error) {
	return allPages(ctx, s.store.SigningKeys, shownKey)
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
	return shownKey(keys[0]), nil
}

func (s *Store) RotateKey(ctx context.Context, revokeOld bool) (rest.Rotated, error) {
	signer, err := s.signer(ctx, s.keyFile)
	if err != nil {
		return rest.Rotated{}, err
	}
	r, err := signer.Rotate(ctx, s.by, revokeOld)
	return rest.Rotated{Key: shownKey(r.Key), Old: shownKey(r.Old)}, err
}

func (s *Store) signer(ctx context.Context, file string) (*auth.Signer, error) {
	return auth.OpenSigner(ctx, auth.SignerOptions{File: file, Store: s.store, By: s.by})
}

func (s *Store) EndKey(ctx context.Context, id string, revoke bool) (rest.SigningKey, error) {
	k, _, err := s.store.EndKey(ctx, store.EndKeyParams{ID: id, By: s.by, Revoke: revoke, At: time.Now()})
	return shownKey(k), err
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

func (s *Store) Policy(ctx context.Context) (p rest.ActivePolicy, err error) {
	v, err := active.Version(ctx, s.store)
	if err != nil {
		return p, err
	}
	set, err := active.Source(ctx, s.store, v.Digest)
	if err != nil {
		return p, err
	}
	p.PolicyVersion = rest.PolicyVersion(v)
	for _, l := range set.Layers {
		p.Layers = append(p.Layers, rest.PolicyLayer(l))
	}
	return p, nil
}

func (s *Store) TryPolicy(ctx context.Context, change rest.PolicyChange) (t rest.PolicyTrial, err error) {
	set, err := active.Prepare(Files(change.Layers)...)
	if err != nil {
		return t, refusal(err)
	}
	v, err := active.Version(ctx, s.store)
	if err != nil {
		return t, err
	}
	return rest.PolicyTrial{
		DryRun: true, Changed: v.Digest != set.Digest(), Digest: set.Digest(),
		Active: rest.PolicyVersion(v), Warnings: problems(set.Warnings()),
	}, nil
}

func (s *Store) ApplyPolicy(ctx context.Context, change rest.PolicyChange) (a rest.AppliedPolicy, err error) {
	v, err := active.Apply(ctx, s.store, active.Change{
		Files: Files(change.Layers), Expect: *change.Expect, By: s.by, Channel: "direct", Note: change.Note,
	})
	switch {
	case errors.Is(err, store.ErrPolicyChanged):
		return a, &client.Error{Code: rest.CodePolicyChanged,
			Detail: fmt.Sprintf("version %d is active, not %d; nothing was changed", v.Version, *change.Expect)}
	case err != nil:
		return a, refusal(err)
	}
	return rest.AppliedPolicy{
		Changed: v.Fresh, PolicyVersion: rest.PolicyVersion(v.PolicyVersion), Warnings: problems(v.Warnings),
	}, nil
}

func Files(layers []rest.PolicyLayer) (files []policy.File) {
	for _, l := range layers {
		files = append(files, policy.File{Name: l.Name, Data: []byte(l.Text)})
	}
	return files
}

func refusal(err error) error {
	found, ok := errors.AsType[yamlfile.Problems](err)
	if !ok {
		return err
	}
	return &client.Error{
		Code: approval.CodeInvalid, Problems: problems(found),
		Detail: fmt.Sprintf("the policy was not applied, mistakes: %d; the active one stays", len(found)),
	}
}

func problems(found yamlfile.Problems) []rest.FileProblem {
	out := []rest.FileProblem{}
	for _, p := range found {
		out = append(out, rest.FileProblem(p))
	}
	return out
}

func shownKey(k store.SigningKey) rest.SigningKey { return rest.SigningKey(k) }

// allPages reads a whole list out of a store, each item as the API shows it.
func allPages[T, R any](
	ctx context.Context, list func(context.Context, store.Paging) (store.Page[T], error), show func(T) R,
) (all []R, err error) {
	for q := (store.Paging{Limit: store.MaxPage}); ; {
		page, err := list(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			all = append(all, show(item))
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return all, nil
		}
	}
}
