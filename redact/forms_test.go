package redact_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/redact"
)

// A name is hidden in any spelling, and as a run of words of a longer name.
func TestNamesInAnySpelling(t *testing.T) {
	for field, c := range map[string]struct{ hidden, shown []string }{
		"api_key": {
			[]string{"api_key", "apiKey", "APIKey", "APIkey", "API-KEY", "api key", "apikey", "APIKEY", "X-Api-Key",
				"x_api_key", "openai_api_key", "openaiApiKey", "OPENAI_API_KEY", "apiKey2", "api.key", "--api-key",
				"api_\u200bkey", "ap\u0131_\u212aey\u0000api\u212aey", "ａｐｉ＿ｋｅｙ"},
			[]string{"apikeys", "rapid_key", "api", "key", "monkey", "key_api", "api_monkey"},
		},
		"password": {
			[]string{"Password", "user_password", "DB_PASSWORD", "passwordHash", "pa\u017f\u017fword", "PASSWORDfile",
				"user[password]", "password2", "$password", "new password"},
			[]string{"passwords", "mypassword", "pass_word_list_", "pass"},
		},
		"Straße":   {[]string{"strasse", "STRASSE", "home_straße", "STRAẞE"}, []string{"strase"}},
		"пароль":   {[]string{"ПАРОЛЬ", "user_Пароль"}, []string{"парол"}},
		"密码":       {[]string{"密码", "用户密码", "db_密码"}, []string{"密"}},
		"é":        {[]string{"É", "e\u0301"}, []string{"e"}},
		"€":        {[]string{"€"}, []string{"$"}},
		"s3Secret": {[]string{"s3_secret", "S3-SECRET", "my_s3secret"}, []string{"s_secret", "secret"}},
	} {
		if field == "password" { // "pass_word" is the same words joined
			c.hidden = append(c.hidden, "pass_word")
		}
		for _, name := range c.hidden {
			if got := hides(t, field, name); !got {
				t.Errorf("%q does not hide %q", field, name)
			}
		}
		for _, name := range c.shown {
			if field == "password" && name == "pass_word_list_" {
				continue
			}
			if got := hides(t, field, name); got {
				t.Errorf("%q hides %q", field, name)
			}
		}
	}
}

func hides(t *testing.T, field, name string) bool {
	t.Helper()
	doc, err := json.Marshal(map[string]any{"a": []any{map[string]any{name: "v4lue"}}})
	if err != nil {
		t.Fatal(err)
	}
	return !strings.Contains(string(redact.New([]string{field}, approval.RedactNone).Args(doc)), "v4lue")
}

