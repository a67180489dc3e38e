package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/policy/active"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
)

// policyBody is a change of one file, with more fields.
func policyBody(t *testing.T, text, more string) string {
	t.Helper()
	doc, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return `{"layers":[{"name":"org.yaml","text":` + string(doc) + `}]` + more + `}`
}

const allowA = "rules: [{tool: a, auto_approve: true}] # <ümlaut> & 🦀\n"

func (w *world) put(body string, header ...string) map[string]any {
	w.t.Helper()
	return expect(w.t, w.send("PUT", "/api/policy", body, append([]string{"X-Pawl-Reviewer", "ana"}, header...)...), 200, "")
}

func TestPolicy(t *testing.T) {
	w := newWorld(t)
	none := expect(t, w.get("/api/policy"), 200, "")
	if none["version"] != 0.0 || fmt.Sprint(none["layers"]) != "[]" || none["at"] != nil {
		t.Errorf("before the first: %v", none)
	}
	if same := expect(t, w.get("/api/policy/"+none["digest"].(string)), 200, ""); fmt.Sprint(same["layers"]) != "[]" {
		t.Errorf("version 0 by its digest: %v", same)
	}
	expect(t, w.get("/api/policy/"), 404, rest.CodeNoRoute)

	dry := w.put(policyBody(t, allowA, `,"dry_run":true`))
	if dry["changed"] != true || dry["dry_run"] != true || len(w.store.applied) != 0 {
		t.Errorf("a dry run: %v", dry)
	}
	first := w.put(policyBody(t, allowA, `,"expect":0,"note":"because"`), "User-Agent", "pawl-cli/1")
	if first["changed"] != true || first["digest"] != dry["digest"] {
		t.Errorf("%v, but tried: %v", first, dry)
	}
	if a := w.store.applied[0]; a.By != "ana" || a.Channel != "cli" || a.Authenticated || a.Note != "because" || a.Set.Layers[0].Text != allowA {
		t.Errorf("applied: %+v", a)
	}
	if again := w.put(policyBody(t, allowA, `,"expect":0`)); again["changed"] != false || again["version"] != 1.0 {
		t.Errorf("a repeat: %v", again)
	}
	if dry := w.put(policyBody(t, allowA, `,"dry_run":true`)); dry["changed"] != false {
		t.Errorf("a dry run of what is active: %v", dry)
	}
	second := w.put(policyBody(t, "rules: []", `,"expect":1`))
	golden(t, "policy", w.get("/api/policy"))
	golden(t, "policy_history", w.get("/api/policy/history?limit=1"))
	digest := first["digest"].(string)
	for _, part := range []string{digest, digest[:8]} {
		old := expect(t, w.get("/api/policy/"+part), 200, "")
		if old["digest"] != digest || !strings.Contains(fmt.Sprint(old["layers"]), strings.TrimSpace(allowA)) {
			t.Errorf("the first by its digest: %v", old)
		}
	}
	if second["version"] != 2.0 || w.store.applied[1].Channel != "api" {
		t.Errorf("%v, %+v", second, w.store.applied[1])
	}
	expect(t, w.get("/api/policy/zz"), 404, "unknown")
	expect(t, w.get("/api/policy/%ff"), 404, "unknown")
	expect(t, w.get("/api/policy/history?cursor=bad"), 400, rest.CodeInvalidRequest)
	expect(t, w.get("/api/policy/history?limit=0"), 400, rest.CodeInvalidRequest)
	expect(t, w.get("/api/policy?x=1"), 400, rest.CodeInvalidRequest)
}

func TestPolicyWarnings(t *testing.T) {
	w := newWorld(t)
	for _, more := range []string{`,"dry_run":true`, `,"expect":0`} {
		found := w.put(policyBody(t, "rules: [{tool: '*', auto_approve: true}]", more))["warnings"].([]any)
		if len(found) != 1 || found[0].(map[string]any)["line"] != 1.0 || found[0].(map[string]any)["message"] == "" {
			t.Errorf("%s: %v", more, found)
		}
	}
	for _, more := range []string{`,"dry_run":true`, `,"expect":1`} {
		if found := w.put(policyBody(t, allowA, more))["warnings"]; fmt.Sprint(found) != "[]" {
			t.Errorf("%s, of what is fine: %v", more, found)
		}
	}
}

func TestPolicyIsNotOverwritten(t *testing.T) {
	w := newWorld(t)
	as := func(text, more string) map[string]any {
		return expect(t, w.send("PUT", "/api/policy", policyBody(t, text, more), "X-Pawl-Reviewer", "bob"), 409, rest.CodePolicyChanged)
	}
	if p := as("rules: []", `,"expect":3`); !strings.Contains(p["detail"].(string), "no policy was applied yet") {
		t.Errorf("%v", p)
	}
	w.put(policyBody(t, allowA, `,"expect":0`))
	if p := as("rules: []", `,"expect":0`); !strings.Contains(p["detail"].(string), "version 1 is, applied by ana at 20") {
		t.Errorf("%v", p)
	}
	if len(w.store.applied) != 1 {
		t.Errorf("applied: %+v", w.store.applied)
	}
}

