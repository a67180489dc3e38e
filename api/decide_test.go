package api

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
)

// answers makes the workflow give one answer to every decision.
func answers(o approval.AnswerOutcome) func(*fakeWorkflow, fakeSignal) {
	return func(f *fakeWorkflow, s fakeSignal) {
		f.state.Answers = append(f.state.Answers, approval.Answer{DecisionID: s.DecisionID, Outcome: o})
	}
}

func TestDecide(t *testing.T) {
	const id = "pawl-1"
	vote := func(kind approval.DecisionKind) func(*store.Record) {
		return func(r *store.Record) {
			d := approval.Decision{ID: "mine", Kind: kind, Reviewer: "ana", At: testTime}
			r.View.Votes = []approval.Decision{{ID: "first", Kind: approval.Approve, Reviewer: "bo"}, d}
			r.View.Decision = d.Final()
		}
	}
	for _, c := range []struct {
		name   string
		setup  func(w *world)
		verb   string
		body   string
		status int
		code   string
		want   approval.AnswerOutcome
		sent   bool
	}{
		{"approve", func(w *world) { w.request(id) }, "approve", `{"decision_id":"mine","digest":"d1","notes":"fine"}`, 200, "", approval.AnswerResolved, true},
		{"reject", func(w *world) { w.request(id) }, "reject", `{"decision_id":"mine","notes":"no"}`, 200, "", approval.AnswerResolved, true},
		{"without a body", func(w *world) { w.request(id) }, "approve", ``, 200, "", approval.AnswerResolved, true},
		{"counted, more are needed", func(w *world) { w.request(id).onSignal = answers(approval.AnswerRecorded) }, "approve", `{}`, 200, "", approval.AnswerRecorded, true},
		{"settled before", func(w *world) { w.request(id).onSignal = answers(approval.AnswerAlreadyResolved) }, "approve", `{}`, 409, "already_resolved", approval.AnswerAlreadyResolved, true},
		{"after the deadline", func(w *world) { w.request(id).onSignal = answers(approval.AnswerExpired) }, "approve", `{}`, 410, approval.CodeExpired, approval.AnswerExpired, true},
		{"not allowed to", func(w *world) { w.request(id).onSignal = answers(approval.AnswerForbidden) }, "approve", `{}`, 403, "forbidden", approval.AnswerForbidden, true},
		{"not understood", func(w *world) { w.request(id).onSignal = answers(approval.AnswerInvalid) }, "approve", `{}`, 422, "invalid", approval.AnswerInvalid, true},
		{"an answer of a later version", func(w *world) { w.request(id).onSignal = answers("perhaps") }, "approve", `{}`, 500, approval.CodeInternalError, "", true},
		{"other digest", func(w *world) { w.request(id) }, "approve", `{"digest":"d2"}`, 409, "stale", approval.AnswerStale, true},
		{"other digest, workflow silent", func(w *world) { w.request(id).silent = true }, "approve", `{"digest":"d2"}`, 409, "stale", approval.AnswerStale, true},
		{"workflow silent", func(w *world) { w.request(id).silent = true }, "approve", `{"decision_id":"mine"}`, 202, "", rest.AnswerNotJudged, true},
		{"still judging", func(w *world) {
			w.request(id).onSignal = func(f *fakeWorkflow, _ fakeSignal) { f.state.Judging = true }
		}, "approve", `{}`, 202, "", rest.AnswerNotJudged, true},
		{"answer dropped, vote kept", func(w *world) {
			w.request(id).onSignal = func(f *fakeWorkflow, s fakeSignal) {
				f.state.Votes = []approval.Decision{{ID: s.DecisionID, Kind: approval.Approve, Reviewer: s.Reviewer}}
			}
		}, "approve", `{}`, 200, "", approval.AnswerRecorded, true},

		{"unknown", func(*world) {}, "approve", `{}`, 404, approval.CodeNotFound, rest.AnswerUnknown, false},
		{"prefix", func(w *world) { w.request("pawl-123") }, "approve", `{}`, 404, approval.CodeNotFound, rest.AnswerUnknown, false},
		{"never waited: blocked", func(w *world) { w.ended(id, approval.StatusBlocked, func(r *store.Record) { r.IsRequest = false }) }, "approve", `{}`, 409, "already_resolved", approval.AnswerAlreadyResolved, false},
		{"never waited: running", func(w *world) { w.store.put(store.Record{View: view(id, approval.StatusExecuting)}) }, "reject", `{}`, 409, "already_resolved", approval.AnswerAlreadyResolved, false},
		{"ended", func(w *world) { w.ended(id, approval.StatusExecuted) }, "approve", `{}`, 409, "already_resolved", approval.AnswerAlreadyResolved, false},
		{"expired", func(w *world) { w.ended(id, approval.StatusExpired) }, "approve", `{}`, 410, approval.CodeExpired, approval.AnswerExpired, false},
		{"repeat of the one that settled it", func(w *world) { w.ended(id, approval.StatusExecuted, vote(approval.Approve)) }, "approve", `{"decision_id":"mine"}`, 200, "", approval.AnswerResolved, false},
		{"repeat of one that counted", func(w *world) {
			w.ended(id, approval.StatusExpired, vote(approval.Approve), func(r *store.Record) { r.View.Decision = nil })
		}, "approve", `{"decision_id":"mine"}`, 200, "", approval.AnswerRecorded, false},
		{"reject under an approval's ID", func(w *world) { w.ended(id, approval.StatusExecuted, vote(approval.Approve)) }, "reject", `{"decision_id":"mine"}`, 422, "invalid", approval.AnswerInvalid, false},
		{"another reviewer's ID", func(w *world) { w.ended(id, approval.StatusExecuted, vote(approval.Approve)) }, "approve", `{"decision_id":"first"}`, 422, "invalid", approval.AnswerInvalid, false},
		{"another reviewer's ID, still open", func(w *world) {
			w.request(id).onSignal = func(f *fakeWorkflow, s fakeSignal) {
				f.state.Votes = []approval.Decision{{ID: s.DecisionID, Kind: approval.Approve, Reviewer: "bo"}}
				answers(approval.AnswerRecorded)(f, s)
			}
		}, "approve", `{}`, 422, "invalid", approval.AnswerInvalid, true},

		{"ended between: resolved", func(w *world) {
			w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, nil)
			w.endAtSecondLook(id, approval.StatusRejected)
		}, "approve", `{}`, 409, "already_resolved", approval.AnswerAlreadyResolved, false},
		{"ended between: expired", func(w *world) {
			w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, nil)
			w.endAtSecondLook(id, approval.StatusExpired)
		}, "approve", `{}`, 410, approval.CodeExpired, approval.AnswerExpired, false},
		{"ended after the signal, workflow silent", func(w *world) {
			w.request(id).silent = true
			w.endAtSecondLook(id, approval.StatusExecuted, vote(approval.Approve))
		}, "approve", `{"decision_id":"mine"}`, 200, "", approval.AnswerResolved, true},
		{"terminated by an operator", func(w *world) { w.request(id).close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil) }, "approve", `{}`, 409, rest.CodeWorkflowGone, "", false},
		{"forgotten by Temporal", func(w *world) { w.store.put(store.Record{View: view(id, approval.StatusPending), IsRequest: true}) }, "approve", `{}`, 409, rest.CodeWorkflowGone, "", false},

		{"notes too long", func(w *world) { w.request(id) }, "reject", `{"notes":"` + strings.Repeat("x", approval.MaxNotes+1) + `"}`, 422, "invalid", approval.AnswerInvalid, false},
		{"control character", func(w *world) { w.request(id) }, "reject", `{"notes":"\u001b[2J"}`, 422, "invalid", approval.AnswerInvalid, false},
		{"bad decision_id", func(w *world) { w.request(id) }, "reject", `{"decision_id":"\n"}`, 422, "invalid", approval.AnswerInvalid, false},
		{"bad digest", func(w *world) { w.request(id) }, "reject", `{"digest":"` + strings.Repeat("x", 500) + `"}`, 422, "invalid", approval.AnswerInvalid, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.QueryBudget = 120 * time.Millisecond })
			c.setup(w)
			rec := w.as("ana", "/api/requests/"+id+"/"+c.verb, c.body)
			body := expect(t, rec, c.status, c.code)
			if got := approval.AnswerOutcome(fmt.Sprint(body["outcome"])); got != c.want && (c.want != "" || body["outcome"] != nil) {
				t.Errorf("outcome %q, want %q", got, c.want)
			}
			if c.status == 202 {
				where := decisionPath(id, body["decision_id"].(string))
				if rec.Header().Get("Location") != where || body["location"] != where {
					t.Errorf("location %q, header %q, want %q", body["location"], rec.Header().Get("Location"), where)
				}
			}
			var sent []fakeSignal
			if f := w.temporal.get(id); f != nil {
				sent = f.signals
			}
			if (len(sent) == 1) != c.sent {
				t.Fatalf("%d signals", len(sent))
			}
			if c.sent && (sent[0].name != c.verb || sent[0].Reviewer != "ana" || sent[0].Channel != "api" || sent[0].DecisionID == "") {
				t.Errorf("signal %+v", sent[0])
			}
			want := view(id, "").Digest // what the store shows
			if strings.Contains(c.body, `"digest":"d2"`) {
				want = "d2"
			}
			if c.sent && sent[0].Digest != want {
				t.Errorf("the signal names the digest %q, want %q", sent[0].Digest, want)
			}
		})
	}
}

