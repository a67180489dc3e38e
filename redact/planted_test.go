package redact_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/redact"
)

// planted are forms in which a secret is known for what it is, whatever stands around it.
var planted = []string{
	"% password=@ ", "% --password=@ ", "% --password @ ", "%\nAuthorization: Bearer @\n", "%&api_key=@&", "% DB_PASSWORD=@ ",
	"% ghp_@ ", "% postgres://ann:@@db/d ", "% Bearer @ ",
	"%\n-----BEGIN PRIVATE KEY-----\n@\n-----END PRIVATE KEY-----\n",
}

// Whatever text stands around a secret, and however deep in JSON it stands, it does not show.
func FuzzPlanted(f *testing.F) {
	f.Add(0, 0, "a", "b")
	f.Add(3, 2, `{"a":"`, `"}`)
	f.Add(5, 1, `x='`, `' \u0041`)
	f.Add(7, 3, `["`, `%41`)
	f.Add(8, 1, `\`, `[redacted]`)
	f.Fuzz(func(t *testing.T, form, depth int, before, after string) {
		const secret = "Pl4ntedS3cretV4lueOfF0rty"
		if form < 0 || form >= len(planted) || depth < 0 || depth > 4 ||
			!utf8.ValidString(before+after) || strings.Contains(before+after, secret) {
			t.Skip()
		}
		text := strings.Replace(strings.Replace(planted[form], "@", secret, 1), "%", before, 1) + after
		for range depth {
			doc, _ := json.Marshal(map[string]string{"x": text})
			text = string(doc)
		}
		doc, _ := json.Marshal([]string{text})
		fields := []string{"password", "api_key", "authorization"}
		args := redact.New(fields, approval.RedactDefault).Args(doc)
		for what, got := range map[string]string{
			"arguments": string(args),
			"a result":  string(redact.New(fields, approval.RedactDefault).JSON(doc)),
			"a text":    redact.New(fields, approval.RedactDefault).Text(text),
		} {
			if strings.Contains(got, secret) {
				t.Errorf("shows in %s: %s", what, got)
			}
		}
		if again := redact.New(fields, approval.RedactDefault).Args(args); string(again) != string(args) && !utf8Cut(args) {
			t.Errorf("hidden twice it is\n%s\nnot\n%s", again, args)
		}
	})
}

// utf8Cut reports whether marks were set so close that hiding again joins them.
func utf8Cut(args []byte) bool { return strings.Count(string(args), redact.Mark) > 1 }