func TestPolicyThatIsRefused(t *testing.T) {
	w := newWorld(t)
	send := func(body string, status int, code string, header ...string) map[string]any {
		t.Helper()
		return expect(t, w.send("PUT", "/api/policy", body, header...), status, code)
	}
	ana := []string{"X-Pawl-Reviewer", "ana"}
	for _, more := range []string{`,"expect":0`, `,"dry_run":true`} {
		p := send(policyBody(t, "rulez: []\n\nlayer: 7\n", more), 422, "invalid", ana...)
		places := ""
		for _, one := range p["problems"].([]any) {
			one := one.(map[string]any)
			if one["file"] != "org.yaml" || one["message"] == "" || one["hint"] == "" {
				t.Errorf("%v", one)
			}
			places += fmt.Sprintf(" %v:%v", one["line"], one["column"])
		}
		if !strings.Contains(places, " 1:1") || !strings.Contains(places, " 3:8") {
			t.Errorf("problems at%s: %v", places, p)
		}
	}
	if p := expect(t, w.send("PUT", "/api/policy", policyBody(t, allowA, `,"expect":0`)), 401, rest.CodeReviewerRequired); !strings.Contains(fmt.Sprint(p["detail"]), "Say who applies it") {
		t.Errorf("applied by nobody: %v", p)
	}
	send(policyBody(t, allowA, `,"dry_run":true`), 200, "") // nobody's record
	send(policyBody(t, allowA, ``), 400, rest.CodeInvalidRequest, ana...)
	send(policyBody(t, allowA, `,"expect":-1`), 400, rest.CodeInvalidRequest, ana...)
	send(policyBody(t, allowA, `,"expect":"0"`), 400, rest.CodeInvalidRequest, ana...)
	send(policyBody(t, allowA, `,"expect":0,"by":"root"`), 400, rest.CodeInvalidRequest, ana...)
	send(policyBody(t, allowA, `,"expect":0,"note":"`+strings.Repeat("n", 5000)+`"`), 400, rest.CodeInvalidRequest, ana...)
	send(`{"expect":0}`, 400, rest.CodeInvalidRequest, ana...)
	send(`{"expect":0,"layers":[{"name":"","text":"rules: []"}]}`, 400, rest.CodeInvalidRequest, ana...)
	send(`{"expect":0,"layers":[{"name":"a","text":"rules: []"},{"name":"a","text":"layer: b\nrules: []"}]}`, 400, rest.CodeInvalidRequest, ana...)
	send(`nonsense`, 400, rest.CodeInvalidRequest, ana...)
	send(``, 415, rest.CodeMediaType, ana...)
	send(policyBody(t, allowA, `,"expect":0`), 415, rest.CodeMediaType, append(ana, "Content-Type", "text/plain")...)
	send(policyBody(t, allowA, `,"expect":0`), 403, rest.CodeCrossOrigin, append(ana, "Sec-Fetch-Site", "cross-site")...)
	if len(w.store.applied) != 0 {
		t.Errorf("applied: %+v", w.store.applied)
	}

	expect(t, w.send("POST", "/api/policy", "{}"), 405, rest.CodeNoMethod)
	large := "rules: [] #" + strings.Repeat("x", maxBody) + "\n"
	w.put(policyBody(t, large, `,"expect":0`)) // larger than what others may send
	send(policyBody(t, strings.Repeat(" ", maxPolicyBody), `,"expect":1`), 413, rest.CodeTooLarge, ana...)
}

func TestPolicyWithoutTheStore(t *testing.T) {
	var log strings.Builder
	w := newWorld(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	w.store.err = errors.New("down")
	for _, path := range []string{"/api/policy", "/api/policy/ab", "/api/policy/history"} {
		expect(t, w.get(path), 503, rest.CodeStoreUnavailable)
	}
	for _, more := range []string{`,"expect":0`, `,"dry_run":true`} {
		expect(t, w.send("PUT", "/api/policy", policyBody(t, allowA, more), "X-Pawl-Reviewer", "ana"), 503, rest.CodeStoreUnavailable)
	}
	w.store.err = fmt.Errorf("no right: %w", store.ErrReadOnly)
	p := expect(t, w.send("PUT", "/api/policy", policyBody(t, allowA, `,"expect":0`), "X-Pawl-Reviewer", "ana"), 403, rest.CodeReadOnly)
	if !strings.Contains(p["detail"].(string), "--direct") || !strings.Contains(log.String(), "no right") {
		t.Errorf("%v; the log:\n%s", p, log.String())
	}
}

func FuzzPutPolicy(f *testing.F) {
	f.Add(`{"layers":[{"name":"a.yaml","text":"rules: []"}],"expect":0}`)
	f.Add(`{"layers":[{"name":"a\u0000","text":"\ud800"}],"expect":0,"note":"\u202e"}`)
	f.Add(`{"layers":[{}],"dry_run":true}`)
	f.Fuzz(func(t *testing.T, body string) {
		w := newWorld(t)
		rec := w.send("PUT", "/api/policy", body, "X-Pawl-Reviewer", "ana", "Content-Type", "application/json")
		if rec.Code >= 500 || !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		for _, a := range w.store.applied {
			if set, err := active.Source(t.Context(), w.store, a.Set.Digest); err != nil || len(set.Layers) != len(a.Set.Layers) {
				t.Errorf("applied, and not there: %v", err)
			}
		}
	})
}
