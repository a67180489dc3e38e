package review_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/rest"
	"golang.org/x/mod/sumdb/tlog"
)

// TestExportTiles exports a log of five entries and a checkpoint of three, and later of five. The first
// answer breaks off after the first entry.
func TestExportTiles(t *testing.T) {
	var r tree.Range
	lines, sealed := []string{}, map[int]string{}
	for n := range 5 {
		r.Add(tlog.RecordHash(fmt.Append(nil, n)), nil)
		sealed[n+1] = tree.Text("pawl/x", tlog.Tree{N: r.Size(), Hash: r.Root()})
		lines = append(lines, fmt.Sprintf(`{"call_id":"c","step":"s","kind":"call.ended","at":"2026-03-01T12:00:00Z","payload":{},`+
			`"leaf_hash":"b1","index":%d,"metadata":"%d","cursor":"entries-%d"}`+"\n", n, n, n))
	}
	size, cut := 3, false
	var asked []string
	api := clitest.NewAPI(t)
	api.On("GET /api/audit/export", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", rest.NDJSON)
		asked = append(asked, r.URL.RawQuery)
		first := 0
		if n, _ := fmt.Sscanf(r.URL.Query().Get("cursor"), "entries-%d", &first); n == 1 {
			first++
		}
		for n := first; n < 5; n++ {
			line := lines[n]
			if n >= size {
				line = strings.Replace(line, fmt.Sprintf(`"index":%d,`, n), "", 1)
			}
			_, _ = fmt.Fprint(w, line)
			if n+1 == size {
				_, _ = fmt.Fprintf(w, `{"checkpoint":%q,"cursor":"entries-%d"}`+"\n", sealed[size], n)
			}
			if !cut {
				cut = true
				_, _ = fmt.Fprint(w, `{"problem":"the store does not answer"}`+"\n")
				return
			}
		}
	})
	dir := filepath.Join(t.TempDir(), "log")
	export := func() {
		t.Helper()
		r := clitest.CommandLine{API: api.URL}.Run(t, "audit", "export", "--tiles", dir)
		signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
		if r.Code != cli.ExitDone || err != nil || string(signed) != sealed[size] ||
			!strings.Contains(r.Err, fmt.Sprintf("%d sealed entries are in", size)) {
			t.Errorf("code %d, %s\n%s, %v", r.Code, r.Err, signed, err)
		}
	}
	export()
	size = 5
	export()
	export()
	if want := []string{"", "", "cursor=entries-2", "cursor=entries-4"}; fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	for _, more := range []string{"--last 1h", "--after x", "--format csv", "--file x", "--kind call.ended"} {
		r := clitest.CommandLine{API: api.URL}.Run(t, append([]string{"audit", "export", "--tiles", dir}, strings.Fields(more)...)...)
		if r.Code != cli.ExitUsage || !strings.Contains(r.Err, "--tiles takes the whole log") {
			t.Errorf("%s: code %d, %s", more, r.Code, r.Err)
		}
	}
}
