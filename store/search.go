package store

import (
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
)

// CallQuery selects calls. Zero fields do not restrict.
type CallQuery struct {
	Requests             bool // only calls that wait or waited for people
	Statuses             []approval.Status
	Ended                bool // only calls that have ended
	Unsettled            bool // only outcome_unknown of which nobody has said what became of it
	Tool, Agent, Session string
	Requester            string
	Risk                 approval.Risk
	// By is who asked for the call or answers for that, who withdrew it, whose approval or rejection
	// counted, or who settled it. No index tells that, so it is looked for in MaxLook calls a page, as in
	// EntryQuery.
	By string
	// Since and Until are when calls were admitted: at Since or later, and before Until. With either,
	// the list is in that order, but with Nearest.
	Since, Until time.Time
	Nearest      bool   // the nearest deadline first; Statuses must be pending alone
	Cursor       string // as in Paging, of a list in the same order
	Limit        int
}

// EntryQuery selects audit entries. Zero fields do not restrict. What no index tells, which is all of
// a call and who acted, is looked for in MaxLook entries a page: such a page may be empty and have a
// next one, and its total is of as many entries, some of which may turn out not to fit.
//
// By finds every entry, but for one search: of Newest alone, or with Until. It leaves out those of the
// kinds that each call has, audit.KindRequested, KindClaimed, KindStarted and KindEnded, of calls that
// nobody was asked about; Whole says so.
type EntryQuery struct {
	Subject      string
	Kind         audit.Kind
	Tool, Agent  string          // of the call that the entry is about
	Status       approval.Status // of that call now
	Risk         approval.Risk   // of that call
	By           string          // whom the entry names; see audit.Names and below
	Since, Until time.Time       // only of this time or later; only of before
	Newest       bool            // the newest first, by their time; else in the order written
	Cursor       string          // as in Paging, of a list in the same order
	Limit        int
}

// Whole reports whether By is looked for in every entry: also in those that an index of who acted does
// not have. So it is where something else bounds how many entries that takes, or it takes all.
func (q EntryQuery) Whole() bool {
	return q.By == "" || !q.Newest || q.Subject != "" || q.Kind != "" || !q.Since.IsZero() ||
		q.Tool != "" || q.Agent != "" || q.Status != "" || q.Risk != ""
}

// MaxLook is how many entries, or calls, are looked at for one page of those that no index finds.
const MaxLook = 20_000
