package packed_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/store/packed"
)

const (
	digest = "3875f20d4f74b146bae25cb8576f777d1d4f2c2913110d6bebdd722aa07d108c"
	run    = "01a22c5e-0eb0-760f-9180-00587caaf606"
	at     = "2026-11-30T12:11:31.376677Z"
)

var claimed = `{"decision":{"at":"` + at + `","authenticated":false,"by":"policy","kind":"allow"},"digest":"` + digest +
	`","run":"` + run + `"}`

// What is stored stays readable.
func TestGolden(t *testing.T) {
	const want = "01" + "19" + "0306617d4f696225" + "0c" + "01" + digest + "1a" + "02" + "01a22c5e0eb0760f918000587caaf606" + "1b"
	if got := hex.EncodeToString(packed.Pack([]byte(claimed))); got != want {
		t.Errorf("packed %s\n  want %s", got, want)
	}
}

func TestPack(t *testing.T) {
	for name, c := range map[string]struct {
		doc   string
		known []string
		most  int // bytes; 0: it stays as it is
	}{
		"a claim":                            {doc: claimed, most: 64},
		"the same hash twice":                {doc: `{"a":"` + digest + `","b":"` + digest + `"}`, most: 50},
		"nothing before the same hash twice": {doc: `{"":"","a":"` + digest + `","b":"` + digest + `"}`, most: 60},
		"nothing before the same time twice": {doc: `{"x":"","a":"` + at + `","b":"` + at + `"}`, most: 40},
		"nothing that is known":              {doc: `{"x":"","a":"` + at + `","b":"` + at + `"}`, known: []string{"", "x"}, most: 40},
		"a known text":                       {doc: `{"a":"pawl-1","b":"pawl-1"}`, known: []string{"x", "pawl-1"}, most: 20},
		"a longer one":                       {doc: `{"a":"pawl-12"}`, known: []string{"pawl-1"}, most: 20},
		"a time of a whole second":           {doc: `{"a":"2026-11-30T12:11:31Z"}`, most: 17},
		"a time of nanoseconds":              {doc: `{"a":"2026-11-30T12:11:31.000000001Z"}`, most: 50},
		"zeros at its end":                   {doc: `{"a":"2026-11-30T12:11:31.500000Z"}`, most: 50},
		"another zone":                       {doc: `{"a":"2026-11-30T12:11:31.5+02:00"}`, most: 50},
		"a time before 1970":                 {doc: `{"a":"1969-11-30T12:11:31.5Z"}`, most: 50},
		"capital digits":                     {doc: `{"a":"` + strings.ToUpper(digest) + `"}`, most: 80},
		"no UUID":                            {doc: `{"a":"` + strings.ReplaceAll(run, "-", "0") + `"}`, most: 80},
		"dashes elsewhere":                   {doc: `{"a":"01a22c5e0-eb0-760f-9180-00587caaf606"}`, most: 80},
		"other languages":                    {doc: `{"reason":"Überweisung, 返金, 🦊","session":"` + digest + `"}`, most: 80},
		"white space":                        {doc: "{\n\t\"a\": \"" + digest + "\"\r\n}", most: 50},
		"nothing":                            {},
		"half a text":                        {doc: `"` + digest, most: 70},
		"not UTF-8":                          {doc: "{\"a\":\"\xff\"}"},
		"a control character":                {doc: "{\"a\":\"\x02\"}"},
		"a large document":                   {doc: `{"args":{"a":"` + strings.Repeat("0", packed.MaxSize) + `"}}`},
		"300 hashes":                         {doc: `["` + strings.Repeat(strings.Repeat("0", 63)+`1","`, 30) + `"]`, most: 200},
	} {
		t.Run(name, func(t *testing.T) {
			got := packed.Pack([]byte(c.doc), c.known...)
			if c.most == 0 && string(got) != c.doc || c.most > 0 && len(got) > c.most {
				t.Errorf("%d bytes became %d, at most %d were expected: %q", len(c.doc), len(got), c.most, got)
			}
			back, err := packed.Unpack(got, c.known...)
			if err != nil || string(back) != c.doc {
				t.Errorf("it comes back as %q, %v", back, err)
			}
		})
	}
}

// What was changed in the database is an error, or other text; it is never read past its end.
func TestDamaged(t *testing.T) {
	for name, doc := range map[string]string{
		"a cut off hash": "\x01\x01abc", "a cut off time": "\x01\x03a", "no place of a phrase": "\x01\x00",
		"a phrase that is not there": "\x01\x00\xff", "no known text": "\x01\x04\x00", "no earlier value": "\x01\x05\x00",
	} {
		if got, err := packed.Unpack([]byte(doc)); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzPack(f *testing.F) {
	f.Add([]byte(claimed), "pawl-1")
	f.Add([]byte(`{"a":"2026-11-30T12:11:31Z","b":"pawl-1"}`), "pawl-1")
	f.Add([]byte("\x01\x04\x00"), "pawl-1")
	f.Fuzz(func(t *testing.T, doc []byte, known string) {
		got := packed.Pack(doc, known)
		if len(doc) > 0 && doc[0] == 1 { // which no JSON begins with
			_, _ = packed.Unpack(got, known)
			return
		}
		if back, err := packed.Unpack(got, known); err != nil || !bytes.Equal(back, doc) {
			t.Errorf("%q became %q and then %q, %v", doc, got, back, err)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			packed.Pack([]byte(claimed))
		}
	})
	doc := packed.Pack([]byte(claimed))
	b.Run("unpack", func(b *testing.B) {
		for b.Loop() {
			if _, err := packed.Unpack(doc); err != nil {
				b.Fatal(err)
			}
		}
	})
}
