package redact_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/redact"
)

// Each text holds what must not show, under no name that says so.
var secretTexts = map[string][2]string{
	"private key":       {"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----", "MIIEpA"},
	"key of OpenSSH":    {"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n-----END OPENSSH PRIVATE KEY-----", "b3Blb"},
	"key of PGP":        {"-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQOYBF\n-----END PGP PRIVATE KEY BLOCK-----", "lQOYBF"},
	"key without end":   {"-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA", "MIIEpA"},
	"key on one line":   {`-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----`, "MHcCAQ"},
	"JWT":               {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP", "eyJzdW"},
	"JWT without sign":  {"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjM0In0.", "eyJzdW"},
	"JWE":               {"eyJhbGciOiJkaXIifQ..48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6ji.XFBoMYUZodetZdvTiFvSkQ", "5eym8TW"},
	"bearer":            {"Bearer s3cr3t-abc", "s3cr3t"},
	"bearer, lower":     {"authorization: bearer abcdefghijklmnopqrstuv", "abcdefghijklm"},
	"basic":             {"Authorization: Basic YW5uOmh1bnRlcjI=", "YW5uOm"},
	"URL":               {"postgres://ann:hunter2@db.example.com/d", "hunter2"},
	"URL with @":        {"postgres://ann:hun@ter2@db.example.com/d", "ter2"},
	"URL with /":        {"postgres://ann:hun/ter2@db.example.com/d", "ter2"},
	"URL without user":  {"redis://:hunter2@cache:6379/0", "hunter2"},
	"URL, a token":      {"https://abcdefghijklmnop1234@github.com/a/b.git", "abcdefgh"},
	"URL in JSON":       {`{"url":"amqp://ann:hunter2@mq"}`, "hunter2"},
	"URL, escaped":      {`https%3A%2F%2Fann%3Ahunter2%40h%2Fp`, "hunter2"},
	"DSN of Go":         {"ann:hunter2@tcp(db:3306)/d", "hunter2"},
	"DSN":               {"host=db user=ann password=hunter2 dbname=d", "hunter2"},
	"DSN of ADO":        {"Server=db;User Id=ann;Pwd=hunter2;", "hunter2"},
	"DSN of JDBC":       {"jdbc:postgresql://db/d?user=ann&password=hunter2", "hunter2"},
	"storage of Azure":  {"AccountName=a;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq==", "Eby8vd"},
	"curl":              {"curl -u ann:hunter2 https://h", "hunter2"},
	"curl, joined":      {"curl -sSu ann:hunter2 https://h", "hunter2"},
	"curl, long":        {"curl --user 'ann:hunter 2' https://h", "hunter 2"},
	"Telegram":          {"https://api.telegram.org/bot1234567890:AAH4jkLmNoPqRsTuVwXyZ0123456789abcd/getMe", "AAH4jk"},
	"webhook of Slack":  {"https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX", "XXXXXXXX"},
	"in a word of JSON": {`{\"a\":\"ghp_abcdefghijklmnop0123456789\"}`, "ghp_"},
}

func TestKnownSecrets(t *testing.T) {
	for name, c := range secretTexts {
		doc, _ := json.Marshal(map[string]any{"x": []any{"a " + c[0] + " z"}})
		hidden := redact.New(nil, approval.RedactDefault)
		args := string(hidden.Args(doc))
		if strings.Contains(args, c[1]) || !strings.Contains(args, redact.Mark) || !strings.Contains(args, "a ") {
			t.Errorf("%s: %s", name, args)
		}
		if again := string(redact.New(nil, approval.RedactDefault).Args(json.RawMessage(args))); again != args {
			t.Errorf("%s: hidden twice it is\n%s\nnot\n%s", name, again, args)
		}
		for _, got := range []string{hidden.Text(c[0]), string(hidden.JSON(doc)), redact.New(nil, "unheard of").Text(c[0])} {
			if strings.Contains(got, c[1]) {
				t.Errorf("%s: %s", name, got)
			}
		}
		if got := string(redact.New(nil, approval.RedactNone).Args(doc)); got != string(doc) {
			t.Errorf("%s: none hides: %s", name, got)
		}
	}
	doc := `{"argv":["/usr/bin/curl","-u","ann:hunter2","https://h"]}`
	want := `{"argv":["/usr/bin/curl","-u","ann:[redacted]","https://h"]}`
	if got := redact.New(nil, approval.RedactDefault).Args(json.RawMessage(doc)); string(got) != want {
		t.Errorf("curl in a list: %s", got)
	}
}

// Every prefix of the data file hides a token of its form, and one that was cut.
func TestVendorTokens(t *testing.T) {
	data, err := os.ReadFile("tokens.txt")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	count := 0
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		count++
		alphabet := "0123456789"
		switch {
		case strings.HasPrefix(f[2], "A-Za-z"), strings.HasPrefix(f[2], "a-f"), strings.HasPrefix(f[2], "a-z"):
			alphabet = "abcdef"
		case strings.HasPrefix(f[2], "A-"):
			alphabet = "ABCDEF"
		}
		body := make([]byte, 64)
		for i := range body {
			body[i] = alphabet[random.IntN(len(alphabet))]
		}
		r := redact.New(nil, approval.RedactDefault)
		if got := r.Text("it is " + f[0] + string(body) + ", so"); got != "it is [redacted], so" {
			t.Errorf("%s: %s", f[0], got)
		}
		if got := r.Text("it is " + f[0] + string(body[:6]) + "… (7 bytes more)"); got != "it is [redacted]… (7 bytes more)" {
			t.Errorf("%s, cut: %s", f[0], got)
		}
	}
	if count < 60 {
		t.Errorf("only %d prefixes were read", count)
	}
}

