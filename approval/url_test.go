package approval_test

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

func TestPublicURL(t *testing.T) {
	for s, good := range map[string]bool{
		"https://pawl.example.com": true, "http://127.0.0.1:7295": true, "https://example.com/pawl/": true, "https://[::1]:8443": true,
		"": false, "pawl.example.com": false, "/pawl": false, "//pawl.example.com": false, "ftp://pawl.example.com": false,
		"https://": false, "https://:443": false, "https:pawl": false, "javascript://x": false, "https://ana:hunter2@pawl.example.com": false,
		"https://pawl.example.com?x=1": false, "https://pawl.example.com/?": false, "https://pawl.example.com/#x": false,
		"https://pawl.example.com\n": false, "https://pawl example.com": false, "https://pawl.example.com:port": false,
	} {
		err := approval.CheckPublicURL(s)
		if (err == nil) != good || err != nil && (approval.CodeOf(err) != approval.CodeInvalid || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, c := range [][3]string{
		{"", "pawl-1", ""},
		{"https://pawl.example.com", "pawl-1", "https://pawl.example.com/requests/pawl-1"},
		{"https://example.com/pawl/", "order/7 ?#%", "https://example.com/pawl/requests/order%2F7%20%3F%23%25"},
	} {
		if got := approval.RequestURL(c[0], c[1]); got != c[2] {
			t.Errorf("%v: %s", c, got)
		}
	}
}
