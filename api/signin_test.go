package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlhq/pawl/auth/session"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

const publicURL = "https://pawl.example.com"

// encryptedWorld is a guardedWorld whose page is reached over TLS.
func encryptedWorld(t testing.TB, change ...func(*Options)) *world {
	return guardedWorld(t, append(change, func(o *Options) { o.PublicURL, o.Hosts = publicURL, []string{"pawl.example.com"} })...)
}

// browser sends a request as the page at the public URL does.
func (w *world) browser(cookie, method, path, body string, header ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	header = append([]string{"Host", "pawl.example.com", "Origin", publicURL, "Sec-Fetch-Site", "same-origin"}, header...)
	if cookie != "" {
		header = append(header, "Cookie", sessionCookie+"="+cookie)
	}
	return w.send(method, path, body, header...)
}

func cookieOf(t testing.TB, rec *httptest.ResponseRecorder, name string) string {
	t.Helper()
	for _, c := range rec.Result().Cookies() {
		if c.Name != name {
			continue
		}
		if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("the cookie is %+v", c)
		}
		return c.Value
	}
	t.Fatalf("no cookie %s: %d %s", name, rec.Code, rec.Body)
	return ""
}

func (w *world) signIn(token string) (cookie string) {
	w.t.Helper()
	rec := w.browser("", "POST", sessionPath, `{"token":"`+token+`"}`)
	if body := expect(w.t, rec, 200, ""); body["bearer"] != nil {
		w.t.Error("a script of the page could read the session")
	}
	return cookieOf(w.t, rec, sessionCookie)
}

func TestSignInOverTLS(t *testing.T) {
	w := encryptedWorld(t)
	w.request("pawl-1")
	token := w.token("rita", rest.RoleReviewer)
	cookie := w.signIn(token)
	me := expect(t, w.browser(cookie, "GET", "/api/whoami", ""), 200, "")
	if me["subject"] != "rita" || me["token_id"] != tokenID(t, token) {
		t.Errorf("whoami: %v", me)
	}
	expect(t, w.browser(cookie, "POST", "/api/requests/pawl-1/approve", `{"digest":"d1"}`), 200, "")
	// The store has nothing that a browser could send.
	for key := range w.store.sessions {
		if strings.Contains(key, cookie) || strings.Contains(key, strings.TrimPrefix(cookie, session.Prefix)) {
			t.Error("the store keeps the secret")
		}
	}
}

// Cookies are shared between all ports of a machine, so where the page is not reached over TLS there
// are none, neither set nor taken.
func TestNoCookieWithoutTLS(t *testing.T) {
	for name, c := range map[string]struct {
		public, origin string
	}{
		"no public URL":            {"", "http://localhost"},
		"a plain public URL":       {"http://127.0.0.1:7295", "http://127.0.0.1:7295"},
		"beside the public URL":    {publicURL, "http://localhost"},
		"no browser":               {publicURL, ""},
		"a name like the public's": {publicURL, publicURL + ".evil"},
	} {
		t.Run(name, func(t *testing.T) {
			w := guardedWorld(t, func(o *Options) { o.PublicURL = c.public })
			header := []string{"Sec-Fetch-Site", "same-origin"}
			if c.origin != "" {
				header = append(header, "Origin", c.origin)
			}
			rec := w.send("POST", sessionPath, `{"token":"`+w.token("rita", rest.RoleReviewer)+`"}`, header...)
			bearer, _ := expect(t, rec, 200, "")["bearer"].(string)
			if rec.Header().Get("Set-Cookie") != "" || !strings.HasPrefix(bearer, session.Prefix) {
				t.Errorf("cookie %q, bearer %q", rec.Header().Get("Set-Cookie"), bearer)
			}
			expect(t, w.with(bearer, "GET", "/api/whoami", ""), 200, "")
			if c.public != publicURL {
				expect(t, w.browser(bearer, "GET", "/api/whoami", "", "Host", "localhost"), 401, rest.CodeUnauthenticated)
			}
			out := expect(t, w.with(bearer, "DELETE", sessionPath, ""), 200, "")
			if out["ended"] != float64(1) {
				t.Errorf("signed out of %v", out)
			}
			expect(t, w.with(bearer, "GET", "/api/whoami", ""), 401, rest.CodeSessionEnded)
		})
	}
}

func TestSignInRefused(t *testing.T) {
	w := encryptedWorld(t)
	token := w.token("rita", rest.RoleReviewer)
	for body, want := range map[string]struct {
		status int
		code   string
	}{
		`{"token":"pawl_person_x"}`:                  {401, rest.CodeTokenUnknown},
		`{"token":"` + w.signIn(token) + `"}`:        {401, rest.CodeTokenUnknown},
		`{"code":"ABC"}`:                             {401, rest.CodeCodeUnknown},
		`{}`:                                         {400, rest.CodeInvalidRequest},
		`{"token":"` + token + `","code":"ABC"}`:     {400, rest.CodeInvalidRequest},
		`{"token":"` + token + `","subject":"root"}`: {400, rest.CodeInvalidRequest},
	} {
		rec := w.browser("", "POST", sessionPath, body)
		expect(t, rec, want.status, want.code)
		if rec.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s sets a cookie", body)
		}
	}
	other := []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Cookie", sessionCookie + "=" + w.signIn(token)}
	for _, r := range [][2]string{{"POST", sessionPath}, {"DELETE", sessionPath}, {"POST", "/auth/links"}, {"POST", "/api/requests/pawl-1/approve"}} {
		expect(t, w.send(r[0], r[1], `{}`, other...), 403, rest.CodeCrossOrigin)
	}
	expect(t, newWorld(t).send("POST", sessionPath, `{"token":"x"}`), 404, rest.CodeNoSessions)
	expect(t, newWorld(t).send("POST", "/auth/links", ""), 403, rest.CodeNotPermitted)
	// Who guesses is slowed down.
	for range failureBurst {
		w.send("POST", sessionPath, `{"code":"guess"}`)
	}
	expect(t, w.send("POST", sessionPath, `{"code":"guess"}`), 429, rest.CodeTooManyFailures)
	w.store.appendErr = store.ErrReadOnly
	expect(t, w.send("POST", sessionPath, `{"token":"`+token+`"}`), 403, rest.CodeReadOnly)
}

