package cli

import (
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Minute: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m",
		61 * time.Second: "1m01s", 90 * time.Second: "1m30s", 9*time.Minute + 59*time.Second + 900*time.Millisecond: "10m",
		29*time.Minute + 59*time.Second: "30m", 29*time.Minute + 29*time.Second: "29m", 59*time.Minute + 59*time.Second: "1h00m",
		time.Hour: "1h00m", 47*time.Hour + 5*time.Minute: "47h05m", 48*time.Hour - time.Second: "2d00h", 60 * time.Hour: "2d12h",
	} {
		if got := Span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestReadable(t *testing.T) {
	for doc, want := range map[string]string{
		`{"a":"\u003cb\u003e"}`:    `{"a":"<b>"}`,
		`"\u0430\u0431"`:           `"аб"`,
		`"\ud83d\ude00"`:           `"😀"`,
		`"\u202eabc\u001b[2J"`:     `"\u202eabc\u001b[2J"`,
		`"\u0022,\u005c"`:          `"\u0022,\u005c"`,
		`"\\u003c"`:                `"\\u003c"`,
		`"\n\t\"\/"`:               `"\n\t\"\/"`,
		`"\udb40\udc41x"`:          `"\udb40\udc41x"`,
		`{"a":1,"b":[true,null]}`:  `{"a":1,"b":[true,null]}`,
		`not JSON \u003c and \u00`: `not JSON < and \u00`,
	} {
		if got := readable([]byte(doc)); got != want {
			t.Errorf("%s: got %s, want %s", doc, got, want)
		}
	}
}
