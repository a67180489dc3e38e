package api

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/rest"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/store/sqlite"
	"github.com/pawlhq/pawl/store/storetest"
)

// TestWhatOneMayApprove looks for a reviewer's calls among more of others' than pages of the store hold.
func TestWhatOneMayApprove(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "pawl.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mine := []string{"c0600", "c0601", "c0602", "c1100", "c1101"}
	for i := range 1105 {
		a, err := storetest.Sample(fmt.Sprintf("c%04d", i), true)
		if err != nil {
			t.Fatal(err)
		}
		deadline := a.View.CreatedAt.Add(time.Hour + time.Duration(i)*time.Second)
		a.View.Deadline = &deadline
		if !slices.Contains(mine, a.View.ID) {
			a.View.Requirement = &approval.Requirement{Approvals: []approval.Approvals{{Group: "security", Count: 1}}}
			a.Verdict.Requirement = a.View.Requirement
		}
		if _, _, err := s.Admit(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, func(o *Options) { o.Store = s })
	list := func(limit int, cursor string) (ids []string, next string) {
		body := expect(t, w.send("GET", fmt.Sprintf(
			"/api/requests?may=approve&order=deadline&limit=%d&cursor=%s", limit, cursor), "", "X-Pawl-Reviewer", "ana"), 200, "")
		for _, item := range body["items"].([]any) {
			ids = append(ids, item.(map[string]any)["id"].(string))
		}
		if body["total"] != 1001.0 {
			t.Errorf("total %v", body["total"])
		}
		return ids, body["next_cursor"].(string)
	}
	for _, limit := range []int{1, 2, 5, 100} {
		var pages [][]string
		for next := "first"; next != ""; {
			var ids []string
			ids, next = list(limit, strings.TrimPrefix(next, "first"))
			pages = append(pages, ids)
		}
		full := slices.Collect(slices.Chunk(mine, limit))
		if last := pages[len(pages)-1]; len(last) == 0 { // nothing more is found behind the last one
			pages = pages[:len(pages)-1]
		}
		if !slices.EqualFunc(pages, full, slices.Equal) {
			t.Errorf("by %d: %v", limit, pages)
		}
	}
}

// TestLookingForWhatOneMayApproveEnds also where there is always one page more.
func TestLookingForWhatOneMayApproveEnds(t *testing.T) {
	w := guardedWorld(t)
	for i := range store.MaxPage + 1 {
		w.request(fmt.Sprintf("c%d", i))
		r := w.store.records[fmt.Sprintf("c%d", i)]
		r.View.Requirement = &approval.Requirement{Approvals: []approval.Approvals{{Group: "security", Count: 1}}}
		w.store.put(r)
	}
	const path = "/api/requests?may=approve&limit=7"
	body := expect(t, w.with(w.token("rita", rest.RoleReviewer), "GET", path, ""), 200, "")
	if len(body["items"].([]any)) != 0 || body["next_cursor"] != "next" || w.store.asked.Cursor != "next" {
		t.Errorf("%v, asked %+v", body, w.store.asked)
	}
	w.store.asked = store.CallQuery{}
	body = expect(t, w.with(w.token("otto", rest.RoleAuditor), "GET", path, ""), 200, "")
	if len(body["items"].([]any)) != 0 || body["next_cursor"] != "" || w.store.asked.Requests {
		t.Errorf("who decides nothing: %v, asked %+v", body, w.store.asked)
	}
	for query, why := range map[string]string{
		"may=settle": "may: must be approve", "may=approve&status=all": "may: only calls that wait",
		"may=approve&by=ana": "may: must not be given together with by",
	} {
		body := expect(t, w.with(w.token("ana", rest.RoleReviewer), "GET", "/api/requests?"+query, ""), 400, rest.CodeInvalidRequest)
		if detail := body["detail"].(string); !strings.HasPrefix(detail, why) {
			t.Errorf("%s: %q", query, detail)
		}
	}
}
