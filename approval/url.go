package approval

import (
	"net/url"
	"strings"
)

// CheckPublicURL checks the address under which people reach Pawl's page. The error's code is
// CodeInvalid; it does not quote the address, which may hold a password.
func CheckPublicURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" {
		return Errorf(CodeInvalid, "it is not an address like https://pawl.example.com")
	}
	if u.User != nil || strings.ContainsAny(s, "?#") {
		return Errorf(CodeInvalid, "it holds a user, a query or a fragment: give scheme, host, port and path only")
	}
	return nil
}

// RequestURL is the address of a request's page under a public URL, or empty without one.
func RequestURL(publicURL, id string) string {
	if publicURL == "" {
		return ""
	}
	return strings.TrimSuffix(publicURL, "/") + "/requests/" + url.PathEscape(id)
}
