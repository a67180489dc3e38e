package attempts

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	for _, c := range []struct{ was, now, want string }{
		{`{}`, `{}`, `null`},
		{`{"a":1,"b":[1,{"c":"x"}]}`, `{"b":[1,{"c":"x"}],"a":1.0}`, `null`},
		{`{"a":1}`, `{"a":2}`, `[{"path":"/a","was":1,"now":2}]`},
		{`{"a":1}`, `{"a":"1"}`, `[{"path":"/a","was":1,"now":"1"}]`},
		{`{"a":null}`, `{}`, `[{"path":"/a","was":null}]`},
		{`{}`, `{"a":{"b":null}}`, `[{"path":"/a","now":{"b":null}}]`},
		{`{"a":{"b":1,"c":2}}`, `{"a":{"b":1,"c":3}}`, `[{"path":"/a/c","was":2,"now":3}]`},
		{`{"a":{"b":1}}`, `{"a":[1]}`, `[{"path":"/a","was":{"b":1},"now":[1]}]`},
		{`{"a/b":1,"~":2,"":3}`, `{"a/b":2,"~":3,"":4}`,
			`[{"path":"/","was":3,"now":4},{"path":"/a~1b","was":1,"now":2},{"path":"/~0","was":2,"now":3}]`},
		{`{"l":["a","b","c"]}`, `{"l":["a","x","b","c"]}`, `[{"path":"/l/1","now":"x"}]`},
		{`{"l":["a","b","c"]}`, `{"l":["b","c"]}`, `[{"path":"/l/0","was":"a"}]`},
		{`{"l":["a","a"]}`, `{"l":["a"]}`, `[{"path":"/l/1","was":"a"}]`},
		{`{"l":["a","b"]}`, `{"l":["b","a"]}`, `[{"path":"/l/0","was":"a","now":"b"},{"path":"/l/1","was":"b","now":"a"}]`},
		{`{"l":[{"n":1},{"n":2}]}`, `{"l":[{"n":1},{"n":3}]}`, `[{"path":"/l/1/n","was":2,"now":3}]`},
		{``, `{"a":1}`, `[{"path":"","now":{"a":1}}]`},
		{`{"t":"<b>&"}`, `{"t":"<b>"}`, `[{"path":"/t","was":"<b>&","now":"<b>"}]`},

		// What is hidden may have changed, and never shows by its other side.
		{`{"p":"[redacted]"}`, `{"p":"[redacted]"}`, `[{"path":"/p","was":"[redacted]","now":"[redacted]","hidden":true}]`},
		{`{"p":"open"}`, `{"p":"[redacted]"}`, `[{"path":"/p","was":"[redacted]","now":"[redacted]","hidden":true}]`},
		{`{"p":"[redacted]"}`, `{"p":{"deep":["open"]}}`, `[{"path":"/p","was":"[redacted]","now":"[redacted]","hidden":true}]`},
		{`{"p":"[redacted]"}`, `{}`, `[{"path":"/p","was":"[redacted]","hidden":true}]`},
		{`{"p":"a [redacted]"}`, `{"p":"b [redacted]"}`, `[{"path":"/p","was":"a [redacted]","now":"b [redacted]","hidden":true}]`},
		{`{"l":["[redacted]",1]}`, `{"l":["[redacted]",2]}`,
			`[{"path":"/l/0","was":"[redacted]","now":"[redacted]","hidden":true},{"path":"/l/1","was":1,"now":2}]`},
		{`{"l":["[same as a redacted field]"]}`, `{"l":["open"]}`,
			`[{"path":"/l/0","was":"[same as a redacted field]","now":"[redacted]","hidden":true}]`},
	} {
		changes, more := diff([]byte(c.was), []byte(c.now))
		var got strings.Builder
		enc := json.NewEncoder(&got)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(changes); err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(got.String()) != c.want || more != 0 {
			t.Errorf("%s to %s:\n%s%d more, want\n%s", c.was, c.now, got.String(), more, c.want)
		}
	}
}

// An agent chooses the arguments, and must not choose how large an answer gets.
func TestDiffIsBounded(t *testing.T) {
	many := func(n int) []byte {
		var items []string
		for i := range 5000 {
			items = append(items, fmt.Sprint(i+n))
		}
		return []byte(`{"` + strings.Repeat("n", 100_000) + `":[` + strings.Join(items, ",") + `]}`)
	}
	changes, more := diff(many(0), many(10_000))
	size := 0
	for _, c := range changes {
		size += len(c.Path) + len(c.Was) + len(c.Now)
	}
	if len(changes) == 0 || len(changes) > maxChanges || size > maxChangeBytes || len(changes)+more != 5000 {
		t.Errorf("%d changes of %d bytes, %d more", len(changes), size, more)
	}
	changes, more = diff([]byte(`{"l":[]}`), []byte(`{"l":[`+strings.Repeat("1,", 999)+`1]}`))
	if len(changes) != maxChanges || more != 1000-maxChanges {
		t.Errorf("%d changes, %d more", len(changes), more)
	}
}
