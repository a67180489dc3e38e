package temporal

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWebUIRefusesOtherSites sends what browsers send for pages of other sites and of the UI
// itself. All bring a token that agrees with their cookie: a page that was rebound here has one.
func TestWebUIRefusesOtherSites(t *testing.T) {
	o := options(t.TempDir())
	o.UIListen = "127.0.0.1:0"
	s := start(t, o)
	c := dial(t, s.FrontendAddr())
	defer work(t, c)()
	own := strings.TrimPrefix(s.UIURL(), "http://")
	port := own[strings.LastIndex(own, ":"):]
	const signal = "/api/v1/namespaces/default/workflows/asked/signal/answer"
	run := execute(t, c, "asked", await)

	send := func(t *testing.T, method, path, host, origin, site, answer string) *http.Response {
		t.Helper()
		body := ""
		if method == http.MethodPost {
			body = `{"input":{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"` + answer + `"}]}}`
		}
		req, err := http.NewRequestWithContext(t.Context(), method, s.UIURL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		for name, value := range map[string]string{"Origin": origin, "Sec-Fetch-Site": site} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		if method == http.MethodPost {
			req.AddCookie(&http.Cookie{Name: "_csrf", Value: "token"})
			req.Header.Set("X-CSRF-Token", "token")
		}
		client := &http.Client{Timeout: patience}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}

	for name, tc := range map[string]struct {
		method, path, host, origin, site string
		status                           int
	}{
		"rebound page":       {http.MethodGet, "/", "evil.example" + port, "", "none", http.StatusMisdirectedRequest},
		"rebound preflight":  {http.MethodOptions, signal, "evil.example" + port, "http://evil.example" + port, "same-origin", http.StatusMisdirectedRequest},
		"rebound read":       {http.MethodGet, "/api/v1/namespaces/default/workflows/asked/history", "evil.example" + port, "", "same-origin", http.StatusMisdirectedRequest},
		"rebound signal":     {http.MethodPost, signal, "evil.example" + port, "http://evil.example" + port, "same-origin", http.StatusMisdirectedRequest},
		"rebound, old":       {http.MethodPost, signal, "evil.example" + port, "http://evil.example" + port, "", http.StatusMisdirectedRequest},
		"rebound, bare name": {http.MethodPost, signal, "evil.example", "http://evil.example", "same-origin", http.StatusMisdirectedRequest},
		"other site":         {http.MethodPost, signal, own, "http://evil.example", "cross-site", http.StatusForbidden},
		"other site, old":    {http.MethodPost, signal, own, "http://evil.example", "", http.StatusForbidden},
		"other port":         {http.MethodPost, signal, own, "http://127.0.0.1:3000", "same-site", http.StatusForbidden},
		"other port, old":    {http.MethodPost, signal, own, "http://127.0.0.1:3000", "", http.StatusForbidden},
		"sandboxed page":     {http.MethodPost, signal, own, "null", "cross-site", http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			resp := send(t, tc.method, tc.path, tc.host, tc.origin, tc.site, "InN0b2xlbiI=") // "stolen"
			if resp.StatusCode != tc.status {
				t.Errorf("got %s, want %d", resp.Status, tc.status)
			}
			if len(resp.Cookies()) != 0 {
				t.Error("a refused page was given a cookie")
			}
		})
	}

	if resp := send(t, http.MethodGet, "/", "localhost"+port, "", "none", ""); resp.StatusCode != http.StatusOK || len(resp.Cookies()) == 0 {
		t.Errorf("own page: %s, cookies %v", resp.Status, resp.Cookies())
	}
	if resp := send(t, http.MethodPost, signal, "[::1]"+port, "http://[::1]"+port, "same-origin", "ImNsaWNrZWQi"); resp.StatusCode != http.StatusOK { // "clicked"
		t.Errorf("own signal: %s", resp.Status)
	}
	wantResult(t, run, "clicked") // and not "stolen"

	execute(t, c, "asked", await)
	if resp := send(t, http.MethodPost, signal, own, "http://"+own, "", "ImNsaWNrZWQi"); resp.StatusCode != http.StatusOK {
		t.Errorf("own signal of an old browser: %s", resp.Status)
	}
}

func TestUIHostNames(t *testing.T) {
	for name, tc := range map[string]struct {
		listen, bound   string
		answers, others []string
	}{
		"loopback": {
			"127.0.0.1:0", "127.0.0.1:8233",
			[]string{"localhost:8233", "LocalHost:8233", "localhost", "127.0.0.1:8233", "127.0.0.1", "127.9.8.7:8233", "[::1]:8233", "[::1]", "[0:0::1]:8233", "[::ffff:127.0.0.1]:8233"},
			[]string{
				"", ":8233", "evil.example:8233", "evil.example", "localhost.evil.example:8233", "evil.localhost:8233", "127.0.0.1.evil.example:8233",
				"localhost:80", "127.0.0.1:0", "[::1]:7233", "localhost:8233:8233", "localhost:8233@evil.example", "0.0.0.0:8233", "[::]:8233", "[::1%25lo]:8233",
				"2130706433:8233", "192.0.2.5:8233", "[2001:db8::1]:8233",
			},
		},
		"name": {
			"DevBox.example:8233", "192.0.2.5:8233",
			[]string{"devbox.example:8233", "DEVBOX.EXAMPLE", "192.0.2.5:8233", "localhost:8233"},
			[]string{"devbox.example:80", "devbox:8233", "x.devbox.example:8233", "192.0.2.6:8233", ""},
		},
		"IPv6 address": {
			"[2001:DB8:0::1]:8233", "[2001:db8::1]:8233",
			[]string{"[2001:db8::1]:8233", "[2001:db8::1]", "[::1]:8233"},
			[]string{"[2001:db8::2]:8233", "evil.example:8233"},
		},
		"every address": {
			"0.0.0.0:8233", "127.0.0.1:8233",
			[]string{"localhost:8233", "127.0.0.1:8233"},
			[]string{"", ":8233", "0.0.0.0:8233", "192.0.2.5:8233", "evil.example:8233"},
		},
		"every address, IPv6": {
			"[::]:8233", "127.0.0.1:8233",
			[]string{"localhost:8233"},
			[]string{"", "[::]:8233", "0.0.0.0:8233", "evil.example:8233"},
		},
		"no host": {
			":8233", "127.0.0.1:8233",
			[]string{"localhost:8233"},
			[]string{"", ":8233", "evil.example:8233"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := guardUI(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), tc.listen, tc.bound)
			for want, hosts := range map[int][]string{http.StatusNoContent: tc.answers, http.StatusMisdirectedRequest: tc.others} {
				for _, host := range hosts {
					for _, method := range []string{http.MethodGet, http.MethodPost} {
						r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
						r.Host = host
						w := httptest.NewRecorder()
						h.ServeHTTP(w, r)
						if w.Code != want {
							t.Errorf("%s with Host %q: %d, want %d", method, host, w.Code, want)
						}
					}
				}
			}
		})
	}
}
