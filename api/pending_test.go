package api

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/postgres"
	"github.com/pawlhq/pawl/store/postgres/pgtest"
	"github.com/pawlhq/pawl/store/sqlite"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// However many calls are started at once, and however late the store learns of them, exactly as many
// wait as may.
func TestPendingQuotaHoldsExactly(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (store.Store, error){
		"sqlite": func(t *testing.T) (store.Store, error) {
			return sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")})
		},
		"postgres": func(t *testing.T) (store.Store, error) {
			return postgres.Open(t.Context(), postgres.Options{URL: pgtest.New(t)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			pendingQuotaHolds(t, s)
		})
	}
}

func pendingQuotaHolds(t *testing.T, s store.Store) {
	const limit = 7
	l := Limits{Pending: limit}
	if err := l.validate(); err != nil {
		t.Fatal(err)
	}
	q := newQuotas(l, s, slog.New(slog.DiscardHandler))
	admit := func(id, requester string) {
		now := time.Now().UTC()
		deadline := now.Add(time.Hour)
		_, _, err := s.Admit(t.Context(), store.AdmitParams{Run: "r", IsRequest: true, View: approval.View{
			ID: id, Tool: "t", Digest: "d", Requester: requester, Status: approval.StatusPending,
			CreatedAt: now, Deadline: &deadline, Requirement: approval.OneApproval(),
		}})
		if err != nil {
			t.Error(err)
		}
	}
	// starts begins 40 calls at once. Those that may are admitted at once, or only after all began.
	starts := func(round, requester string, late bool) (begun []string) {
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 40 {
			id := fmt.Sprintf("%s-%s-%d", round, requester, i)
			all.Go(func() {
				switch err := q.addPending(t.Context(), requester, id); {
				case err == nil:
					mu.Lock()
					begun = append(begun, id)
					mu.Unlock()
					if !late {
						admit(id, requester)
					}
				case problemOf(err).Code != rest.CodeTooManyPending:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if late {
			for _, id := range begun {
				admit(id, requester)
			}
		}
		return begun
	}
	for requester, late := range map[string]bool{"agent:early": false, "agent:late": true} {
		begun := starts("first", requester, late)
		if len(begun) != limit {
			t.Errorf("%s: %d calls began at once, %d may wait", requester, len(begun), limit)
		}
		q.pendingOf(requester).exactAt = time.Time{} // the store may be asked again at once
		if more := starts("second", requester, late); len(more) != 0 {
			t.Errorf("%s: %d more calls began", requester, len(more))
		}
		for _, id := range begun[:3] {
			_, _, err := s.Finish(t.Context(), store.FinishParams{
				Outcome: approval.Outcome{ID: id, Status: approval.StatusRejected}, Run: "r", At: time.Now(),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if more := starts("third", requester, late); len(more) != 3 {
			t.Errorf("%s: %d calls began where three had ended", requester, len(more))
		}
		page, err := s.Calls(t.Context(), store.CallQuery{
			Requester: requester, Statuses: []approval.Status{approval.StatusPending}, Limit: 1,
		})
		if err != nil || page.Total != limit {
			t.Errorf("%s: %d calls wait, %v", requester, page.Total, err)
		}
	}
}
