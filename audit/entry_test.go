package audit_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/strictjson"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.FixedZone("x", 3600))

// The bytes and the leaf are what a log proves: they never change.
func TestEntryGolden(t *testing.T) {
	e, err := audit.New("pawl-1", "admit", audit.KindRequested, at, map[string]any{"b": 1, "a": "ü"})
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
	good, err := audit.New("pawl-1", "admit", audit.KindRequested, at, map[string]any{"a": 1})
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
		"metadata": func(e *audit.Entry) { e.Metadata = []byte(strings.Replace(string(e.Metadata), "v\":1", "v\":2", 1)) },
		"rubbish":  func(e *audit.Entry) { e.Metadata = []byte("{") },
	} {
		e := good
		change(&e)
		if e.Check() == nil {
			t.Errorf("%s changed and nobody noticed", name)
		}
	}
	good.Payload = nil
	if err := good.Check(); err != nil {
		t.Errorf("an entry whose payload was removed must still verify: %v", err)
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
	if _, err := audit.New("", "s", audit.KindEnded, at, nil); err == nil {
		t.Error("no call")
	}
	if _, err := audit.New("c", "s", audit.KindEnded, time.Time{}, map[string]any{}); err == nil {
		t.Error("no time")
	}
	if _, err := audit.New("c", "s", audit.KindEnded, at, map[string]any{"f": func() {}}); err == nil {
		t.Error("payload without JSON")
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("call", "step", int64(1), "payload")
	f.Add("ü\"\\", "<&>", int64(1), "payload")
	f.Add("\xff", "step", int64(1), "payload")
	f.Fuzz(func(t *testing.T, call, step string, micros int64, text string) {
		e, err := audit.New(call, step, audit.KindEnded, time.UnixMicro(micros%253402300799000000), map[string]any{"t": text})
		if err != nil {
			return
		}
		if err := e.Check(); err != nil {
			t.Fatalf("a fresh entry does not check: %v", err)
		}
		if canonical, err := strictjson.CanonicalDoc(e.Metadata); err != nil || string(canonical) != string(e.Metadata) {
			t.Fatalf("its metadata is not canonical: %s, %v", e.Metadata, err)
		}
	})
}
