package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	httpBlock = regexp.MustCompile("(?s)```http\n(.*?)```")
	exchange  = regexp.MustCompile(`(?s)POST (\S+)\n(\{.*?\})\n(?:\n(\d{3}) (\{.*?\})\n)?`)
)

// callerPage sends what docs/caller-tools.md shows of HTTP, in its order, and compares the answers. What
// stands as … there is of each call: IDs, revisions and times.
func callerPage(t *testing.T, w *world, approve func(id string)) {
	text, err := os.ReadFile("../../docs/caller-tools.md")
	if err != nil {
		t.Fatal(err)
	}
	sent, id, revision := 0, "", ""
	for _, block := range httpBlock.FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(block[1], "/api/calls/wait") { // here people are asked
			a := w.http(http.MethodPost, w.API+"/api/calls", `{"tool":"rm","execution":"caller"}`)
			id, revision = a.text("id"), a.text("revision")
			approve(id)
		}
		for _, m := range exchange.FindAllStringSubmatch(block[1], -1) {
			path := strings.ReplaceAll(m[1], "pawl-…", id)
			body := strings.NewReplacer("pawl-…", id, `"revision": "…"`, `"revision": `+strconv.Quote(revision)).Replace(m[2])
			a := w.http(http.MethodPost, w.API+path, body)
			if want := m[3]; a.code != http.StatusOK || want != "" && want != "200" {
				t.Fatalf("POST %s\n%s\nanswers %d %v", path, body, a.code, a.doc)
			}
			if sent++; m[4] == "" {
				continue
			}
			id = a.text("id")
			var shown map[string]any
			if err := json.Unmarshal([]byte(strings.Replace(m[4], ", …}", "}", 1)), &shown); err != nil {
				t.Fatalf("%s: %v", m[4], err)
			}
			for name, value := range shown {
				got := a.doc[name]
				if s := fmt.Sprint(value); got == nil || !strings.Contains(s, "…") && s != fmt.Sprint(got) {
					t.Errorf("POST %s: %s is %v, and the page says %s", path, name, got, s)
				}
			}
		}
	}
	if sent != 4 {
		t.Errorf("the page shows %d requests that were understood, want 4", sent)
	}
}
