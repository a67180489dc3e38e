package redact_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/redact"
)

// Texts that make a plain search walk far at every byte must not make this one slow: agents choose
// them, and workers read them.
func TestSlowTexts(t *testing.T) {
	const size = 32 << 10
	for _, piece := range []string{
		`password="`, `password='`, `password=[`, `password={"`, `password="\"`, `{"`, `["`, `[`, `{"a":`, `{"password":`, `{"value":`, `{"password":{"a":`, `'`, `"\"`, `- `, `--password `,
		`--password "`, `=`, `:`, `a=`, `a b c d e f=`, `://`, `://a:`, `http://a:b@`, `@tcp(`, `@(`, `eyJ`, `eyJ.`, `eyJhbGciOiJIUzI1NiJ9.`,
		`Bearer `, `Bearer a`, `Basic a:`, `-----BEGIN `, `-----BEGIN PRIVATE KEY-----`, `-----BEGIN PRIVATE KEY-----x-----END PRIVATE KEY-----`,
		`ghp_`, `github_pat_`, `sk-ant-`, `pscale_pw_`, `xoxb-1`, `1:A`, `11111111`, `curl -u a:`, `curl -u "a`, `\u005cu005c`, `u005c`, `\`, `\\"`, `%25`, `%`, `%3D`,
		`<password>`, `<`, `>`, `name=password `, `name: password value: `, `cookie=a; b=c; `, `password=a,`, `password=a}`, `a_`, `aB`, `ä`, `密`, `password 'x`, `password("`, `( "`,
		`AccountKey=`, `password=x://`, `host=`, `{"name":"password","value":`, `{name: password, value: `, "value\n", `,`, `}`, ` `, "\n",
	} {
		for _, before := range []string{"", `\u005c`} {
			text := before + strings.Repeat(piece, size/len(piece))
			if piece == `{"value":` {
				text += "1" + strings.Repeat(`,"name":"password"}`, size/len(piece))
			} else if closed := strings.Count(piece, "{") + strings.Count(piece, "["); closed > 0 && before == "" {
				text += "1" + strings.Repeat("}", size/len(piece))
			}
			doc, _ := json.Marshal([]string{text})
			start := time.Now()
			r := redact.New([]string{"password", "api_key", "cookie"}, approval.RedactDefault)
			r.Args(doc)
			r.Text(text)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%q after %q took %v", piece, before, took)
			}
		}
	}
}