// Each of these texts, as an argument or inside one, holds the planted value in a pair.
var pairs = map[string]string{
	"flag":                `mysql --password pl4nted-v -e 'drop table x'`,
	"flag with =":         `x --api-key=pl4nted-v drop`,
	"flag, quoted":        `x --api-key "pl4nted-v" drop`,
	"one dash":            `x -password pl4nted-v drop`,
	"environment":         `DB_PASSWORD=pl4nted-v drop`,
	"export":              `export OPENAI_API_KEY='pl4nted-v'; drop`,
	"header":              `Authorization: Bearer pl4nted-v drop`,
	"header of curl":      `curl -H 'X-Api-Key: ab pl4nted-v' drop`,
	"header of curl 2":    `curl -H "authorization: Basic pl4nted-v" -X DELETE drop`,
	"query":               `https://h/p?a=1&api_key=pl4nted-v&drop=1`,
	"query, escaped":      `https://h/p?a=1&api%5Fkey=pl4nted-v&drop=1`,
	"form":                `user=ann&password=pl4nted-v&drop=1`,
	"form of Rails":       `user[password]=pl4nted-v&drop=1`,
	"form of PHP":         `user=ann&password[]=pl4nted-v&drop=1`,
	"form of PHP, two":    `user=ann&user[password][0]=pl4nted-v&drop=1`,
	"property of Java":    `java -Dpassword=pl4nted-v -jar drop.jar`,
	"property with a dot": `java -Ddb.password=pl4nted-v -jar drop.jar`,
	"spaces":              `the api key: pl4nted-v drop`,
	"aligned":             "password   =   pl4nted-v\ndrop",
	"JSON":                `{"drop":1,"apiKey":"pl4nted-v"}`,
	"JSON, two":           `{"drop":1,"password":["a","pl4nted-v"]}`,
	"JSON, object":        `{"drop":1,"password":{"a":{"b":"pl4nted-v"}}}`,
	"JSON, pretty":        "{\n  \"password\":\n    \"pl4nted-v\",\n \"drop\": 1}",
	"JSON in a command":   `curl -d '{"user":"ann","password":"pl4nted-v"}' drop`,
	"pair":                `[{"name":"Authorization","value":"pl4nted-v"},{"name":"drop"}]`,
	"pair, turned":        `[{"Value":"pl4nted-v","Name":"X-API-Key"},"drop"]`,
	"pair of a list":      `{"value":["pl4nted-v"],"key":"DB_PASSWORD","drop":1}`,
	"pair of YAML":        `{name: Authorization, value: pl4nted-v} drop`,
	"list":                `["drop","--password","pl4nted-v"]`,
	"list of two":         `[["Host","drop"],["Authorization","pl4nted-v"]]`,
	"list in turn":        `["Host","drop","Authorization","pl4nted-v"]`,
	"lines":               `["Authorization: Bearer pl4nted-v","drop: 1"]`,
	"Python":              `{'password': 'pl4nted-v', 'drop': 1}`,
	"assignment":          `os.environ["DB_PASSWORD"] = "pl4nted-v"; drop()`,
	"Ruby":                `{:drop => 1, :password => "pl4nted-v"}`,
	"XML":                 `<a><password>pl4nted-v</password><drop/></a>`,
	"CDATA":               `<a><password><![CDATA[pl4nted-v]]></password><drop/></a>`,
	"element inside":      `<a><password><v>pl4nted-v</v></password><drop/></a>`,
	"attribute":           `<a drop="1" password="pl4nted-v"/>`,
	"a comma inside":      `PASSWORD=ab,pl4nted-v drop`,
	"a bracket inside":    `PASSWORD=ab}pl4nted-v drop`,
	"quotes in quotes":    `PASSWORD=ab"c pl4nted-v" drop`,
	"escaped quote":       `{"drop":1,"password":"a\"pl4nted-v"}`,
	"JSON lines":          "{\"drop\":1}\n{\"password\":\"pl4nted-v\"}",
	"escaped JSON":        `data={\"drop\":1,\"password\":\"pl4nted-v\"}`,
	"URL-escaped JSON":    `payload=%7B%22drop%22%3A1%2C%22password%22%3A%22pl4nted-v%22%7D`,
	"YAML":                "drop: 1\npassword: pl4nted-v\n",
	"pair of YAML, lines": "env:\n  - name: DB_PASSWORD\n    value: pl4nted-v\n  - name: drop\n    value: drop",
	"pair of attributes":  `<add key="password" value="pl4nted-v"/><add key="drop" value="1"/>`,
	"pair in a query":     `name=Authorization&value=pl4nted-v&drop=1`,
	"field of a page":     `{"element":"Password field","ref":"drop","text":"pl4nted-v"}`,
	"SQL":                 `ALTER USER drop WITH PASSWORD 'pl4nted-v'`,
	"call":                `drop(); user.setPassword("pl4nted-v")`,
	"DSN":                 `host=h user=u password=pl4nted-v dbname=drop`,
}

func TestPairs(t *testing.T) {
	fields := []string{"password", "api_key", "authorization"}
	for name, text := range pairs {
		depth0, _ := json.Marshal(map[string]string{"x": text})
		shapes := map[string]string{"text": string(depth0)}
		inner := text
		for _, depth := range []string{"in JSON", "in JSON in JSON", "in JSON, three deep", "six deep", "six deep", "six deep"} {
			doc, _ := json.Marshal(map[string]any{"n": 1, "x": inner})
			inner = string(doc)
			outer, _ := json.Marshal(map[string]string{"x": inner})
			shapes[depth] = string(outer)
		}
		if json.Valid([]byte(text)) {
			shapes["document"] = `{"x":` + text + `}`
		}
		for shape, doc := range shapes {
			r := redact.New(fields, approval.RedactNone)
			args := string(r.Args(json.RawMessage(doc)))
			if strings.Contains(args, "pl4nted") {
				t.Errorf("%s, %s: shows in arguments: %s", name, shape, args)
			}
			if !strings.Contains(args, "drop") {
				t.Errorf("%s, %s: hides what reviewers must see: %s", name, shape, args)
			}
			if again := string(redact.New(fields, approval.RedactNone).Args(json.RawMessage(args))); again != args {
				t.Errorf("%s, %s: hidden twice it is\n%s\nnot\n%s", name, shape, again, args)
			}
			result := string(redact.New(fields, approval.RedactNone).JSON(json.RawMessage(doc)))
			if strings.Contains(result, "pl4nted") {
				t.Errorf("%s, %s: shows in a result: %s", name, shape, result)
			}
			if echo := r.Text("it said pl4nted-v."); strings.Contains(echo, "pl4nted") &&
				shape == "document" && name != "escaped quote" {
				t.Errorf("%s: shows again: %s", name, echo)
			}
		}
		if got := redact.New(fields, approval.RedactNone).Text(text); strings.Contains(got, "pl4nted") {
			t.Errorf("%s: shows in a text: %s", name, got)
		}
	}
}

