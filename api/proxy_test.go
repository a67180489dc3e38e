package api

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/auth/session"
	"github.com/pawlhq/pawl/rest"
)

// browserAt is a browser's requests to one origin, with its cookies.
type browserAt struct {
	*testing.T
	http   *http.Client
	origin string
}

// do sends a request as the page does, and returns status, problem code and body.
func (b browserAt) do(method, path, body string, header ...string) (*http.Response, map[string]any) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, b.origin+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", b.origin)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := b.http.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	doc, err := io.ReadAll(answer.Body)
	if err != nil {
		b.Fatal(err)
	}
	var fields map[string]any
	_ = json.Unmarshal(doc, &fields)
	return answer, fields
}

func (b browserAt) want(status int, code, method, path, body string, header ...string) map[string]any {
	b.Helper()
	answer, fields := b.do(method, path, body, header...)
	if got, _ := fields["code"].(string); answer.StatusCode != status || got != code {
		b.Errorf("%s %s: %d %v, want %d %s", method, path, answer.StatusCode, fields, status, code)
	}
	return fields
}

// behindProxy serves an API on loopback behind a proxy that ends TLS, at https://pawl.example.com,
// and returns a browser there, and one at the API's own address that has the same cookies.
func behindProxy(t *testing.T, keepsHost bool) (w *world, outside, inside browserAt) {
	t.Helper()
	var to *url.URL
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.SetXForwarded()
		if keepsHost {
			r.Out.Host = r.In.Host
		}
	}})
	t.Cleanup(front.Close)
	_, port, err := net.SplitHostPort(front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	public := "https://pawl.example.com:" + port
	w = guardedWorld(t, func(o *Options) { o.PublicURL, o.Hosts = public, []string{"pawl.example.com:" + port} })
	base, _ := w.serve()
	if to, err = url.Parse(base); err != nil {
		t.Fatal(err)
	}
	transport := front.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "pawl.example.com:") {
			address = front.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Transport: transport, Jar: jar}
	t.Cleanup(transport.CloseIdleConnections)
	return w, browserAt{t, browser, public}, browserAt{t, browser, base}
}

// Behind a real proxy the browser has a cookie that goes to this host only, over TLS only, and that no
// script can read; the same API on loopback neither sets one nor takes one.
func TestSessionsBehindATLSProxy(t *testing.T) {
	for name, keepsHost := range map[string]bool{"that keeps Host": true, "that changes Host": false} {
		t.Run(name, func(t *testing.T) {
			w, outside, inside := behindProxy(t, keepsHost)
			token := w.token("rita", rest.RoleReviewer)
			outside.want(401, rest.CodeUnauthenticated, "GET", "/api/whoami", "")

			answer, body := outside.do("POST", "/auth/session", `{"token":"`+token+`"}`)
			const begins = "__Host-pawl=pawl_session_"
			cookies := answer.Header.Values("Set-Cookie")
			if answer.StatusCode != 200 || len(cookies) != 1 || !strings.HasPrefix(cookies[0], begins) || body["bearer"] != nil {
				t.Fatalf("signed in with %d %v, cookies %q", answer.StatusCode, body, cookies)
			}
			_, attributes, _ := strings.Cut(cookies[0], "; ")
			if attributes != "Path=/; HttpOnly; Secure; SameSite=Lax" {
				t.Errorf("the cookie has %q", attributes)
			}
			if me := outside.want(200, "", "GET", "/api/whoami", ""); me["subject"] != "rita" {
				t.Errorf("who am I: %v", me)
			}
			w.request("pawl-1")
			outside.want(403, rest.CodeCrossOrigin, "POST", "/api/requests/pawl-1/reject", `{}`,
				"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
			outside.want(200, "", "POST", "/api/requests/pawl-1/approve", `{"digest":"d1"}`)

			// The browser sends no cookie without TLS, and another port's page gets none.
			inside.want(401, rest.CodeUnauthenticated, "GET", "/api/whoami", "")
			answer, body = inside.do("POST", "/auth/session", `{"token":"`+token+`"}`)
			bearer, _ := body["bearer"].(string)
			if answer.Header.Get("Set-Cookie") != "" || !strings.HasPrefix(bearer, session.Prefix) {
				t.Errorf("on loopback: cookies %q, %v", answer.Header.Values("Set-Cookie"), body)
			}
			inside.want(200, "", "GET", "/api/whoami", "", "Authorization", "Bearer "+bearer)

			// Signing out takes the cookie from the browser, and what it held is worth nothing.
			at, _ := url.Parse(outside.origin)
			kept := outside.http.Jar.Cookies(at)
			outside.want(200, "", "DELETE", "/auth/session", "")
			if left := outside.http.Jar.Cookies(at); len(kept) != 1 || len(left) != 0 {
				t.Errorf("the browser had %d cookies and has %d", len(kept), len(left))
			}
			outside.http.Jar.SetCookies(at, kept)
			outside.want(401, rest.CodeSessionEnded, "GET", "/api/whoami", "")
			inside.want(200, "", "GET", "/api/whoami", "", "Authorization", "Bearer "+bearer)
		})
	}
}

// A stream of events goes through the proxy as it comes, and ends with its session.
func TestStreamsBehindATLSProxyEndWithTheirSession(t *testing.T) {
	w, outside, _ := behindProxy(t, true)
	token := w.token("rita", rest.RoleReviewer)
	outside.want(200, "", "POST", "/auth/session", `{"token":"`+token+`"}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, outside.origin+"/api/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := outside.http.Do(r)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%v, %v", answer, err)
	}
	defer answer.Body.Close()
	next := eventsOf(answer.Body)
	if got := next(); got != "reset {}" {
		t.Errorf("the first event is %q", got)
	}
	w.changes("pawl-1", "other")
	if got := next(); !strings.HasPrefix(got, `changed {"id":"pawl-1"`) {
		t.Errorf("heard %q", got)
	}
	outside.want(200, "", "DELETE", "/auth/session?everywhere=true", "")
	w.changes("pawl-2", "other")
	for got := next(); got != ""; got = next() { // until the stream ends
		if strings.Contains(got, "pawl-2") {
			t.Errorf("whose session ended hears %q", got)
		}
	}
}
