package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
)

const resolved = `{"outcome":"resolved"}`

func TestDecisions(t *testing.T) {
	for _, tt := range []struct {
		name string
		http int
		body string
		code int
		out  string
	}{
		{"resolved", 200, resolved, exitDone, "%s send_email (" + mailID + "), digest 3f2a91bc1234…: resolved\n"},
		{"approved before", 200, `{"outcome":"recorded","message":"you have approved already"}`, exitDone, "%s send_email (" + mailID + "), digest 3f2a91bc1234…: recorded; you have approved already\n"},
		{"recorded", 200, `{"outcome":"recorded"}`, exitDone, "%s send_email (" + mailID + "), digest 3f2a91bc1234…: recorded; more approvals are needed\n"},
		{"already resolved", 409, `{"code":"already_resolved","outcome":"already_resolved","detail":"ben rejected it"}`, exitDenied,
			"NOT %s send_email (" + mailID + "), digest 3f2a91bc1234…: already_resolved: ben rejected it\n"},
		{"expired", 410, `{"code":"approval_expired","outcome":"expired","detail":"it came too late"}`, exitDenied, "NOT %s send_email (" + mailID + "), digest 3f2a91bc1234…: expired: it came too late\n"},
		{"forbidden", 403, `{"code":"forbidden","outcome":"forbidden","detail":"not you"}`, exitDenied, "NOT %s send_email (" + mailID + "), digest 3f2a91bc1234…: forbidden: not you\n"},
		{"gone", 409, `{"code":"workflow_gone","detail":"terminated"}`, exitDenied, "NOT %s send_email (" + mailID + "), digest 3f2a91bc1234…: workflow_gone: terminated\n"},
		{"stale", 409, `{"code":"stale","outcome":"stale","detail":"another digest"}`, exitDenied, "NOT %s send_email (" + mailID + "), digest 3f2a91bc1234…: stale: another digest\n"},
	} {
		for kind, verb := range map[string]string{"approve": "approved", "reject": "rejected"} {
			t.Run(kind+" "+tt.name, func(t *testing.T) {
				api := newFakeAPI(t, fixture(t, "request.json"))
				api.on("POST /api/requests/"+mailID+"/"+kind, reply(tt.http, tt.body))
				r := cmdline{api: api.URL, env: map[string]string{"PAWL_AS": "ana"}}.run(t, kind, "pawl-k3", "--notes", "seen")
				if want := fmt.Sprintf(tt.out, verb); r.code != tt.code || r.out != want || r.err != "" {
					t.Errorf("code %d, stdout %q, want %d, %q; stderr %q", r.code, r.out, tt.code, want, r.err)
				}
				if sent := api.requests("POST"); len(sent) != 1 || !strings.Contains(sent[0], `{"notes":"seen","digest":"`+mailSum+`","decision_id":"`) {
					t.Errorf("sent %q", sent)
				}
			})
		}
	}
}

func TestDecideNotJudgedYet(t *testing.T) {
	api := newFakeAPI(t, fixture(t, "request.json"))
	api.on("POST /api/requests/"+mailID+"/approve", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ID string `json:"decision_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		api.on("GET /api/requests/"+mailID+"/decisions/"+body.ID, reply(200, `{"outcome":"resolved","decision_id":"`+body.ID+`"}`))
		reply(202, `{"outcome":"not_judged_yet","decision_id":"`+body.ID+`"}`)(w, r)
	})
	cmdline{api: api.URL}.run(t, "approve", mailID, "--as", "ana").want(t, exitDone, []string{": resolved"}, nil)

	// Interrupted while it is open: the decision is kept.
	ctx, interrupt := context.WithCancel(t.Context())
	api.on("POST /api/requests/"+mailID+"/approve", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ID string `json:"decision_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		api.on("GET /api/requests/"+mailID+"/decisions/"+body.ID, func(_ http.ResponseWriter, r *http.Request) {
			interrupt()
			<-r.Context().Done()
		})
		reply(202, `{"outcome":"not_judged_yet"}`)(w, r)
	})
	cmdline{api: api.URL, ctx: ctx}.run(t, "approve", mailID, "--as", "ana").want(t, exitPending,
		[]string{"approval of send_email (" + mailID + "), digest 3f2a91bc1234…: sent, not judged yet; is a worker running? Ask again with 'pawl show " + mailID + "'\n"}, nil)
}

