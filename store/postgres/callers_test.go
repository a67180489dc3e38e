package postgres

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
)

// The rights that docs/architecture.md gives to an API are enough for calls whose callers run the tool,
// and each of them is needed; they are not enough to admit or to claim a call.
func TestLeastRightsForCallers(t *testing.T) {
	t.Parallel()
	database := pgtest.New(t)
	owner := open(t, database)
	name, his := role(t, database, "")
	t.Cleanup(func() { pgtest.Exec(t, database, `DROP OWNED BY "`+name+`"`) })
	conn := connect(t, database)
	run(t, conn, `GRANT USAGE ON SCHEMA pawl TO "`+name+`"`)
	run(t, conn, `GRANT SELECT ON ALL TABLES IN SCHEMA pawl TO "`+name+`"`)
	run(t, conn, `GRANT INSERT (call, step, kind, at, salt, leaf, payload, metadata, hash) ON pawl.entries TO "`+name+`"`)
	for _, id := range []string{"started", "blocked", "unused", "late", "refused"} {
		a := admission(id, nil)
		a.View.Execution, a.View.Status, a.Alike = approval.ExecutionCaller, approval.StatusApproved, id
		if _, _, err := owner.Admit(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	start := func(s *Store, id string) error {
		_, _, err := s.Start(t.Context(), store.StartParams{ID: id, Digest: "digest", Start: approval.HashStartID("process")})
		return err
	}
	finish := func(s *Store, id string, o approval.Outcome) error {
		f := ending(id)
		o.ID = id
		f.Outcome, f.Run = o, "run"
		_, _, err := s.Finish(t.Context(), f)
		return err
	}
	notReported := approval.Outcome{
		Status: approval.StatusOutcomeUnknown, Error: &approval.CallError{Code: approval.CodeNotReported, Message: "nothing came"},
	}
	if err := errors.Join(owner.Release(t.Context(), "unused"), start(owner, "late"), finish(owner, "late", notReported),
		finish(owner, "refused", approval.Outcome{Status: approval.StatusCancelled})); err != nil {
		t.Fatal(err)
	}

	api := openWith(t, Options{URL: his})
	steps := []struct {
		what string
		do   func() error
	}{
		{"attach", func() error { _, err := api.Attach(t.Context(), "unused"); return err }},
		{"renew", func() error { return api.Renew(t.Context(), "unused") }}, // the lease that attaching took
		{"release", func() error { return api.Release(t.Context(), "unused") }},
		{"start", func() error { return start(api, "started") }},
		{"block at the start", func() error {
			return finish(api, "blocked", approval.Outcome{Status: approval.StatusBlocked})
		}},
		{"keep a late report", func() error {
			_, _, err := api.Report(t.Context(), store.ReportParams{
				Outcome: approval.Outcome{ID: "late", Digest: "digest", Status: approval.StatusExecuted},
				Start:   approval.HashStartID("process"), Report: approval.Report{Status: approval.StatusExecuted}, At: time.Now(),
				Late: []audit.Entry{entry("late", "late report", audit.KindReported)},
			})
			return err
		}},
		{"deliver", func() error { return api.Deliver(t.Context(), "refused") }},
		{"publish", func() error {
			_, err := api.PublishOwn(t.Context(), "agent", "", []store.OwnTool{{Name: "ls"}})
			return err
		}},
	}
	for _, step := range steps {
		if err := step.do(); !errors.Is(err, ErrAccess) {
			t.Errorf("without the right to, %s: %v, want %v", step.what, err, ErrAccess)
		}
	}
	for _, grant := range documentedGrants(t, "architecture.md") {
		if strings.Contains(grant, "TO api") {
			run(t, conn, strings.ReplaceAll(grant, "TO api", `TO "`+name+`"`))
		}
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Errorf("with the documented rights, %s: %v", step.what, err)
		}
	}
	if tool, err := api.OwnTool(t.Context(), "agent", "ls"); err != nil || tool.Name != "ls" {
		t.Errorf("%+v, %v", tool, err)
	}
	if r, err := api.Call(t.Context(), "late"); err != nil || r.View.LateReport == nil {
		t.Errorf("the late report: %+v, %v", r.View.LateReport, err)
	}
	if _, _, err := api.Admit(t.Context(), admission("forged", nil)); !errors.Is(err, ErrAccess) {
		t.Errorf("an API admits: %v", err)
	}
	for _, query := range []string{
		`INSERT INTO pawl.claims (call, run, at, good_until, policy) SELECT seq, '', now(), now(), 0 FROM pawl.calls`,
		`UPDATE pawl.claims SET good_until = now() + interval '1 year'`,
		`UPDATE pawl.claims SET evidence = ''`,
		`UPDATE pawl.calls SET verdict = '{}'`,
		`UPDATE pawl.calls SET digest = 'another'`,
		`DELETE FROM pawl.calls`,
		`UPDATE pawl.own_tools SET tool = '{}'`,
	} {
		if _, err := connect(t, his).Exec(t.Context(), query); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", query, err)
		}
	}
}
