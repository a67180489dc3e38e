package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/strictjson"
)

// note is a payload of any kind.
type note struct {
	kind audit.Kind
	B    int `json:"b,omitempty"`
	A    any `json:"a"`
}

func (n note) Kind() audit.Kind { return n.kind }

var at = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("x", 3600))

// The bytes and the leaf are what a log proves: they never change.
func TestEntryGolden(t *testing.T) {
	e, err := audit.NewSalted("pawl-1", "admit", at, note{audit.KindRequested, 1, "ü"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Check(); err != nil {
		t.Fatal(err)
	}
	const metadata = `{"at":"2026-01-02T02:04:05.678901Z","call_id":"pawl-1","kind":"call.requested",` +
		`"payload_sha256":"4e7ff4080b1a00acdaf71eb0cdf2d504aa8068bbb375c002eac2df3f064047a7","step":"admit","v":1}`
	if string(e.Metadata) != metadata || string(e.Payload) != `{"a":"ü","b":1}` {
		t.Errorf("canonical bytes:\n%s\n%s", e.Metadata, e.Payload)
	}
	if want := "489bab761ac494ed02274bc10138e37d4f2777b4fb0103473b82a9a657910f41"; e.Leaf.String() != want {
		t.Errorf("leaf %s, want %s", e.Leaf, want)
	}
}

func TestEntryCheckFindsEveryChange(t *testing.T) {
	good, err := audit.New("pawl-1", "admit", at, note{audit.KindRequested, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*audit.Entry){
		"call":     func(e *audit.Entry) { e.Subject = "pawl-2" },
		"step":     func(e *audit.Entry) { e.Step = "end" },
		"kind":     func(e *audit.Entry) { e.Kind = audit.KindEnded },
		"time":     func(e *audit.Entry) { e.At = e.At.Add(time.Microsecond) },
		"payload":  func(e *audit.Entry) { e.Payload = json.RawMessage(`{"a":2}`) },
		"spacing":  func(e *audit.Entry) { e.Payload = json.RawMessage(`{"a": 1}`) },
		"leaf":     func(e *audit.Entry) { e.Leaf[0] ^= 1 },
		"metadata": func(e *audit.Entry) { e.Metadata = []byte(strings.Replace(string(e.Metadata), "v\":2", "v\":3", 1)) },
		"version":  func(e *audit.Entry) { e.Metadata = []byte(strings.Replace(string(e.Metadata), "v\":2", "v\":1", 1)) },
		"salt":     func(e *audit.Entry) { e.Salt = []byte("another salt 123") },
		"no salt":  func(e *audit.Entry) { e.Salt = nil },
		"rubbish":  func(e *audit.Entry) { e.Metadata = []byte("{") },
	} {
		e := good
		change(&e)
		if e.Check() == nil || audit.Stored(e, e.Leaf[:], nil).Damage == "" {
			t.Errorf("%s changed and nobody noticed", name)
		}
	}
	good.Payload = nil
	if err := good.Check(); err != nil {
		t.Errorf("an entry whose payload was removed must still verify: %v", err)
	}
}

// What a store keeps of an entry is enough to make its metadata again, also when salt and payload are
// removed, and nothing else then tells of the payload.
func TestEntryIsMadeOfWhatStoresKeep(t *testing.T) {
	salt := []byte("0123456789abcdef")
	e, err := audit.NewSalted("pawl-1", "admit", at, note{audit.KindRequested, 1, "ü"}, salt)
	if err != nil {
		t.Fatal(err)
	}
	const metadata = `{"at":"2026-01-02T02:04:05.678901Z","call_id":"pawl-1","kind":"call.requested",` +
		`"payload_sha256":"HASH","step":"admit","v":2}`
	sum := sha256.Sum256(append(salt, e.Payload...))
	if want := strings.Replace(metadata, "HASH", hex.EncodeToString(sum[:]), 1); string(e.Metadata) != want {
		t.Errorf("metadata %s, want %s", e.Metadata, want)
	}
	kept := e
	kept.Metadata = nil
	if got := audit.Stored(kept, e.Leaf[:], nil); got.Damage != "" || string(got.Metadata) != string(e.Metadata) {
		t.Errorf("%s, %s", got.Damage, got.Metadata)
	}
	erased := kept
	erased.Payload, erased.Salt, erased.PayloadHash = nil, nil, sum[:]
	if got := audit.Stored(erased, e.Leaf[:], nil); got.Damage != "" || string(got.Metadata) != string(e.Metadata) {
		t.Errorf("erased: %s, %s", got.Damage, got.Metadata)
	}
	for name, change := range map[string]func(*audit.Entry){
		"step":    func(e *audit.Entry) { e.Step = "end" },
		"time":    func(e *audit.Entry) { e.At = e.At.Add(time.Microsecond) },
		"hash":    func(e *audit.Entry) { e.PayloadHash = make([]byte, 32) },
		"no hash": func(e *audit.Entry) { e.PayloadHash = nil },
		"payload": func(e *audit.Entry) { e.Payload = json.RawMessage(`{}`) },
	} {
		e := erased
		change(&e)
		if got := audit.Stored(e, kept.Leaf[:], nil); got.Damage != "it differs from its leaf hash" {
			t.Errorf("another %s: %q", name, got.Damage)
		}
	}
	other, err := audit.New("pawl-1", "admit", at, note{audit.KindRequested, 1, "ü"})
	if err != nil || other.Leaf == e.Leaf || len(other.Salt) != audit.SaltSize {
		t.Errorf("two entries have one leaf: %v, %v", other.Salt, err)
	}
}

func TestStored(t *testing.T) {
	good, err := audit.New("pawl-1", "admit", at, note{audit.KindRequested, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	leaf := good.Leaf[:]
	if e := audit.Stored(good, leaf, nil); e.Damage != "" {
		t.Errorf("a good entry: %s", e.Damage)
	}
	for name, c := range map[string]struct {
		payload, shown string
		leaf           []byte
		want           string
	}{
		"payload":    {`{"a":2}`, `{"a":2}`, leaf, "its payload differs from its payload hash"},
		"no JSON":    {`{"a"`, `"{\"a\""`, leaf, "its payload differs from its payload hash"},
		"no payload": {"", `""`, leaf, "its payload differs from its payload hash"},
		"no leaf":    {`{"a":1}`, `{"a":1}`, nil, "its leaf hash is missing"},
		"long leaf":  {`{"a":1}`, `{"a":1}`, append(leaf[:32:32], 0), "its leaf hash is missing"},
	} {
		e := good
		e.Payload = json.RawMessage(c.payload)
		e = audit.Stored(e, c.leaf, nil)
		doc, err := json.Marshal(e)
		if err != nil || e.Damage != c.want || string(e.Payload) != c.shown || !strings.Contains(string(doc), `"damage":"`+c.want) {
			t.Errorf("%s: %s, %v", name, doc, err)
		}
	}
}

func TestReserved(t *testing.T) {
	for id, want := range map[string]bool{audit.SubjectPolicy: true, "@": true, "pawl-1": false, "": false, "a@b": false} {
		if audit.Reserved(id) != want {
			t.Errorf("Reserved(%q) is %v", id, !want)
		}
	}
}

func TestEntryNeedsItsParts(t *testing.T) {
	if _, err := audit.New("", "s", at, audit.Ended{}); err == nil {
		t.Error("no call")
	}
	if _, err := audit.New("c", "s", time.Time{}, audit.Ended{}); err == nil {
		t.Error("no time")
	}
	if _, err := audit.New("c", "s", at, note{audit.KindEnded, 0, func() {}}); err == nil {
		t.Error("payload without JSON")
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("call", "step", int64(1), "payload")
	f.Add("ü\"\\", "<&>", int64(1), "payload")
	f.Add("\xff", "step", int64(1), "payload")
	f.Fuzz(func(t *testing.T, call, step string, micros int64, text string) {
		e, err := audit.New(call, step, time.UnixMicro(micros%253402300799000000), note{audit.KindEnded, 0, text})
		if err != nil {
			return
		}
		if err := e.Check(); err != nil {
			t.Fatalf("a fresh entry does not check: %v", err)
		}
		if canonical, err := strictjson.Canonical(json.RawMessage(e.Metadata)); err != nil || string(canonical) != string(e.Metadata) {
			t.Fatalf("its metadata is not canonical: %s, %v", e.Metadata, err)
		}
	})
}

func TestEveryKindIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range audit.Kinds {
		if !strings.Contains(string(doc), "`"+string(kind)+"`") {
			t.Errorf("docs/audit.md does not say what %s is", kind)
		}
	}
}
