// Package web holds the page on which people see and decide requests, as it was built from the
// sources in web/ by `make web`. The built files are committed, so that Go alone builds Pawl.
//
// The page is the same for everybody and holds no data: all of that it fetches from the API, with the
// credentials of whoever looks at it.
package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed dist
var dist embed.FS

// Addresses are where the page is served; parameters stand in braces. What they mean is the page's
// own affair. "/" is one more, for those who ask for HTML.
var Addresses = []string{
	"/requests/{id}", "/history", "/audit", "/policy", "/policy/{digest}", "/tools",
}

// AssetPath is where the page's script, style sheet and picture are, and the licences of what they
// were made of.
const AssetPath = "/assets/{file}"

// policy lets the page run its own script and style sheet and speak to its own server, and nothing
// else. No text becomes HTML or script: Trusted Types refuse it, and nothing may make any.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// WantsPage reports whether a request for "/" is a browser's, for the page.
func WantsPage(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// ServePage answers with the page.
func ServePage(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-cache") // it names the assets of this version
	h.Add("Vary", "Accept")
	files()["index.html"].serve(w, r)
}

// ServeAsset answers with an asset, and reports whether there is one of that name. Names with a dash
// hold the hash of what they name, so browsers may keep that.
func ServeAsset(w http.ResponseWriter, r *http.Request, name string) bool {
	f, ok := files()[name]
	if !ok || name == "index.html" {
		return false
	}
	w.Header().Set("Cache-Control", "no-cache")
	if strings.Contains(name, "-") {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	f.serve(w, r)
	return true
}

// file is one of the built files.
type file struct {
	mediaType    string
	text, zipped []byte
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h, body := w.Header(), f.text
	h.Set("Content-Type", f.mediaType)
	h.Add("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.zipped
	}
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // it fails if the client is gone
	}
}

// files are the built files by name, read at the first request. They are part of the program: what
// can't be read is a fault of its build.
var files = sync.OnceValue(func() map[string]file {
	all := map[string]file{}
	entries, err := fs.ReadDir(dist, "dist")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		text, err := fs.ReadFile(dist, path.Join("dist", e.Name()))
		if err != nil {
			panic(err)
		}
		var zipped bytes.Buffer
		z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // fails on unknown levels only
		if _, err = z.Write(text); err == nil {
			err = z.Close()
		}
		if err != nil {
			panic(err)
		}
		all[e.Name()] = file{mediaType(e.Name()), text, zipped.Bytes()}
	}
	return all
})

// mediaType is by the name alone: what this machine has under a name's end must not matter.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "text/plain; charset=utf-8"
}
