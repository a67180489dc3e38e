package temporal

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
)

func TestWebUI(t *testing.T) {
	o := options(t.TempDir())
	o.UIListen = "127.0.0.1:0"
	s := start(t, o)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Timeout: patience}

	page := fetch(t, browser, http.MethodGet, s.UIURL()+"/namespaces/default/workflows", "")
	if !strings.Contains(page, "<html") || !strings.Contains(page, "/_app/") {
		t.Errorf("page is not the UI: %.200q", page)
	}
	script := page[strings.Index(page, "/_app/"):]
	script = script[:strings.IndexAny(script, `"'`)]
	if body := fetch(t, browser, http.MethodGet, s.UIURL()+script, ""); len(body) == 0 {
		t.Errorf("asset %s is empty", script)
	}

	var namespaces struct {
		Namespaces []struct {
			NamespaceInfo struct{ Name string } `json:"namespaceInfo"`
		} `json:"namespaces"`
	}
	if err := json.Unmarshal([]byte(fetch(t, browser, http.MethodGet, s.UIURL()+"/api/v1/namespaces", "")), &namespaces); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, n := range namespaces.Namespaces {
		found = found || n.NamespaceInfo.Name == DefaultNamespace
	}
	if !found {
		t.Errorf("API proxy does not list namespace default: %+v", namespaces)
	}
	settings := fetch(t, browser, http.MethodGet, s.UIURL()+"/api/v1/settings", "")
	for _, want := range []string{`"DisableNewsFetch":true`, `"NotifyOnNewVersion":false`} {
		if !strings.Contains(settings, want) {
			t.Errorf("settings lack %s: %s", want, settings)
		}
	}

	// A button press: the cookie from the first page must satisfy the CSRF check over plain HTTP.
	c := dial(t, s.FrontendAddr())
	defer work(t, c)()
	run := execute(t, c, "asked", await)
	fetch(t, browser, http.MethodPost, s.UIURL()+"/api/v1/namespaces/default/workflows/asked/signal/answer",
		`{"input":{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"ImNsaWNrZWQi"}]}}`)
	wantResult(t, run, "clicked")

	stop(t, s)
	if resp, err := browser.Get(s.UIURL()); err == nil {
		_ = resp.Body.Close()
		t.Error("UI still answers after Stop")
	}
}

func fetch(t *testing.T, browser *http.Client, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range browser.Jar.Cookies(req.URL) {
		if c.Name == "_csrf" {
			req.Header.Set("X-CSRF-Token", c.Value)
		}
	}
	resp, err := browser.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s", method, url, resp.Status, b)
	}
	return string(b)
}
