package store

import (
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
)

// EntryQuery selects audit entries. Zero fields do not restrict. What no index tells, which is all of
// a call and who acted, is looked for in MaxLook entries a page: such a page may be empty and have a
// next one, and its total is of as many entries, some of which may turn out not to fit.
//
// By finds every entry but those of the kinds that each call has, audit.KindRequested, KindClaimed,
// KindStarted and KindEnded, of calls that nobody was asked about: these are found with their Kind or
// Subject.
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

// MaxLook is how many entries, or calls, are looked at for one page of those that no index finds.
const MaxLook = 20_000