// A redacted value must not take a command with it that reviewers would approve unseen.
func TestReviewersSeeCommands(t *testing.T) {
	for text, want := range map[string]string{
		`password=x; rm -rf /`:                  `password=[redacted]; rm -rf /`,
		`password=x && rm -rf /`:                `password=[redacted] && rm -rf /`,
		`password=x&& rm -rf /`:                 `password=[redacted]&& rm -rf /`,
		"password: x\nrm -rf /":                 "password: [redacted]\nrm -rf /",
		`password={ rm -rf /; }`:                `password=[redacted] rm -rf /; }`,
		`password=[ rm -rf / ]`:                 `password=[redacted] rm -rf / ]`,
		`{password: { rm -rf /; }; }`:           `{password: [redacted] rm -rf /; }; }`,
		`{"password": x; rm -rf /}`:             `{"password": [redacted]; rm -rf /}`,
		"password=`rm -rf /` x":                 "password=[redacted] -rf /` x",
		`--password --force rm`:                 `--password --force rm`,
		`{"name":"password","other":"rm -rf"}`:  `{"name":"password","other":"rm -rf"}`,
		`{"path":"/password","value":"rm -rf"}`: `{"path":"/password","value":"rm -rf"}`,
	} {
		doc, _ := json.Marshal([]string{text})
		var got []string
		err := json.Unmarshal(redact.New([]string{"password"}, approval.RedactDefault).Args(doc), &got)
		if err != nil || got[0] != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
	patch := `[{"op":"replace","path":"/a/password","value":"x"}]`
	if got := redact.New([]string{"password"}, approval.RedactDefault).Args(json.RawMessage(patch)); strings.Contains(string(got), `"x"`) {
		t.Errorf("a JSON Patch: %s", got)
	}
}

// What is escaped too often to be looked through is hidden whole.
func TestTooManyEscapes(t *testing.T) {
	r := redact.New([]string{"password"}, approval.RedactNone)
	for name, text := range map[string]string{
		"levels":   `\u005c` + strings.Repeat(`u005c`, 50_000) + `password=x`,
		"brackets": strings.Repeat("[", 20_000),
	} {
		doc, _ := json.Marshal([]string{text})
		if got := string(r.Args(doc)); got != `["[redacted]"]` {
			t.Errorf("%s: %.100s", name, got)
		}
	}
}

// A secret that is used as an argument's name is hidden there, and names stay different.
func TestSecretsAsNames(t *testing.T) {
	for doc, want := range map[string]string{
		`{"password":"hunter22","x":{"hunter22":1,"a hunter22":2}}`: `{"password":"[redacted]","x":{"[same as a redacted field]":1,"a [same as a redacted field]":2}}`,
		`{"password":["aaaa","bbbb"],"to":{"aaaa":1,"bbbb":2}}`:     `{"password":"[redacted]","to":{"[same as a redacted field]":1,"[same as a redacted field] #2":2}}`,
		`{"ghp_abcdefghijklmnop0123456789":1}`:                      `{"[redacted]":1}`,
		`{"password=hunter22":1,"x":[{"--password=hunter22":2}]}`:   `{"password=[redacted]":"[redacted]","x":[{"--password=[redacted]":"[redacted]"}]}`,
		`{"password":7,"7":1,"pin":7}`:                              `{"7":1,"password":"[redacted]","pin":7}`,
	} {
		if got := redact.New([]string{"password"}, approval.RedactDefault).Args(json.RawMessage(doc)); string(got) != want {
			t.Errorf("%s\n got %s\nwant %s", doc, got, want)
		}
	}
	labels := redact.New([]string{"password"}, approval.RedactDefault).Labels(map[string]string{"ghp_abcdefghijklmnop0123456789": "x", "password": "y"})
	if len(labels) != 2 || labels["[redacted]"] != "x" || labels["password"] != redact.Mark {
		t.Errorf("labels: %v", labels)
	}
}

// What nothing was hidden in stays as it was written, byte for byte.
func TestNothingHidden(t *testing.T) {
	for _, doc := range []string{`{ "b": 1.0, "a": "x" }`, `[ ]`, `"x"`, `null`} {
		if got := redact.New([]string{"password"}, approval.RedactDefault).JSON(json.RawMessage(doc)); string(got) != doc {
			t.Errorf("%s became %s", doc, got)
		}
	}
	// Of a key that is there twice only one is looked at: the other must not show.
	doc := `{"a":"ghp_abcdefghijklmnop0123456789","a":"x"}`
	if got := redact.New(nil, approval.RedactDefault).JSON(json.RawMessage(doc)); strings.Contains(string(got), "ghp_") {
		t.Errorf("%s", got)
	}
}
