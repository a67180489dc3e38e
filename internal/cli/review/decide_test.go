package review_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/clitest"
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
		{"resolved", 200, resolved, cli.ExitDone, "%s send_email (" + clitest.MailID + "), digest 3f2a91bc1234…: the call is decided\n"},
		{"approved before", 200, `{"outcome":"recorded","message":"you have approved already"}`, cli.ExitDone, "%s send_email (" + clitest.MailID + "), digest 3f2a91bc1234…: recorded; you have approved already\n"},
		{"recorded", 200, `{"outcome":"recorded"}`, cli.ExitDone, "%s send_email (" + clitest.MailID + "), digest 3f2a91bc1234…: recorded; more approvals are needed\n"},
		{"already resolved", 409, `{"code":"already_resolved","outcome":"already_resolved","detail":"ben rejected it"}`, cli.ExitDenied,
			"NOT %s send_email (" + clitest.MailID + "), digest 3f2a91bc1234…: already_resolved: ben rejected it\n"},
		{"expired", 410, `{"code":"approval_expired","outcome":"expired","detail":"it came too late"}`, cli.ExitDenied, "NOT %s send_email (" + clitest.MailID + "), digest 3f2a91bc1234…: expired: it came too late\n"},
		{"forbidden", 403, `{"code":"forbidden","outcome":"forbidden","detail":"not you"}`, cli.ExitDenied, "NOT %s send_email (" + clitest.MailID + "), digest 3f2a91bc1234…: forbidden: not you\n"},
		{"gone", 409, `{"code":"workflow_gone","detail":"terminated"}`, cli.ExitDenied, "NOT %s send_email (" + clitest.MailID + "), digest 3f2a91bc1234…: workflow_gone: terminated\n"},
		{"stale", 409, `{"code":"stale","outcome":"stale","detail":"another digest"}`, cli.ExitDenied, "NOT %s send_email (" + clitest.MailID + "), digest 3f2a91bc1234…: stale: another digest\n"},
	} {
		for kind, verb := range map[string]string{"approve": "approved", "reject": "rejected"} {
			t.Run(kind+" "+tt.name, func(t *testing.T) {
				api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
				api.On("POST /api/requests/"+clitest.MailID+"/"+kind, clitest.Reply(tt.http, tt.body))
				r := clitest.CommandLine{API: api.URL, Env: map[string]string{"PAWL_AS": "ana"}}.Run(t, kind, "pawl-k3vq2m", "--notes", "seen")
				if want := fmt.Sprintf(tt.out, verb); r.Code != tt.code || r.Out != want || r.Err != "" {
					t.Errorf("code %d, stdout %q, want %d, %q; stderr %q", r.Code, r.Out, tt.code, want, r.Err)
				}
				if sent := api.Requests("POST"); len(sent) != 1 || !strings.Contains(sent[0], `{"notes":"seen","digest":"`+mailSum+`","decision_id":"`) {
					t.Errorf("sent %q", sent)
				}
			})
		}
	}
}

// What went wrong with a decision is told without its ID, for which the commands have no flag.
func TestDecisionIDsAreNotOffered(t *testing.T) {
	for status, code := range map[int]string{409: "signing_unavailable", 400: "invalid_request", 403: "not_permitted", 422: "invalid"} {
		for _, verb := range []string{"approve", "reject"} {
			api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
			api.On("POST /api/requests/"+clitest.MailID+"/"+verb,
				clitest.Reply(status, `{"code":"`+code+`","detail":"It was not made.","id":"`+clitest.MailID+`","decision_id":"d-4711"}`))
			r := clitest.CommandLine{API: api.URL}.Run(t, verb, clitest.MailID, "--as", "ana")
			if text := r.Out + r.Err; r.Code == cli.ExitDone || !strings.Contains(text, "It was not made.") ||
				strings.Contains(text, "decision_id") || strings.Contains(text, "d-4711") {
				t.Errorf("%s, %d: exit code %d, %s", verb, status, r.Code, text)
			}
		}
	}
}

