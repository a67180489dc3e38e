package review_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
	"github.com/pawlhq/pawl/rest"
)

// exporting answers exports of five entries; the first answer breaks off after three. All are sealed, or as
// many as it says.
func exporting(t *testing.T, some ...int) (api *clitest.API, line func(n int) string) {
	api = clitest.NewAPI(t)
	line = func(n int) string {
		index := fmt.Sprintf(`"index":%d,`, n-1)
		if len(some) > 0 && n > some[0] {
			index = ""
		}
		return fmt.Sprintf(`{"call_id":"=c","step":"s%d","kind":"call.ended","at":"2026-03-01T12:00:00Z","payload":{"n":%d},%s`+
			`"leaf_hash":"b1","metadata":"{}","cursor":"entries-%d"}`+"\n", n, n, index, n)
	}
	cut := false
	api.On("GET /api/audit/export", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", rest.NDJSON)
		first := 1
		if after := r.URL.Query().Get("cursor"); after != "" {
			_, _ = fmt.Sscanf(after, "entries-%d", &first)
			first++
		}
		for n := first; n <= 5; n++ {
			if n == 4 && !cut {
				cut = true
				_, _ = fmt.Fprint(w, `{"problem":"the store does not answer"}`+"\n")
				return
			}
			_, _ = fmt.Fprint(w, line(n))
		}
	})
	return api, line
}

func TestExportGoesOn(t *testing.T) {
	whole := func(line func(int) string) (text string) {
		for n := range 5 {
			text += line(n + 1)
		}
		return text
	}
	t.Run("after a break", func(t *testing.T) {
		api, line := exporting(t)
		r := clitest.CommandLine{API: api.URL}.Run(t, "audit", "export", "--kind", "call.ended")
		asked := api.Requests("GET")
		if r.Code != cli.ExitDone || r.Out != whole(line) {
			t.Errorf("code %d, %s\n%s", r.Code, r.Err, r.Out)
		}
		if len(asked) != 2 || !strings.Contains(asked[1], "cursor=entries-3&kind=call.ended") {
			t.Errorf("asked %q", asked)
		}
	})
	for name, there := range map[string]func(func(int) string) string{
		"no file":            func(func(int) string) string { return "" },
		"two entries":        func(line func(int) string) string { return line(1) + line(2) },
		"half an entry more": func(line func(int) string) string { return line(1) + line(2)[:20] },
		"half an entry":      func(line func(int) string) string { return line(1)[:20] },
		"all":                whole,
	} {
		t.Run(name, func(t *testing.T) {
			api, line := exporting(t)
			file := filepath.Join(t.TempDir(), "log.ndjson")
			if text := there(line); text != "" {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := clitest.CommandLine{API: api.URL}.Run(t, "audit", "export", "--file", file)
			got, err := os.ReadFile(file)
			if r.Code != cli.ExitDone || err != nil || string(got) != whole(line) {
				t.Errorf("code %d, %s, %v\n%s", r.Code, r.Err, err, got)
			}
		})
	}
	t.Run("behind entries that are not sealed yet", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "log.ndjson")
		for sealed := range 5 { // by and by
			api, _ := exporting(t, sealed)
			r := clitest.CommandLine{API: api.URL}.Run(t, "audit", "export", "--file", file)
			if again := strings.Contains(r.Err, "run it again"); r.Code == cli.ExitDone == (sealed < 3) || again != (sealed < 3) {
				t.Errorf("%d sealed: code %d, %s", sealed, r.Code, r.Err)
			}
		}
		api, line := exporting(t)
		r := clitest.CommandLine{API: api.URL}.Run(t, "audit", "export", "--file", file)
		if got, err := os.ReadFile(file); r.Code != cli.ExitDone || err != nil || string(got) != whole(line) {
			t.Errorf("code %d, %s, %v\n%s", r.Code, r.Err, err, got)
		}
		api, _ = exporting(t, 0) // nobody verifies some kinds
		if r := (clitest.CommandLine{API: api.URL}).Run(t, "audit", "export", "--kind", "call.ended"); r.Code != cli.ExitDone {
			t.Errorf("code %d, %s", r.Code, r.Err)
		}
	})
	t.Run("not with another log or other filters", func(t *testing.T) {
		_, line := exporting(t)
		other := strings.Replace(line(3), `"step":"s3"`, `"step":"other"`, 1)
		const checkpoint = `{"checkpoint":"signed","cursor":"entries-2"}` + "\n"
		for name, c := range map[string]struct{ there, flags string }{
			"another log":            {line(1) + line(2) + other, ""},
			"a longer one":           {whole(line) + line(6), ""},
			"filters of before":      {line(1) + line(3), ""},
			"one entry of filters":   {line(3), ""},
			"filters now":            {line(1) + line(2) + checkpoint, "--kind call.ended"},
			"a whole log, longer":    {whole(line) + line(6) + checkpoint, ""},
			"another, cut off":       {line(1) + other + line(4)[:20], ""},
			"filters, and more then": {line(1) + line(2) + checkpoint + line(3), "--agent a"},
		} {
			api, _ := exporting(t)
			file := filepath.Join(t.TempDir(), "log.ndjson")
			if err := os.WriteFile(file, []byte(c.there), 0o600); err != nil {
				t.Fatal(err)
			}
			r := clitest.CommandLine{API: api.URL}.Run(t, append([]string{"audit", "export", "--file", file}, strings.Fields(c.flags)...)...)
			if got, err := os.ReadFile(file); r.Code == cli.ExitDone || err != nil || string(got) != c.there ||
				!strings.HasSuffix(strings.TrimSpace(r.Err), "name another file") {
				t.Errorf("%s: code %d, %s, %v\n%s", name, r.Code, r.Err, err, got)
			}
		}
	})
	t.Run("not in another file", func(t *testing.T) {
		api, _ := exporting(t)
		file := filepath.Join(t.TempDir(), "notes.txt")
		if err := os.WriteFile(file, []byte("buy milk\nand"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := clitest.CommandLine{API: api.URL}.Run(t, "audit", "export", "--file", file)
		if got, _ := os.ReadFile(file); r.Code == cli.ExitDone || string(got) != "buy milk\nand" ||
			!strings.Contains(r.Err, "not an export") {
			t.Errorf("code %d, %s\n%s", r.Code, r.Err, got)
		}
	})
}

func TestExportCSV(t *testing.T) {
	api, _ := exporting(t)
	r := clitest.CommandLine{API: api.URL}.Run(t, "audit", "export", "--format", "csv", "--after", "entries-4")
	want := "at,call_id,step,kind,payload,leaf_hash,damage,cursor\n" +
		`2026-03-01T12:00:00Z,'=c,s5,call.ended,"{""n"":5}",b1,,entries-5` + "\n"
	if r.Code != cli.ExitDone || r.Out != want {
		t.Errorf("code %d, %s\n%s", r.Code, r.Err, r.Out)
	}
	for line, want := range map[string]string{
		"--format xml": "ndjson or csv", "--format csv --file x": "--file takes lines", "--since now": "not a time",
	} {
		r := clitest.CommandLine{API: api.URL}.Run(t, append([]string{"audit", "export"}, strings.Fields(line)...)...)
		if r.Code != cli.ExitUsage || !strings.Contains(r.Err, want) {
			t.Errorf("%s: code %d, %s", line, r.Code, r.Err)
		}
	}
}
