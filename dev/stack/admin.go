package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/rest"
)

// Ways in which the stack's API knows its callers.
const (
	AuthNone   = "none"
	AuthTokens = "tokens"
)

// AdminTokenFile holds the first administrator's token, where the API takes tokens; it belongs to
// who started the stack alone.
func (s *Stack) AdminTokenFile() string { return filepath.Join(s.o.Data, "admin.token") }

// authenticator is the API's; nil where nobody is authenticated.
func (s *Stack) authenticator() auth.Authenticator {
	if s.o.Auth != AuthTokens {
		return nil
	}
	return auth.Any{Tokens: auth.NewTokens(s.Store)}
}

// SigningKeyFile holds the key that signs decisions, where the API knows its callers.
func (s *Stack) SigningKeyFile() string { return filepath.Join(s.o.Data, "signing-key.pem") }

// signer is the API's; nil where nobody is authenticated.
func (s *Stack) signer(ctx context.Context) (*auth.Signer, error) {
	if s.o.Auth != AuthTokens {
		return nil, nil
	}
	return auth.OpenSigner(ctx, auth.SignerOptions{File: s.SigningKeyFile(), Store: s.Store, By: "pawl-dev"})
}

// ensureAdmin makes a token for an administrator and writes it down, unless the one that is written
// down works.
func (s *Stack) ensureAdmin(ctx context.Context) error {
	if s.o.Auth != AuthTokens {
		return nil
	}
	path := s.AdminTokenFile()
	old, err := os.ReadFile(path)
	if err == nil {
		p, err := s.authenticator().Authenticate(ctx, strings.TrimSpace(string(old)))
		if err == nil && p.Has(rest.RoleAdmin) {
			return nil
		}
		if err != nil && auth.Refused(err) == nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the administrator's token: %w", err)
	}
	text, t, err := auth.Issue(rest.TokenSpec{
		Subject: "admin", Roles: []rest.Role{rest.RoleAdmin}, Note: "made by pawl-dev at its start",
	}, "pawl-dev", time.Now())
	if err != nil {
		return err
	}
	if err := s.Store.AddToken(ctx, t); err != nil {
		return err
	}
	// A crash before the rename costs a token that nobody ever sees.
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the administrator's token: %w", err)
	}
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.WriteString(text + "\n")
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return fmt.Errorf("the administrator's token can't be written down: %w", err)
	}
	return nil
}

// LogKeyFile is where the key is that seals the audit log.
func (s *Stack) LogKeyFile() string { return filepath.Join(s.o.Data, "log-key.pem") }

// sealer makes what seals the audit log; none where another process has its key.
func (s *Stack) sealer(ctx context.Context) (*tree.Sealer, error) {
	keys, err := tree.OpenKeys(ctx, s.Store, s.LogKeyFile())
	if errors.Is(err, tree.ErrKey) {
		s.o.Logger.WarnContext(ctx, "the audit log is not sealed by this process", "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return tree.NewSealer(tree.Options{Store: s.Store, Keys: keys, Logger: s.o.Logger})
}
