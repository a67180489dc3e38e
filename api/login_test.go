package api

import (
	"context"
	"errors"
	"maps"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth"
	"github.com/pawlhq/pawl/auth/session"
	"github.com/pawlhq/pawl/rest"
)

// fakeLogin is an issuer that knows rita, and an Authenticator of what it said.
type fakeLogin struct {
	auth.Authenticator
	err  error
	gone bool // what it said is good no longer
	seen url.Values
}

const issuerURL = "https://id.example.com/authorize"

func (f *fakeLogin) LoginURL(_ context.Context, l session.Login, redirect string) (string, error) {
	query := url.Values{"state": {l.State()}, "redirect_uri": {redirect}}
	return issuerURL + "?" + query.Encode(), f.err
}

func (f *fakeLogin) Exchange(_ context.Context, _ session.Login, _ string, answer url.Values) (auth.Principal, error) {
	f.seen = answer
	return auth.Principal{Subject: "rita", Kind: rest.KindPerson, Owner: "rita", Roles: []rest.Role{rest.RoleReviewer},
		Method: rest.MethodOIDC, Expires: time.Now().Add(time.Hour)}, f.err
}

func (f *fakeLogin) Again(_ context.Context, p auth.Principal) (auth.Principal, error) {
	if f.gone {
		return auth.Principal{}, &auth.Refusal{Code: rest.CodeTokenExpired, Message: "It expired."}
	}
	return p, nil
}

func (*fakeLogin) Ready(context.Context) error { return nil }

func (f *fakeLogin) world(t testing.TB) *world {
	return encryptedWorld(t, func(o *Options) {
		o.Auth = auth.Any{Tokens: auth.NewTokens(o.Store), OIDC: f}
		o.Login = f
	})
}