// endAtSecondLook lets a pending call end after the store was read once.
func (w *world) endAtSecondLook(id string, status approval.Status, change ...func(*store.Record)) {
	first, err := w.store.Call(context.Background(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	w.ended(id, status, change...)
	w.store.first = &first
}

func TestDecisionShapes(t *testing.T) {
	const id, mine = "pawl-1", `{"decision_id":"mine","notes":"fine"}`
	w := newWorld(t, func(o *Options) { o.QueryBudget = 500 * time.Millisecond })
	w.request(id)
	golden(t, "decision_resolved", w.as("ana", "/api/requests/"+id+"/approve", mine))
	golden(t, "decision_already_resolved", w.as("bo", "/api/requests/"+id+"/reject", `{"decision_id":"his"}`))
	golden(t, "decision_answer", w.get("/api/requests/"+id+"/decisions/mine"))
	w.ended("gone", approval.StatusExpired)
	golden(t, "decision_expired", w.as("ana", "/api/requests/gone/approve", mine))
	w.request("slow").silent = true
	golden(t, "decision_not_judged", w.as("ana", "/api/requests/slow/approve", mine))
	golden(t, "decision_answer_not_judged", w.get("/api/requests/slow/decisions/mine"))
	golden(t, "decision_unknown", w.as("ana", "/api/requests/none/approve", mine))
	golden(t, "reviewer_required", w.send("POST", "/api/requests/"+id+"/approve", mine))
	w.request("killed").close(enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, nil)
	golden(t, "decision_workflow_gone", w.as("ana", "/api/requests/killed/approve", mine))
}

func TestReviewer(t *testing.T) {
	for _, c := range []struct {
		name   string
		header []string
		status int
		code   string
	}{
		{"named", []string{"X-Pawl-Reviewer", "Zoë Ångström"}, 200, ""},
		{"absent", nil, 401, rest.CodeReviewerRequired},
		{"empty", []string{"X-Pawl-Reviewer", ""}, 401, rest.CodeReviewerRequired},
		{"two", []string{"X-Pawl-Reviewer", "ana", "X-Pawl-Reviewer", "bo"}, 400, rest.CodeInvalidRequest},
		{"control character", []string{"X-Pawl-Reviewer", "a\tb"}, 400, rest.CodeInvalidRequest},
		{"not UTF-8", []string{"X-Pawl-Reviewer", "a\xff"}, 400, rest.CodeInvalidRequest},
		{"invisible character", []string{"X-Pawl-Reviewer", "ana\u200b"}, 400, rest.CodeInvalidRequest},
		{"as everybody is called", []string{"X-Pawl-Reviewer", "local"}, 400, rest.CodeInvalidRequest},
		{"as the policy is called", []string{"X-Pawl-Reviewer", "Policy"}, 400, rest.CodeInvalidRequest},
		{"as Pawl", []string{"X-Pawl-Reviewer", "PAWL"}, 400, rest.CodeInvalidRequest},
		{"almost so", []string{"X-Pawl-Reviewer", "locals"}, 200, ""},
		{"too long", []string{"X-Pawl-Reviewer", strings.Repeat("x", 201)}, 400, rest.CodeInvalidRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			f := w.request("pawl-1")
			rec := w.send("POST", "/api/requests/pawl-1/approve", "", c.header...)
			expect(t, rec, c.status, c.code)
			if (len(f.signals) > 0) != (c.status == 200) {
				t.Errorf("%d signals", len(f.signals))
			}
			if c.status == 401 && rec.Header().Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
		})
	}
}

func TestChannelIsTheCommandLine(t *testing.T) {
	w := newWorld(t)
	f := w.request("pawl-1")
	w.send("POST", "/api/requests/pawl-1/approve", "", "X-Pawl-Reviewer", "ana", "User-Agent", "pawl-cli/0.1")
	if f.signals[0].Channel != "cli" {
		t.Errorf("signal %+v", f.signals[0])
	}
}

func TestUnsentDecisionCanBeRepeated(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Temporal = brokenTemporal{o.Temporal, serviceerror.NewUnavailable("down")}
	})
	w.store.put(store.Record{View: view("pawl-1", approval.StatusPending), IsRequest: true})
	body := expect(t, w.as("ana", "/api/requests/pawl-1/approve", ""), 503, rest.CodeTemporalUnavailable)
	if id, _ := body["decision_id"].(string); id == "" {
		t.Errorf("no decision_id to repeat it with: %v", body)
	}
	if detail, _ := body["detail"].(string); strings.Contains(detail, "decision_id") {
		t.Errorf("the command line would show a field that it has no flag for: %s", detail)
	}
}