func TestDecideSeveral(t *testing.T) {
	api := newFakeAPI(t, threeRequests(t)...)
	api.on("POST /api/requests/pawl-aaaaaaaaaab/approve", reply(200, resolved))
	api.on("POST /api/requests/pawl-aaaaaaaaaac/approve", reply(410, `{"code":"approval_expired","outcome":"expired","detail":"too late"}`))
	api.on("POST /api/requests/pawl-bbbbbbbbbbb/approve", reply(200, resolved))
	who := cmdline{api: api.URL, env: map[string]string{"PAWL_AS": "ana"}}
	who.run(t, "approve", "pawl-aaaaaaaaaab", "pawl-b").want(t, exitDone, []string{"(pawl-aaaaaaaaaab)", "(pawl-bbbbbbbbbbb)"}, nil)
	who.run(t, "approve", "pawl-aaaaaaaaaac", "pawl-b").want(t, exitDenied, []string{"NOT approved send_email (pawl-aaaaaaaaaac)", "(pawl-bbbbbbbbbbb)"}, nil)
	who.run(t, "approve", "pawl-none", "pawl-a", "pawl-b").want(t, exitError, []string{"(pawl-bbbbbbbbbbb)"}, []string{"pawl-none: ", "pawl-a: the ID prefix"})

	r := who.run(t, "approve", "pawl-aaaaaaaaaac", "pawl-b", "-o", "json")
	r.want(t, exitDenied, nil, nil)
	var docs []map[string]any
	for dec := json.NewDecoder(strings.NewReader(r.out)); ; {
		var doc map[string]any
		if err := dec.Decode(&doc); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	if len(docs) != 2 || docs[0]["outcome"] != "expired" || docs[0]["error"] == nil || docs[1]["outcome"] != "resolved" || docs[1]["digest"] != mailSum || docs[1]["decision_id"] == "" {
		t.Errorf("%s", r.out)
	}
}

// TestNameBesideAToken: the answer speaks of a header that nobody has typed.
func TestNameBesideAToken(t *testing.T) {
	api := newFakeAPI(t, fixture(t, "request.json"))
	refused := reply(403, `{"code":"identity_mismatch","detail":"Your token says who you are; the header X-Pawl-Reviewer says something else. Leave it out."}`)
	_, doc := activePolicy(t, 3, "org.yaml", "rules: []\n")
	api.on("GET /api/policy", reply(200, doc))
	api.on("PUT /api/policy", refused)
	api.on("POST /api/requests/"+mailID+"/approve", refused)
	api.on("POST /api/calls", reply(403, `{"code":"identity_mismatch","detail":"Your token says who you are; the field team says something else. Leave it out."}`))
	file := policyFileNamed(t, t.TempDir(), "org.yaml", "rules: [{tool: a}]\n")
	byEnv, byFlag := "unset PAWL_AS", "leave out --as"
	for _, tt := range []struct{ line, name, want, not string }{
		{"approve " + mailID, "zoe", byEnv, "--as"},
		{"approve --as zoe " + mailID, "", byFlag, "PAWL_AS"},
		{"approve --as zoe " + mailID, "zoe", byFlag, "PAWL_AS"},
		{"policy apply " + file, "zoe", byEnv, "--as"},
		{"policy apply --as zoe " + file, "", byFlag, "PAWL_AS"},
		{"call t --team x", "zoe", "the field team", "PAWL_AS"},
	} {
		r := cmdline{api: api.URL, env: map[string]string{"PAWL_TOKEN": "t", "PAWL_AS": tt.name}}.run(t, strings.Fields(tt.line)...)
		if r.want(t, exitError, nil, []string{tt.want}); strings.Contains(r.err, tt.not) || strings.Contains(r.err, "X-Pawl-Reviewer") {
			t.Errorf("%s: %s", tt.line, r.err)
		}
	}
}

func TestWhoDecides(t *testing.T) {
	api := newFakeAPI(t, fixture(t, "request.json"))
	var as string
	api.on("POST /api/requests/"+mailID+"/reject", func(w http.ResponseWriter, r *http.Request) {
		as = r.Header.Get("X-Pawl-Reviewer") + "|" + r.Header.Get("Authorization")
		reply(200, resolved)(w, r)
	})
	for _, tt := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{nil, []string{"--as", "Zoë"}, "Zoë|"},
		{map[string]string{"PAWL_AS": "ben", "USER": "root"}, nil, "ben|"},
		{map[string]string{"PAWL_TOKEN": "t1"}, nil, "|Bearer t1"},
	} {
		cmdline{api: api.URL, env: tt.env}.run(t, append([]string{"reject", mailID}, tt.args...)...).want(t, exitDone, nil, nil)
		if as != tt.want {
			t.Errorf("decided as %q, want %q", as, tt.want)
		}
	}
	cmdline{api: api.URL, env: map[string]string{"USER": "root"}}.run(t, "reject", mailID).want(t, exitUsage, nil, []string{"who are you?"})
	cmdline{api: api.URL}.run(t, "reject", mailID, "--as", "ana", "--notes", strings.Repeat("x", approval.MaxNotes+1)).want(t, exitUsage, nil, []string{"notes is"})
}