// IDs, digests and ordinary text stay readable.
func TestWhatStays(t *testing.T) {
	r := redact.New([]string{"password", "api_key", "token"}, approval.RedactDefault)
	for _, text := range []string{
		"7d444840-9dc0-11d1-b245-5ffdce74fad2", "01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"da39a3ee5e6b4b0d3255bfef95601890afd80709", "call-refund-4712", "v1.2.3-rc.1+build.5",
		"https://example.com/a/b?c=d#e", "https://example.com:8443/@user/post:1", "https://medium.com/@ann/a-b",
		"ssh://git@github.com/a/b.git", "git@github.com:a/b.git", "https://ann@bitbucket.org/a/b.git",
		"http://[2001:db8::1]:80/x@y", "mailto:ann@example.com", "ann@example.com", "12:34:56", "key: value",
		"the bearer token is missing", "bearer of good news", "basic rules apply", "Basic auth is off",
		"task-management-system-for-small-teams", "risk-free", "sk-SK", "SKU-1234", "SG. It was there",
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----\nMIIB",
		"eyJhbGciOiJIUzI1NiJ9", "docker run -u 1000:1000 -p 80:80 nginx", "rsync -u a:/b c", "AKIA is a prefix",
		"npm_config_cache=/tmp", "hf_hub_download", "the password was changed", "tokens used: 17", "max_tokens=100",
		"compare a=b and c=d", "if a > b then c", "select * from t where id = 7", "file.go:12:3: undefined: x",
		"2026-01-02T03:04:05Z", "10.0.0.1:8080", "C:\\Users\\ann\\x.txt", "50% of 100%25", "100%", "a%zzb",
		`{"a":[1,2,{"b":"c"}]}`, "[redacted]", "mypassword=visible", "arn:aws:iam::123456789012:role/Admin",
		"xoxo, ann", "pypi-server", "glpat-", "whsec", "dapi-docs", "user=ann host=db", "pass: 3, fail: 1",
	} {
		doc, _ := json.Marshal([]string{text})
		if got := string(r.Args(doc)); got != string(doc) {
			t.Errorf("%q became %s", text, got)
		}
		if got := r.Text(text + " "); got != text+" " {
			t.Errorf("%q became %q in a text", text, got)
		}
	}
}

// BenchmarkRedact is for one argument of 64 KiB: ordinary text, JSON, and a command.
func BenchmarkRedact(b *testing.B) {
	const size = 64 << 10
	prose := strings.Repeat("The refund of order 4712 was approved by ann@example.com: see https://example.com/orders/4712. ", 700)
	var records strings.Builder
	for i := 0; records.Len() < size; i++ {
		fmt.Fprintf(&records, `{"id":%d,"name":"item %d","url":"https://example.com/%d","tags":["a","b"],"note":"x=%d"},`, i, i, i, i)
	}
	list := "[" + strings.TrimSuffix(records.String(), ",") + "]"
	nested, _ := json.Marshal(map[string]string{"body": list})
	for name, text := range map[string]string{
		"prose": prose[:size], "json": list, "json in json": string(nested),
		"hex": strings.Repeat("e3b0c44298fc1c14", size/16),
	} {
		doc, err := json.Marshal(map[string]string{"x": text})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				redact.New([]string{"password", "api_key", "authorization"}, approval.RedactDefault).Args(doc)
			}
		})
	}
	b.Run("json as arguments", func(b *testing.B) {
		doc := json.RawMessage(`{"x":` + list + `}`)
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			redact.New([]string{"password", "api_key", "authorization"}, approval.RedactDefault).Args(doc)
		}
	})
}