// Whoever gave a browser a session does not have the one that its person gets.
func TestSessionIsNew(t *testing.T) {
	w := encryptedWorld(t)
	token := w.token("rita", rest.RoleReviewer)
	planted := w.signIn(w.token("mallory", rest.RoleReviewer))
	rec := w.browser(planted, "POST", sessionPath, `{"token":"`+token+`"}`)
	if got := cookieOf(t, rec, sessionCookie); got == planted {
		t.Error("the session is the planted one")
	}
	expect(t, w.browser(planted, "GET", "/api/whoami", ""), 401, rest.CodeSessionEnded)
	for _, made := range []string{"x", token, session.Prefix, planted + "; " + sessionCookie + "=" + w.signIn(token)} {
		if rec := w.browser(made, "GET", "/api/whoami", ""); rec.Code != 401 {
			t.Errorf("the cookie %q: %d", made, rec.Code)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	w := encryptedWorld(t)
	token := w.token("rita", rest.RoleReviewer)
	first, second, third := w.signIn(token), w.signIn(token), w.signIn(w.token("otto", rest.RoleAuditor))
	signedIn := func(cookie string, want bool) {
		t.Helper()
		if rec := w.browser(cookie, "GET", "/api/whoami", ""); (rec.Code == 200) != want {
			t.Errorf("whoami: %d %s, want signed in %v", rec.Code, rec.Body, want)
		}
	}
	rec := w.browser(first, "DELETE", sessionPath, "")
	if cookieOf(t, rec, sessionCookie) != "" {
		t.Error("the cookie is kept")
	}
	signedIn(first, false)
	signedIn(second, true)
	first = w.signIn(token)
	code := expect(t, w.with(token, "POST", "/auth/links", ""), 200, "")["code"].(string)
	if out := expect(t, w.browser(first, "DELETE", sessionPath+"?everywhere=true", ""), 200, ""); out["ended"] != float64(2) {
		t.Errorf("ended %v", out)
	}
	signedIn(first, false)
	signedIn(second, false)
	signedIn(third, true)
	expect(t, w.browser("", "POST", sessionPath, `{"code":"`+code+`"}`), 401, rest.CodeCodeUnknown)

	first = w.signIn(token)
	code = expect(t, w.with(token, "POST", "/auth/links", ""), 200, "")["code"].(string)
	root := w.token("root", rest.RoleAdmin)
	expect(t, w.with(root, "POST", "/api/tokens/"+tokenID(t, token)+"/revoke", ""), 200, "")
	expect(t, w.browser(first, "GET", "/api/whoami", ""), 401, rest.CodeTokenRevoked)
	expect(t, w.browser("", "POST", sessionPath, `{"code":"`+code+`"}`), 401, rest.CodeTokenRevoked)
	expect(t, w.browser(third, "DELETE", sessionPath+"?everywhere=yes", ""), 400, rest.CodeInvalidRequest)
}

func TestIdleSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := encryptedWorld(t)
		cookie := w.signIn(w.token("rita", rest.RoleReviewer))
		for range 3 {
			time.Sleep(11 * time.Hour)
			expect(t, w.browser(cookie, "GET", "/api/whoami", ""), 200, "")
		}
		time.Sleep(session.Idle)
		expect(t, w.browser(cookie, "GET", "/api/whoami", ""), 401, rest.CodeSessionEnded)
		code := expect(t, w.with(w.token("rita", rest.RoleReviewer), "POST", "/auth/links", ""), 200, "")["code"].(string)
		time.Sleep(session.CodeLife)
		expect(t, w.browser("", "POST", sessionPath, `{"code":"`+code+`"}`), 401, rest.CodeCodeUnknown)
	})
}

func TestLinks(t *testing.T) {
	w := encryptedWorld(t)
	link := expect(t, w.with(w.token("rita", rest.RoleReviewer), "POST", "/auth/links", ""), 200, "")
	code := link["code"].(string)
	if link["url"] != publicURL+"/#signin="+code {
		t.Errorf("url %v", link["url"])
	}
	rec := w.browser("", "POST", sessionPath, `{"code":"`+code+`"}`)
	me := expect(t, w.browser(cookieOf(t, rec, sessionCookie), "GET", "/api/whoami", ""), 200, "")
	if me["subject"] != "rita" {
		t.Errorf("whoami: %v", me)
	}
	expect(t, w.browser("", "POST", sessionPath, `{"code":"`+code+`"}`), 401, rest.CodeCodeUnknown)
	expect(t, w.with(code, "GET", "/api/whoami", ""), 401, rest.CodeTokenUnknown)
}
