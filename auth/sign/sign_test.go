package sign_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
)

const storeID, call, digest = "store-1", "pawl-1", "d1"

var at = time.Date(2026, 5, 6, 7, 8, 9, 123456000, time.UTC)

func key(t testing.TB) sign.Key {
	t.Helper()
	k, err := sign.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func trusted(keys ...sign.Key) []sign.PublicKey {
	var out []sign.PublicKey
	for _, k := range keys {
		out = append(out, sign.PublicKey{ID: k.ID(), Store: storeID, Public: k.Public()})
	}
	return out
}

func decision() approval.Decision {
	return approval.Decision{
		ID: "decision-1", Kind: approval.Approve, Reviewer: "ana", Channel: "cli", Groups: []string{"finance", "<eu>"},
		Method: "token", Notes: "fine by me", At: at,
	}
}

func signed(t testing.TB, k sign.Key, d approval.Decision) approval.Decision {
	t.Helper()
	d, err := sign.Sign(k, d, storeID, call, digest)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSignAndVerify(t *testing.T) {
	k, other := key(t), key(t)
	for _, d := range []approval.Decision{
		decision(),
		{ID: "d", Kind: approval.Reject, Reviewer: "bo", Channel: "api", Method: "oidc", At: at},
	} {
		d = signed(t, k, d)
		s, err := sign.Verify(d, call, digest, trusted(other, k))
		if err != nil {
			t.Fatal(err)
		}
		if s.Reviewer != d.Reviewer || s.Untimely(at.Add(sign.Life)) || !s.Untimely(at.Add(sign.Life+1)) || s.Untimely(at.Add(-sign.Life)) || !s.Untimely(at.Add(-sign.Life-1)) {
			t.Errorf("%+v", s)
		}
		if bytes.Contains(d.Envelope, []byte(d.Notes)) && d.Notes != "" {
			t.Error("the notes are in the envelope")
		}
		kept, err := sign.VerifyKept(d.Envelope, call, digest, trusted(k))
		if err != nil || kept.DecisionID != d.ID {
			t.Errorf("%+v, %v", kept, err)
		}
		// As it crosses the wire.
		doc, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back approval.Decision
		if err := json.Unmarshal(doc, &back); err != nil {
			t.Fatal(err)
		}
		if _, err := sign.Verify(back, call, digest, trusted(k)); err != nil {
			t.Errorf("after the wire: %v", err)
		}
	}
	if a, b := signed(t, k, decision()), signed(t, k, decision()); a.NotesSalt == b.NotesSalt {
		t.Error("two salts are one")
	}
}

func TestVerifyRefuses(t *testing.T) {
	k, other := key(t), key(t)
	fine := signed(t, k, decision())
	for name, spoil := range map[string]func(*approval.Decision){
		"approve as reject": func(d *approval.Decision) { d.Kind = approval.Reject },
		"another ID":        func(d *approval.Decision) { d.ID = "decision-2" },
		"another reviewer":  func(d *approval.Decision) { d.Reviewer = "bo" },
		"a group more":      func(d *approval.Decision) { d.Groups = append(d.Groups, "board") },
		"no groups":         func(d *approval.Decision) { d.Groups = nil },
		"another method":    func(d *approval.Decision) { d.Method = "oidc" },
		"another channel":   func(d *approval.Decision) { d.Channel = "temporal" },
		"other notes":       func(d *approval.Decision) { d.Notes += "!" },
		"no notes":          func(d *approval.Decision) { d.Notes = "" },
		"another salt":      func(d *approval.Decision) { d.NotesSalt += "x" },
		"a changed byte":    func(d *approval.Decision) { d.Envelope = flip(t, d.Envelope, "payload") },
		"a changed sig":     func(d *approval.Decision) { d.Envelope = flip(t, d.Envelope, "sig") },
		"re-signed":         func(d *approval.Decision) { d.Envelope = under(t, signed(t, other, *d).Envelope, k) },
	} {
		d := fine
		spoil(&d)
		if _, err := sign.Verify(d, call, digest, trusted(k)); approval.CodeOf(err) != sign.CodeRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, tc := range map[string]struct {
		call, digest string
		keys         []sign.PublicKey
		unknown      bool
	}{
		"another call":     {"pawl-2", digest, trusted(k), false},
		"another digest":   {call, "d2", trusted(k), false},
		"no key":           {call, digest, nil, true},
		"another key":      {call, digest, trusted(other), true},
		"replaced before":  {call, digest, []sign.PublicKey{{ID: k.ID(), Store: storeID, Public: k.Public(), RetiredAt: at.Add(-sign.Overlap - 1)}}, false},
		"a key cut short":  {call, digest, []sign.PublicKey{{ID: k.ID(), Store: storeID, Public: k.Public()[:31]}}, false},
		"another store":    {call, digest, []sign.PublicKey{{ID: k.ID(), Store: "store-2", Public: k.Public()}}, false},
		"another's public": {call, digest, []sign.PublicKey{{ID: k.ID(), Store: storeID, Public: other.Public()}}, false},
	} {
		_, err := sign.Verify(fine, tc.call, tc.digest, tc.keys)
		_, kept := sign.VerifyKept(fine.Envelope, tc.call, tc.digest, tc.keys)
		for _, err := range []error{err, kept} {
			if errors.Is(err, sign.ErrUnknownKey) != tc.unknown || !tc.unknown && approval.CodeOf(err) != sign.CodeRefused {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, retired := range []time.Time{at, at.Add(-sign.Overlap)} {
		if _, err := sign.Verify(fine, call, digest, []sign.PublicKey{{ID: k.ID(), Store: storeID, Public: k.Public(), RetiredAt: retired}}); err != nil {
			t.Errorf("signed before its key was replaced, or just then: %v", err)
		}
	}
}

// parts takes an envelope apart.
type parts struct {
	PayloadType string              `json:"payloadType"`
	Payload     string              `json:"payload"`
	Signatures  []map[string]string `json:"signatures"`
}

func apart(t testing.TB, envelope json.RawMessage) parts {
	t.Helper()
	var p parts
	if err := json.Unmarshal(envelope, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func together(t testing.TB, p parts) json.RawMessage {
	t.Helper()
	doc, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// flip changes one bit of what is signed, or of the signature.
func flip(t testing.TB, envelope json.RawMessage, what string) json.RawMessage {
	t.Helper()
	p := apart(t, envelope)
	text := &p.Payload
	var sig string
	if what == "sig" {
		sig = p.Signatures[0]["sig"]
		text = &sig
	}
	raw, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	*text = base64.StdEncoding.EncodeToString(raw)
	if what == "sig" {
		p.Signatures[0]["sig"] = sig
	}
	return together(t, p)
}

// under claims that an envelope was signed with k.
func under(t testing.TB, envelope json.RawMessage, k sign.Key) json.RawMessage {
	t.Helper()
	p := apart(t, envelope)
	p.Signatures[0]["keyid"] = k.ID()
	return together(t, p)
}

func TestMalformedEnvelopes(t *testing.T) {
	k := key(t)
	fine := signed(t, k, decision())
	p := apart(t, fine.Envelope)
	sig := p.Signatures[0]["sig"]
	for name, envelope := range map[string]string{
		"nothing":            "",
		"null":               "null",
		"text":               `"approve"`,
		"a list":             "[]",
		"empty":              "{}",
		"oversized":          strings.Repeat(" ", sign.MaxEnvelope) + string(fine.Envelope),
		"more behind":        string(fine.Envelope) + "{}",
		"an unknown field":   strings.Replace(string(fine.Envelope), "{", `{"extra":1,`, 1),
		"a field twice":      strings.Replace(string(fine.Envelope), "{", `{"payload":"e30=",`, 1),
		"another case":       strings.Replace(string(fine.Envelope), "payloadType", "PayloadType", 1),
		"another type":       strings.Replace(string(fine.Envelope), sign.PayloadType, "application/vnd.in-toto+json", 1),
		"keyid twice":        strings.Replace(string(fine.Envelope), `"keyid"`, `"keyid":"x","keyid"`, 1),
		"keyid in capitals":  strings.Replace(string(fine.Envelope), k.ID(), strings.ToUpper(k.ID()), 1),
		"no keyid":           strings.Replace(string(fine.Envelope), k.ID(), "", 1),
		"a line break":       strings.Replace(string(fine.Envelope), p.Payload[:8], p.Payload[:8]+`\n`, 1),
		"no padding":         strings.Replace(string(fine.Envelope), sig, strings.TrimRight(sig, "="), 1),
		"URL base64":         strings.Replace(string(fine.Envelope), p.Payload, "-_-_", 1),
		"loose bits":         strings.Replace(string(fine.Envelope), sig, loose(sig), 1),
		"a short signature":  strings.Replace(string(fine.Envelope), sig, "AAAA", 1),
		"no signature":       fmt.Sprintf(`{"payloadType":%q,"payload":%q,"signatures":[]}`, sign.PayloadType, p.Payload),
		"two signatures":     fmt.Sprintf(`{"payloadType":%q,"payload":%q,"signatures":[{"keyid":%q,"sig":%q},{"keyid":%q,"sig":%q}]}`, sign.PayloadType, p.Payload, k.ID(), sig, k.ID(), sig),
		"an empty signature": fmt.Sprintf(`{"payloadType":%q,"payload":%q,"signatures":[null]}`, sign.PayloadType, p.Payload),
	} {
		d := fine
		d.Envelope = json.RawMessage(envelope)
		if _, err := sign.Verify(d, call, digest, trusted(k)); approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// loose is the base64 text with a bit set that stands for nothing.
func loose(text string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	i := strings.IndexByte(text, '=') - 1
	return text[:i] + string(alphabet[strings.IndexByte(alphabet, text[i])|1]) + text[i+1:]
}

// A key that is trusted may sign many things; only a statement of ours counts.
func TestStatementsThatNobodyShouldSign(t *testing.T) {
	k := key(t)
	valid := map[string]any{
		"version": 1, "store": storeID, "call_id": call, "digest": digest, "decision": "approve", "decision_id": "decision-1", "reviewer": "ana",
		"groups": []string{}, "method": "token", "channel": "api", "at": at, "expires_at": at.Add(time.Minute),
	}
	verify := func(change func(map[string]any)) error {
		fields := map[string]any{}
		for name, v := range valid {
			fields[name] = v
		}
		change(fields)
		payload, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sign.VerifyKept(envelopeOf(t, k, string(payload)), call, digest, trusted(k))
		return err
	}
	if err := verify(func(map[string]any) {}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(map[string]any){
		"another version":     func(f map[string]any) { f["version"] = 2 },
		"no version":          func(f map[string]any) { delete(f, "version") },
		"no store":            func(f map[string]any) { delete(f, "store") },
		"no call":             func(f map[string]any) { f["call_id"] = "" },
		"no digest":           func(f map[string]any) { f["digest"] = "" },
		"nobody":              func(f map[string]any) { f["reviewer"] = "" },
		"no decision ID":      func(f map[string]any) { f["decision_id"] = "" },
		"no channel":          func(f map[string]any) { f["channel"] = "" },
		"an unknown decision": func(f map[string]any) { f["decision"] = "cancel" },
		"nobody proved":       func(f map[string]any) { f["method"] = "none" },
		"no method":           func(f map[string]any) { delete(f, "method") },
		"never expires":       func(f map[string]any) { f["expires_at"] = at.Add(sign.Life + 1) },
		"expired before":      func(f map[string]any) { f["expires_at"] = at.Add(-1) },
		"no time":             func(f map[string]any) { delete(f, "at") },
		"an unknown field":    func(f map[string]any) { f["admin"] = true },
	} {
		if err := verify(change); approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, payload := range map[string]string{"not JSON": "approve", "a field twice": `{"version":1,"version":1}`, "a list": "[]", "cut": `{"version":1`} {
		if _, err := sign.VerifyKept(envelopeOf(t, k, payload), call, digest, trusted(k)); approval.CodeOf(err) != approval.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	unauthenticated := decision()
	unauthenticated.Method = "none"
	if d, err := sign.Sign(k, unauthenticated, storeID, call, digest); err == nil || d.Envelope != nil {
		t.Error("a decision of nobody in particular was signed")
	}
}

// envelopeOf signs any payload by the letter of DSSE's specification.
func envelopeOf(t testing.TB, k sign.Key, payload string) json.RawMessage {
	t.Helper()
	pae := fmt.Sprintf("DSSEv1 %d %s %d %s", len(sign.PayloadType), sign.PayloadType, len(payload), payload)
	b64 := base64.StdEncoding.EncodeToString
	return together(t, parts{sign.PayloadType, b64([]byte(payload)), []map[string]string{{
		"keyid": k.ID(), "sig": b64(ed25519.Sign(k.Private(), []byte(pae))),
	}}})
}

func TestKeys(t *testing.T) {
	k := key(t)
	again, err := sign.KeyOf(k.Private())
	if err != nil || again.ID() != k.ID() || k.ID() != sign.IDOf(k.Public()) {
		t.Errorf("%v, %v", again, err)
	}
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%+v", k), fmt.Sprintf("%#v", k)} {
		if text != "key "+k.ID() {
			t.Errorf("a key shows as %q", text)
		}
	}
	private := append(ed25519.PrivateKey{}, k.Private()...)
	private[63] ^= 1
	for name, bad := range map[string]ed25519.PrivateKey{"none": nil, "short": private[:32], "halves of two": private} {
		if _, err := sign.KeyOf(bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	k, err := sign.KeyOf(private)
	if err != nil {
		f.Fatal(err)
	}
	d := decision()
	d.Notes = "" // salt is random, and differs between a fuzzer's processes
	d = signed(f, k, d)
	keys := trusted(k)
	f.Add([]byte(d.Envelope))
	f.Add([]byte(under(f, signed(f, key(f), decision()).Envelope, k)))
	f.Add([]byte(envelopeOf(f, k, `{"version":1}`)))
	f.Fuzz(func(t *testing.T, envelope []byte) {
		s, err := sign.VerifyKept(envelope, call, digest, keys)
		if err != nil {
			if code := approval.CodeOf(err); code != approval.CodeInvalid && code != sign.CodeRefused && !errors.Is(err, sign.ErrUnknownKey) {
				t.Errorf("%v", err)
			}
			return
		}
		// What verifies is what was signed, however it is spelt.
		var p parts
		if json.Unmarshal(envelope, &p) != nil || p.Payload != apart(t, d.Envelope).Payload || s.DecisionID != d.ID {
			t.Errorf("%q verifies", envelope)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k := key(b)
	for b.Loop() {
		signed(b, k, decision())
	}
}

func BenchmarkVerify(b *testing.B) {
	k := key(b)
	d := signed(b, k, decision())
	for b.Loop() {
		if _, err := sign.Verify(d, call, digest, trusted(k)); err != nil {
			b.Fatal(err)
		}
	}
}