func TestDecideNotJudgedYet(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
	api.On("POST /api/requests/"+clitest.MailID+"/approve", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ID string `json:"decision_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		api.On("GET /api/requests/"+clitest.MailID+"/decisions/"+body.ID, clitest.Reply(200, `{"outcome":"resolved","decision_id":"`+body.ID+`"}`))
		clitest.Reply(202, `{"outcome":"not_judged_yet","decision_id":"`+body.ID+`"}`)(w, r)
	})
	clitest.CommandLine{API: api.URL}.Run(t, "approve", clitest.MailID, "--as", "ana").Want(t, cli.ExitDone, []string{": the call is decided"}, nil)

	// Interrupted while it is open: the decision is kept.
	ctx, interrupt := context.WithCancel(t.Context())
	api.On("POST /api/requests/"+clitest.MailID+"/approve", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ID string `json:"decision_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		api.On("GET /api/requests/"+clitest.MailID+"/decisions/"+body.ID, func(_ http.ResponseWriter, r *http.Request) {
			interrupt()
			<-r.Context().Done()
		})
		clitest.Reply(202, `{"outcome":"not_judged_yet"}`)(w, r)
	})
	clitest.CommandLine{API: api.URL, Ctx: ctx}.Run(t, "approve", clitest.MailID, "--as", "ana").Want(t, cli.ExitPending,
		[]string{"approval of send_email (" + clitest.MailID + "), digest 3f2a91bc1234…: sent, not judged yet; is a worker running? Ask again with 'pawl show " + clitest.MailID + "'\n"}, nil)
}

