package api

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/session"
	"github.com/pawlhq/pawl/rest"
)

const (
	eventsPath   = "/api/events"
	sessionPath  = "/auth/session"
	callbackPath = "/auth/callback"

	// The prefix lets browsers take these from this very host only, over TLS.
	sessionCookie = "__Host-pawl"
	loginCookie   = "__Host-pawl-login"
)

// encrypted says whether the page is reached over TLS. Elsewhere there are no cookies: all ports of
// a machine share them.
func (s *Server) encrypted() bool { return strings.HasPrefix(s.o.PublicURL, "https://") }

// cookie returns a cookie of ours; empty: there is none.
func (s *Server) cookie(r *http.Request, name string) string {
	// Who sends two has one from elsewhere.
	if found := r.CookiesNamed(name); s.encrypted() && len(found) == 1 {
		return found[0].Value
	}
	return ""
}

// setCookie sets a cookie for so many seconds; 0: until the browser closes; negative: removes it.
func setCookie(c *gin.Context, name, value string, seconds int) {
	http.SetCookie(c.Writer, &http.Cookie{
		Name: name, Value: value, MaxAge: seconds, Path: "/", Secure: true, HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
}

// fromPublicURL tells whether the page that sent the request came from the public URL. A proxy may
// change Host, and nothing but a browser sets Origin. The same browser may also open the page on
// loopback, where it gets no cookie.
func (s *Server) fromPublicURL(r *http.Request) bool {
	u, err := url.Parse(s.o.PublicURL)
	if err != nil || !s.encrypted() {
		return false
	}
	own := "https://" + strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	return r.Header.Get("Origin") == own
}

func (s *Server) signInWays(c *gin.Context) error {
	ways := rest.SignInWays{OIDC: s.o.Login != nil}
	if takes, ok := s.o.Auth.(auth.Any); ok {
		ways.Tokens = takes.Tokens != nil
	}
	return reply(c, http.StatusOK, ways)
}

var noSessions = newProblem(http.StatusNotFound, rest.CodeNoSessions,
	"This API authenticates nobody, so nobody signs in: reviewers say their names.")

func (s *Server) signIn(c *gin.Context) error {
	if s.sessions == nil {
		return noSessions
	}
	var in rest.SignIn
	if err := decode(c, &in, false); err != nil {
		return err
	}
	if (in.Token == "") == (in.Code == "") {
		return approval.Errorf(approval.CodeInvalid, "send either token or code")
	}
	method := auth.MethodOf(in.Token)
	if in.Code != "" {
		method = byCode
	}
	p, err := s.prove(c.Request, method, func(ctx context.Context) (auth.Principal, error) {
		if in.Code != "" {
			return s.sessions.Redeem(ctx, in.Code)
		}
		return s.o.Auth.Authenticate(ctx, in.Token)
	})
	if err != nil {
		return err
	}
	secret, err := s.begin(c, p)
	if err != nil {
		return fromStore(err)
	}
	if s.fromPublicURL(c.Request) {
		setCookie(c, sessionCookie, secret, 0)
		secret = ""
	}
	return reply(c, http.StatusOK, rest.SignedIn{Principal: rest.Principal(p), Bearer: secret})
}

// begin begins a new session, and ends the one that the browser had before.
func (s *Server) begin(c *gin.Context, p auth.Principal) (secret string, err error) {
	ctx := c.Request.Context()
	if old := s.cookie(c.Request, sessionCookie); old != "" {
		if _, err := s.sessions.End(ctx, old); err != nil {
			return "", err
		}
	}
	if secret, err = s.sessions.Begin(ctx, p); err != nil {
		return "", err
	}
	s.o.Logger.InfoContext(ctx, "somebody signed in",
		"subject", p.Subject, "method", p.Method, "token", p.TokenID)
	return secret, nil
}

// signOut answers once the session can't be used any more.
func (s *Server) signOut(c *gin.Context) error {
	if s.sessions == nil {
		return reply(c, http.StatusOK, rest.SignedOut{})
	}
	ctx, p := c.Request.Context(), principal(c)
	var out rest.SignedOut
	var err error
	switch everywhere := c.Query("everywhere"); everywhere {
	case "true":
		out.Ended, err = s.sessions.EndAll(ctx, p.Subject)
	case "", "false":
		var secret string
		if secret, err = s.credential(c.Request); err == nil && strings.HasPrefix(secret, session.Prefix) {
			out.Ended, err = s.sessions.End(ctx, secret)
		}
	default:
		return approval.Errorf(approval.CodeInvalid, "everywhere is true or false")
	}
	if err != nil {
		return fromStore(err)
	}
	s.events.Check()
	if s.encrypted() {
		setCookie(c, sessionCookie, "", -1)
	}
	s.o.Logger.InfoContext(ctx, "somebody signed out", "subject", p.Subject, "sessions", out.Ended)
	return reply(c, http.StatusOK, out)
}

func (s *Server) newLink(c *gin.Context) error {
	var none struct{}
	if err := decode(c, &none, true); err != nil {
		return err
	}
	code, expires, err := s.sessions.NewCode(c.Request.Context(), principal(c))
	if err != nil {
		return fromStore(err)
	}
	link := rest.SignInLink{Code: code, ExpiresAt: expires}
	if s.o.PublicURL != "" {
		link.URL = strings.TrimSuffix(s.o.PublicURL, "/") + "/#signin=" + code
	}
	return reply(c, http.StatusOK, link)
}

// Why a sign-in at the issuer failed: the page shows it.
const (
	loginStale       = "state"       // of another browser, too old, or used
	loginDenied      = "denied"      // by the issuer, or the person
	loginRefused     = "refused"     // nobody who may use this API
	loginUnavailable = "unavailable" // try again
)

var noLogin = newProblem(http.StatusNotFound, rest.CodeNoSessions,
	"People do not sign in at an OpenID Connect issuer here: sign in with a token.")

// login sends the browser to the issuer. It changes nothing here.
func (s *Server) login(c *gin.Context) error {
	if s.o.Login == nil {
		return noLogin
	}
	l := session.NewLogin(pageAddress(c.Query("to")))
	address, err := s.o.Login.LoginURL(c.Request.Context(), l, s.public(callbackPath))
	if err != nil {
		return s.loginFailed(c, l.To, loginUnavailable, err)
	}
	setCookie(c, loginCookie, l.Cookie(), int(session.LoginLife.Seconds()))
	c.Redirect(http.StatusSeeOther, address)
	return nil
}

// callback takes who comes back from the issuer. It is a GET that uses up a state, so what is only
// looked ahead at does not count.
func (s *Server) callback(c *gin.Context) error {
	if s.o.Login == nil {
		return noLogin
	}
	if looksAhead(c.Request) {
		return newProblem(http.StatusForbidden, rest.CodeNotPermitted, "This address is for browsers that sign in.")
	}
	ctx, answer := c.Request.Context(), c.Request.URL.Query()
	l, ok := session.ParseLogin(s.cookie(c.Request, loginCookie))
	l.To = pageAddress(l.To)
	setCookie(c, loginCookie, "", -1)
	if !ok || subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(l.State())) != 1 {
		return s.loginFailed(c, l.To, loginStale, nil)
	}
	switch first, err := s.sessions.UseState(ctx, l); {
	case err != nil:
		return s.loginFailed(c, l.To, loginUnavailable, err)
	case !first:
		return s.loginFailed(c, l.To, loginStale, nil)
	case answer.Has("error"):
		return s.loginFailed(c, l.To, loginDenied, nil)
	}
	p, err := s.prove(c.Request, rest.MethodOIDC, func(ctx context.Context) (auth.Principal, error) {
		return s.o.Login.Exchange(ctx, l, s.public(callbackPath), answer)
	})
	if err != nil {
		why := loginUnavailable
		if problemOf(err).Status < http.StatusInternalServerError {
			why = loginRefused
		}
		return s.loginFailed(c, l.To, why, err)
	}
	secret, err := s.begin(c, p)
	if err != nil {
		return s.loginFailed(c, l.To, loginUnavailable, err)
	}
	setCookie(c, sessionCookie, secret, 0)
	c.Redirect(http.StatusSeeOther, s.public(l.To))
	return nil
}

// loginFailed leads back to the page, which says why.
func (s *Server) loginFailed(c *gin.Context, to, why string, err error) error {
	if why == loginDenied { // prove has counted those that it refused, and any site can send others here
		s.signInFailed(c.Request, rest.MethodOIDC, auth.Refusal{Code: "login_" + why})
	}
	if err != nil {
		cause := err
		if p := problemOf(err); p.cause != nil {
			cause = p.cause
		}
		s.o.Logger.WarnContext(c.Request.Context(), "a sign-in at the issuer failed", "reason", why, "error", cause)
	}
	c.Redirect(http.StatusSeeOther, s.public(to)+"#signin-failed="+why)
	return nil
}

// public is an address here, as browsers know it.
func (s *Server) public(to string) string { return strings.TrimSuffix(s.o.PublicURL, "/") + to }

// pageAddress returns an address of the page, where people were before they signed in; anything
// else is "/", so that nobody is led elsewhere.
func pageAddress(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || u.Opaque != "" {
		return "/"
	}
	escaped := u.EscapedPath()
	first, _, _ := strings.Cut(strings.TrimPrefix(escaped, "/"), "/")
	known := []string{"", "requests", "history", "audit", "policy", "tools"}
	if path.Clean("/"+escaped) != escaped || !slices.Contains(known, first) {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).String()
}
