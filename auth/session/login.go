package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/store"
)

// LoginLife is how long somebody may take to sign in at an issuer.
const LoginLife = 10 * time.Minute

// Login is one sign-in at an issuer that is under way. Only the browser keeps it, in a cookie, so
// that beginning one changes nothing here; all that is sent is made from it, and shows nothing of
// it.
type Login struct {
	cookie string
	began  time.Time
	// To is where the person goes then: a path here.
	To string
}

// NewLogin begins one.
func NewLogin(to string) Login {
	now := time.Now()
	cookie := strings.Join([]string{
		rand.Text(), strconv.FormatInt(now.Unix(), 10), base64.RawURLEncoding.EncodeToString([]byte(to)),
	}, ".")
	return Login{cookie: cookie, began: now, To: to}
}

// ParseLogin reads what Cookie wrote, if it is not too old.
func ParseLogin(cookie string) (l Login, ok bool) {
	_, rest, _ := strings.Cut(cookie, ".")
	at, path, _ := strings.Cut(rest, ".")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return l, false
	}
	to, err := base64.RawURLEncoding.DecodeString(path)
	l = Login{cookie: cookie, began: time.Unix(seconds, 0), To: string(to)}
	age := time.Since(l.began)
	return l, err == nil && age > -time.Minute && age < LoginLife
}

// Cookie is what the browser keeps.
func (l Login) Cookie() string { return l.cookie }

// State ties the issuer's answer to the browser that asked.
func (l Login) State() string { return l.derive("state") }

// Nonce ties the ID token to this sign-in.
func (l Login) Nonce() string { return l.derive("nonce") }

// Verifier proves who exchanges the issuer's code (RFC 7636).
func (l Login) Verifier() string { return l.derive("verifier") }

func (l Login) derive(use string) string {
	hash := sha256.Sum256([]byte(use + " " + l.cookie))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}

// UseState uses a sign-in's state up; first is false if that was done before, here or in another
// process.
func (s *Sessions) UseState(ctx context.Context, l Login) (first bool, err error) {
	now := store.Micros(time.Now())
	return s.store.AddSession(ctx, store.Session{
		Kind: store.UsedState, Hash: hashOf(l.State()), CreatedAt: now, ExpiresAt: now.Add(2 * LoginLife),
	})
}

// Issuer is an OpenID Connect issuer where people sign in.
type Issuer interface {
	// LoginURL is where the browser goes to sign in; redirect is where it comes back to.
	LoginURL(ctx context.Context, l Login, redirect string) (string, error)
	// Exchange returns who signed in, for what the issuer sent along with them. Errors are
	// auth.Authenticator's.
	Exchange(ctx context.Context, l Login, redirect string, answer url.Values) (auth.Principal, error)
}