func TestDecideSeveral(t *testing.T) {
	api := clitest.NewAPI(t, threeRequests(t)...)
	api.On("POST /api/requests/pawl-aaaaaaaaaab/approve", clitest.Reply(200, resolved))
	api.On("POST /api/requests/pawl-aaaaaaaaaac/approve", clitest.Reply(410, `{"code":"approval_expired","outcome":"expired","detail":"too late"}`))
	api.On("POST /api/requests/pawl-bbbbbbbbbbb/approve", clitest.Reply(200, resolved))
	who := clitest.CommandLine{API: api.URL, Env: map[string]string{"PAWL_AS": "ana"}}
	who.Run(t, "approve", "pawl-aaaaaaaaaab", "pawl-bbbbbb").Want(t, cli.ExitDone, []string{"(pawl-aaaaaaaaaab)", "(pawl-bbbbbbbbbbb)"}, nil)
	who.Run(t, "approve", "pawl-aaaaaaaaaac", "pawl-bbbbbb").Want(t, cli.ExitDenied, []string{"NOT approved send_email (pawl-aaaaaaaaaac)", "(pawl-bbbbbbbbbbb)"}, nil)
	who.Run(t, "approve", "pawl-none", "pawl-a", "pawl-bbbbbb").Want(t, cli.ExitError, []string{"(pawl-bbbbbbbbbbb)"}, []string{"pawl-none: ", "pawl-a: the ID prefix"})

	r := who.Run(t, "approve", "pawl-aaaaaaaaaac", "pawl-bbbbbb", "-o", "json")
	r.Want(t, cli.ExitDenied, nil, nil)
	var docs []map[string]any
	for dec := json.NewDecoder(strings.NewReader(r.Out)); ; {
		var doc map[string]any
		if err := dec.Decode(&doc); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	if len(docs) != 2 || docs[0]["outcome"] != "expired" || docs[0]["error"] == nil || docs[1]["outcome"] != "resolved" || docs[1]["digest"] != mailSum || docs[1]["decision_id"] == "" {
		t.Errorf("%s", r.Out)
	}
}

// TestNameBesideAToken: the answer speaks of a header that nobody has typed.
func TestNameBesideAToken(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
	refused := clitest.Reply(403, `{"code":"identity_mismatch","detail":"Your token says who you are; the header X-Pawl-Reviewer says something else. Leave it out."}`)
	api.On("GET /api/policy", clitest.Reply(200, `{"version":3,"layers":[]}`))
	api.On("PUT /api/policy", refused)
	api.On("POST /api/requests/"+clitest.MailID+"/approve", refused)
	api.On("POST /api/calls", clitest.Reply(403, `{"code":"identity_mismatch","detail":"Your token says who you are; the field team says something else. Leave it out."}`))
	file := filepath.Join(t.TempDir(), "org.yaml")
	if err := os.WriteFile(file, []byte("rules: [{tool: a}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	byEnv, byFlag := "unset PAWL_AS", "leave out --as"
	for _, tt := range []struct{ line, name, want, not string }{
		{"approve " + clitest.MailID, "zoe", byEnv, "--as"},
		{"approve --as zoe " + clitest.MailID, "", byFlag, "PAWL_AS"},
		{"approve --as zoe " + clitest.MailID, "zoe", byFlag, "PAWL_AS"},
		{"policy apply " + file, "zoe", byEnv, "--as"},
		{"policy apply --as zoe " + file, "", byFlag, "PAWL_AS"},
		{"call t --team x", "zoe", "the field team", "PAWL_AS"},
	} {
		r := clitest.CommandLine{API: api.URL, Env: map[string]string{"PAWL_TOKEN": "t", "PAWL_AS": tt.name}}.Run(t, strings.Fields(tt.line)...)
		if r.Want(t, cli.ExitError, nil, []string{tt.want}); strings.Contains(r.Err, tt.not) || strings.Contains(r.Err, "X-Pawl-Reviewer") {
			t.Errorf("%s: %s", tt.line, r.Err)
		}
	}
}

func TestWhoDecides(t *testing.T) {
	api := clitest.NewAPI(t, clitest.Fixture(t, "request.json"))
	var as string
	api.On("POST /api/requests/"+clitest.MailID+"/reject", func(w http.ResponseWriter, r *http.Request) {
		as = r.Header.Get("X-Pawl-Reviewer") + "|" + r.Header.Get("Authorization")
		clitest.Reply(200, resolved)(w, r)
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
		clitest.CommandLine{API: api.URL, Env: tt.env}.Run(t, append([]string{"reject", clitest.MailID}, tt.args...)...).Want(t, cli.ExitDone, nil, nil)
		if as != tt.want {
			t.Errorf("decided as %q, want %q", as, tt.want)
		}
	}
	clitest.CommandLine{API: api.URL, Env: map[string]string{"USER": "root"}}.Run(t, "reject", clitest.MailID).Want(t, cli.ExitUsage, nil, []string{"who are you?"})
	clitest.CommandLine{API: api.URL}.Run(t, "reject", clitest.MailID, "--as", "ana", "--notes", strings.Repeat("x", approval.MaxNotes+1)).Want(t, cli.ExitUsage, nil, []string{"notes is"})
}

// TestBeginningsOfIDs decides no call by a letter or two, and none that has ended.
func TestBeginningsOfIDs(t *testing.T) {
	views := threeRequests(t)
	ended := func(id, status string) string {
		return withField(t, withField(t, clitest.Fixture(t, "request.json"), "id", id), "status", status)
	}
	views = append(views, ended("pawl-bbbbbbzzzzz", "expired"), ended("pawl-cccccccccc", "executed"),
		withField(t, clitest.Fixture(t, "request.json"), "id", "own-call-of-somebody"))
	const decided = ""
	for _, tt := range []struct{ id, means, want string }{
		{"p", "", "fits several calls"},
		{"b", "", "too little of an ID"},
		{"o", "", "too little of an ID to decide a call by: give at least 12 characters, or the whole ID"},
		{"pawl-bbbbb", "", "too little of an ID"},
		{"pawl-bbbbbb", "pawl-bbbbbbbbbbb", decided}, // the other one has ended
		{"bbbbbb", "pawl-bbbbbbbbbbb", decided},
		{"pawl-aaaaaa", "", "fits several calls"},
		{"pawl-aaaaaaaaaac", "pawl-aaaaaaaaaac", decided},
		{"pawl-bbbbbbz", "", "no call that waits has an ID that begins like this; pawl-bbbbbbzzzzz has ended (expired)"},
		{"pawl-cccccc", "", "no call that waits has an ID that begins like this"},
		{"pawl-cccccccccc", "pawl-cccccccccc", decided}, // a whole ID: the API answers
		{"own-call-of", "", "too little of an ID"},
		{"own-call-of-", "own-call-of-somebody", decided},
		{"own-call-of-somebody", "own-call-of-somebody", decided},
	} {
		for _, verb := range []string{"approve --as ana", "reject --as ana", "cancel"} {
			api := clitest.NewAPI(t, views...)
			r := clitest.CommandLine{API: api.URL}.Run(t, append(strings.Fields(verb), tt.id)...)
			if !strings.Contains(r.Err, tt.want) {
				t.Errorf("%s %s: %s", verb, tt.id, r.Err)
			}
			sent := strings.Join(api.Requests("POST"), " ")
			if (tt.means == "") != (sent == "") || !strings.Contains(sent, tt.means) {
				t.Errorf("%s %s: sent %q, want one about %q", verb, tt.id, sent, tt.means)
			}
		}
	}
}
