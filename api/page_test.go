package api

import (
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/pawlhq/pawl/api/web"
)

func init() { openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder) }

const acceptPage = "text/html,application/xhtml+xml,*/*;q=0.8"

// addresses are the page's, with something in place of parameters.
func addresses() []string {
	all := []string{"/"}
	for _, a := range web.Addresses {
		all = append(all, regexp.MustCompile(`\{\w+\}`).ReplaceAllString(a, "pawl-x%2Fy"))
	}
	return all
}

func TestPageIsServedToEverybody(t *testing.T) {
	w := guardedWorld(t)
	for _, address := range addresses() {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			rec := w.send(method, address+"?risk=high", "", "Accept", acceptPage)
			h := rec.Header()
			if rec.Code != 200 || !strings.HasPrefix(h.Get("Content-Type"), "text/html") {
				t.Errorf("%s %s: %d %s", method, address, rec.Code, h.Get("Content-Type"))
			}
			if (rec.Body.Len() == 0) != (method == http.MethodHead) {
				t.Errorf("%s %s has %d bytes", method, address, rec.Body.Len())
			}
			csp := h.Get("Content-Security-Policy")
			for _, part := range []string{
				"default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'",
				"frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
			} {
				if !strings.Contains(csp, part) {
					t.Errorf("%s: the CSP lacks %s: %s", address, part, csp)
				}
			}
			if strings.Contains(csp, "unsafe") || strings.Contains(csp, "data:") {
				t.Errorf("%s: %s", address, csp)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
				"Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-cache",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s: %s: %q", address, name, got)
				}
			}
		}
	}
	if len(w.store.entries) > 0 {
		t.Errorf("looking at the page left entries: %v", w.store.entries)
	}
}

func TestPageTakesNothing(t *testing.T) {
	w := newWorld(t)
	for _, address := range addresses() {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			rec := w.send(method, address, "")
			if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow: %s", method, address, rec.Code, rec.Header().Get("Allow"))
			}
		}
	}
}

func TestPageOnlyOnKnownHosts(t *testing.T) {
	w := newWorld(t)
	for _, address := range addresses() {
		rec := w.send("GET", address, "", "Accept", acceptPage, "Host", "pawl.attacker.example")
		if rec.Code != http.StatusMisdirectedRequest {
			t.Errorf("%s: %d", address, rec.Code)
		}
	}
}

func TestPageAssets(t *testing.T) {
	w := newWorld(t)
	html := w.send("GET", "/", "", "Accept", acceptPage).Body.String()
	assets := regexp.MustCompile(`/assets/[\w.-]+`).FindAllString(html, -1)
	if len(assets) != 3 {
		t.Fatalf("the page has the assets %v", assets)
	}
	for _, asset := range append(assets, "/assets/licences.txt") {
		plain := w.get(asset)
		kept, hashed := plain.Header().Get("Cache-Control"), strings.Contains(asset, "-")
		if plain.Code != 200 || plain.Body.Len() == 0 || strings.Contains(kept, "immutable") != hashed {
			t.Errorf("%s: %d, %d bytes, %s", asset, plain.Code, plain.Body.Len(), kept)
		}
		zipped := w.send("GET", asset, "", "Accept-Encoding", "br, gzip")
		z, err := gzip.NewReader(zipped.Body)
		if err != nil || zipped.Header().Get("Content-Encoding") != "gzip" {
			t.Fatalf("%s: %v, %v", asset, err, zipped.Header())
		}
		if text, err := io.ReadAll(z); err != nil || string(text) != plain.Body.String() {
			t.Errorf("%s differs when it is compressed: %v", asset, err)
		}
	}
	for _, none := range []string{"/assets/index.html", "/assets/..%2Findex.html", "/assets/page.js", "/assets/"} {
		expect(t, w.get(none), http.StatusNotFound, "no_such_route")
	}
}

// TestPageLoadsLittle holds the page to what a phone on a slow network gets in about a second.
func TestPageLoadsLittle(t *testing.T) {
	w := newWorld(t)
	html := w.send("GET", "/", "", "Accept", acceptPage, "Accept-Encoding", "gzip")
	sum := html.Body.Len()
	plain := w.send("GET", "/", "", "Accept", acceptPage).Body.String()
	for _, asset := range regexp.MustCompile(`/assets/[\w.-]+`).FindAllString(plain, -1) {
		sum += w.send("GET", asset, "", "Accept-Encoding", "gzip").Body.Len()
	}
	if sum > 60_000 {
		t.Errorf("the first load takes %d bytes", sum)
	}
	t.Logf("the first load takes %d bytes", sum)
}

func TestIndexForOthers(t *testing.T) {
	w := newWorld(t)
	for _, accept := range []string{"*/*", "text/plain", "application/json"} {
		if rec := w.send("GET", "/", "", "Accept", accept); !strings.Contains(rec.Body.String(), "/api/requests/{id}/approve") {
			t.Errorf("Accept: %s gets %s", accept, rec.Body)
		}
	}
}
