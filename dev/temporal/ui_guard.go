package temporal

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// uiGuard keeps other sites' pages away from the UI, which can read every history and answer for
// anybody. ui-server's CSRF check compares the request with itself (cookie with header, Origin with
// Host), so a page whose name was made to resolve to this machine (DNS rebinding) passes it.
type uiGuard struct {
	next  http.Handler // behind the Origin check
	port  string       // of the listener
	names []string     // answered to besides loopback ones, as canonicalHost spells them
}

// guardUI lets through what asks for a loopback name, for the host of listen (Options.UIListen), or
// for that of bound, which is what browsers are told. A listener on all addresses adds no name.
func guardUI(next http.Handler, listen, bound string) http.Handler {
	g := &uiGuard{next: http.NewCrossOriginProtection().Handler(next)}
	for _, addr := range []string{listen, bound} {
		// An address that does not parse adds no name either.
		host, port, _ := net.SplitHostPort(addr)
		if a, err := netip.ParseAddr(host); host != "" && (err != nil || !a.Unmap().IsUnspecified()) {
			g.names = append(g.names, canonicalHost(host))
		}
		g.port = port // bound's in the end: listen's may be 0
	}
	return g
}

func (g *uiGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.answersTo(r.Host) {
		http.Error(w, "Temporal's UI does not answer under this Host name. "+
			"Use 127.0.0.1 or localhost with the right port, or have it listen on the name with --ui-listen.",
			http.StatusMisdirectedRequest)
		return
	}
	g.next.ServeHTTP(w, r)
}

// answersTo judges a Host header.
func (g *uiGuard) answersTo(header string) bool {
	u := url.URL{Host: header}
	if port := u.Port(); port != "" && port != g.port {
		return false
	}
	name := canonicalHost(u.Hostname())
	if a, err := netip.ParseAddr(name); err == nil && a.Zone() == "" && a.IsLoopback() {
		return true
	}
	return name == "localhost" || slices.Contains(g.names, name)
}

// canonicalHost spells a host name or an address in the one way that it is compared in.
func canonicalHost(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().String()
	}
	return strings.ToLower(host)
}