// begin goes to the issuer: it returns the browser's cookie, and the state that the issuer got.
func (w *world) begin(to string) (cookie, state string) {
	w.t.Helper()
	rec := w.send("GET", "/auth/login?to="+url.QueryEscape(to), "", "Host", "pawl.example.com")
	u, err := url.Parse(rec.Header().Get("Location"))
	if rec.Code != 303 || err != nil || !strings.HasPrefix(u.String(), issuerURL) ||
		u.Query().Get("redirect_uri") != publicURL+callbackPath {
		w.t.Fatalf("login: %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
	return cookieOf(w.t, rec, loginCookie), u.Query().Get("state")
}

// back comes back from the issuer.
func (w *world) back(cookie, query string, header ...string) *httptest.ResponseRecorder {
	header = append([]string{"Host", "pawl.example.com", "Sec-Fetch-Site", "cross-site"}, header...)
	if cookie != "" {
		header = append(header, "Cookie", loginCookie+"="+cookie)
	}
	return w.send("GET", callbackPath+"?"+query, "", header...)
}

func TestLogin(t *testing.T) {
	f := &fakeLogin{}
	w := f.world(t)
	cookie, state := w.begin("/requests/pawl-1?tab=json")
	if len(w.store.sessions) != 0 {
		t.Error("to begin changes the store")
	}
	good := "code=c1&session_state=x&state=" + state
	rec := w.back(cookie, good)
	if rec.Code != 303 || rec.Header().Get("Location") != publicURL+"/requests/pawl-1?tab=json" || f.seen.Get("code") != "c1" {
		t.Fatalf("%d %v", rec.Code, rec.Header())
	}
	me := expect(t, w.browser(cookieOf(t, rec, sessionCookie), "GET", "/api/whoami", ""), 200, "")
	if me["subject"] != "rita" || me["method"] != "oidc" {
		t.Errorf("whoami: %v", me)
	}

	fresh, freshState := w.begin("/")
	for name, c := range map[string]struct {
		cookie, query, why string
		err                error
	}{
		"used before":              {cookie, good, loginStale, nil},
		"another browser":          {"", "code=c&state=" + freshState, loginStale, nil},
		"another browser's cookie": {cookie, "code=c&state=" + freshState, loginStale, nil},
		"no state":                 {fresh, "code=c", loginStale, nil},
		"a changed cookie":         {fresh + "Lw", "code=c&state=" + freshState, loginStale, nil},
		"denied":                   {"new", "error=access_denied", loginDenied, nil},
		"nobody":                   {"new", "code=c", loginRefused, &auth.Refusal{Code: rest.CodeTokenForeign, Message: "No."}},
		"issuer down":              {"new", "code=c", loginUnavailable, errors.New("connection refused")},
	} {
		t.Run(name, func(t *testing.T) {
			f.err = nil
			if c.cookie == "new" {
				var state string
				c.cookie, state = w.begin("/history")
				c.query += "&state=" + state
			}
			f.err = c.err
			rec := w.back(c.cookie, c.query)
			if rec.Code != 303 || !strings.HasPrefix(rec.Header().Get("Location"), publicURL+"/") ||
				!strings.HasSuffix(rec.Header().Get("Location"), "#signin-failed="+c.why) {
				t.Errorf("%d %v", rec.Code, rec.Header())
			}
			for _, set := range rec.Result().Cookies() {
				if set.Name == sessionCookie {
					t.Error("somebody is signed in")
				}
			}
		})
	}
	codes := map[string]string{}
	for _, p := range w.payloadsOf(audit.KindSignInFailed) {
		codes[p.(audit.SignInFailed).Code] = p.(audit.SignInFailed).Method
	}
	if want := map[string]string{"login_denied": "oidc", rest.CodeTokenForeign: "oidc"}; !maps.Equal(codes, want) {
		t.Errorf("on record are %v", codes)
	}
}

// What is only looked ahead at, and HEAD, use no state up.
func TestCallbackAhead(t *testing.T) {
	w := (&fakeLogin{}).world(t)
	cookie, state := w.begin("/")
	query := "code=c&state=" + state
	expect(t, w.back(cookie, query, "Sec-Purpose", "prefetch;prerender"), 403, rest.CodeNotPermitted)
	expect(t, w.back(cookie, query, "Purpose", "prefetch"), 403, rest.CodeNotPermitted)
	w.send("HEAD", callbackPath+"?"+query, "", "Host", "pawl.example.com", "Cookie", loginCookie+"="+cookie)
	if len(w.store.sessions) != 0 {
		t.Error("the store was changed")
	}
	cookieOf(t, w.back(cookie, query), sessionCookie)
}

func TestIssuerSessionsEnd(t *testing.T) {
	f := &fakeLogin{}
	w := f.world(t)
	cookie, state := w.begin("/")
	signedIn := cookieOf(t, w.back(cookie, "code=c&state="+state), sessionCookie)
	f.gone = true
	expect(t, w.browser(signedIn, "GET", "/api/whoami", ""), 401, rest.CodeTokenExpired)
}

func TestNobodyIsLedElsewhere(t *testing.T) {
	for to, want := range map[string]string{
		"/": "/", "/requests/pawl-1": "/requests/pawl-1", "/history?tool=refund": "/history?tool=refund",
		"/requests/a%2Fb": "/requests/a%2Fb", "/?status=pending": "/?status=pending", "/policy/abc#x": "/policy/abc",
		"": "/", "//evil.example": "/", "///evil.example": "/", `/\evil.example`: "/", `\\evil.example`: "/",
		"https://evil.example/requests/x": "/", "https:evil.example": "/", "javascript:alert(1)": "/",
		"/requests/..//evil.example": "/", "/requests/../../evil": "/", "requests/x": "/", "@evil.example": "/",
		"/evil": "/", "/auth/callback": "/", "/api/requests": "/", "/requests/\r\nSet-Cookie: x": "/", "%2F%2Fevil.example": "/",
	} {
		if got := pageAddress(to); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}

func TestLoginNeedsTLS(t *testing.T) {
	w := newWorld(t)
	for _, public := range []string{"", "http://localhost:7295"} {
		_, err := New(Options{Temporal: w.server.o.Temporal, Store: w.store, Auth: auth.Any{}, Login: &fakeLogin{}, PublicURL: public})
		if err == nil || !strings.Contains(err.Error(), "https") {
			t.Errorf("%q: %v", public, err)
		}
	}
}