func TestGetDecision(t *testing.T) {
	const id = "pawl-1"
	for _, c := range []struct {
		name   string
		setup  func(w *world)
		status int
		code   string
		want   approval.AnswerOutcome
	}{
		{"unknown call", func(*world) {}, 404, approval.CodeNotFound, ""},
		{"judged", func(w *world) { answers(approval.AnswerStale)(w.request(id), signalNamed("mine")) }, 200, "", approval.AnswerStale},
		{"not yet", func(w *world) { w.request(id) }, 202, "", rest.AnswerNotJudged},
		{"workflow silent", func(w *world) { w.request(id).silent = true }, 202, "", rest.AnswerNotJudged},
		{"ended, and the workflow knows", func(w *world) {
			f := w.request(id)
			answers(approval.AnswerForbidden)(f, signalNamed("mine"))
			w.ended(id, approval.StatusExecuted)
		}, 200, "", approval.AnswerForbidden},
		{"ended, and only the store knows", func(w *world) {
			w.ended(id, approval.StatusExecuted, func(r *store.Record) {
				d := approval.Decision{ID: "mine", Kind: approval.Approve, Reviewer: "ana"}
				r.View.Votes, r.View.Decision = []approval.Decision{d}, d.Final()
			})
		}, 200, "", approval.AnswerResolved},
		{"ended, and nobody knows", func(w *world) { w.ended(id, approval.StatusExecuted) }, 404, approval.CodeNotFound, ""},
		{"ended, and the workflow is silent", func(w *world) {
			w.request(id).silent = true
			w.ended(id, approval.StatusCancelled)
		}, 202, "", rest.AnswerNotJudged},
		{"never waited", func(w *world) { w.store.put(store.Record{View: view(id, approval.StatusExecuting)}) }, 404, approval.CodeNotFound, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.QueryBudget = 50 * time.Millisecond })
			c.setup(w)
			body := expect(t, w.get("/api/requests/"+id+"/decisions/mine"), c.status, c.code)
			if c.want != "" && body["outcome"] != string(c.want) {
				t.Errorf("outcome %v, want %s", body["outcome"], c.want)
			}
		})
	}
}

func signalNamed(decisionID string) fakeSignal {
	return fakeSignal{DecisionSignal: approval.DecisionSignal{DecisionID: decisionID}}
}
