// Package verify checks that nobody changed the audit log: that its entries are those of the tree
// whose root was signed, and that the tree goes on from what was signed, published or seen before.
package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Fault says in which way a log was changed.
type Fault string

const (
	Edited     Fault = "edited"      // an entry is not what was sealed
	Deleted    Fault = "deleted"     // an entry is missing between others
	Inserted   Fault = "inserted"    // an entry is there that was never sealed, or sealed twice
	Reordered  Fault = "reordered"   // entries have changed places
	Truncated  Fault = "truncated"   // the end of the log is missing
	Changed    Fault = "changed"     // entries before a checkpoint were changed together with their hashes
	Forged     Fault = "forged"      // a checkpoint was not signed by the log's key, or is missing
	RolledBack Fault = "rolled_back" // the log is shorter than it was
	Forked     Fault = "forked"      // the log is another one than the one that was seen before
	Empty      Fault = "empty"       // nothing is sealed, so that nothing can be said of it
)

// Problem is the first thing that is wrong.
type Problem struct {
	Fault   Fault  `json:"fault"`
	Index   *int64 `json:"index,omitempty"`   // of the first bad entry
	CallID  string `json:"call_id,omitempty"` // its call, if the entry is there
	Step    string `json:"step,omitempty"`
	Message string `json:"message"`
}

func (p *Problem) Error() string {
	what := ""
	switch {
	case p.CallID != "":
		what = fmt.Sprintf("entry %s/%s", approval.Display(p.CallID, 80), approval.Display(p.Step, 80))
		if p.Index != nil {
			what += fmt.Sprintf(" (number %d)", *p.Index)
		}
		what += ": "
	case p.Index != nil:
		what = fmt.Sprintf("entry number %d: ", *p.Index)
	}
	return fmt.Sprintf("%s: %s%s", p.Fault, what, p.Message)
}

// Report is what a verifier found.
type Report struct {
	OK       bool   `json:"ok"`
	Origin   string `json:"origin,omitempty"` // the log's name, as its last checkpoint says
	Size     int64  `json:"size"`             // how many sealed entries were checked
	Root     string `json:"root,omitempty"`   // the root of the tree over them, in base64
	Unsealed int64  `json:"unsealed"`         // entries behind them that have no index yet
	Signed   int64  `json:"checkpoints"`      // checkpoints that were checked
	OtherKey int64  `json:"other_key"`        // checkpoints before the last one that another key signed
	Erased   int64  `json:"erased"`           // entries whose payload was removed
	Renamed  int64  `json:"renamed"`          // how often the log got another name
	// Witnessed is up to where enough witnesses signed, where Options names them.
	Witnessed int64    `json:"witnessed,omitempty"`
	Problem   *Problem `json:"problem,omitempty"`

	last     string   // the last checkpoint, as it was signed
	accepted []string // names in the State whose end is known to be lost
}

// Seen is a checkpoint that the log must go on from.
type Seen struct {
	Signed string
	From   string // where it was seen, for people
}

// Options say how a log is verified.
type Options struct {
	Known note.Verifiers // the log's public keys. Required
	// AnyName are the same under whatever name: they tell what was seen of this log before it was
	// renamed from what was seen of others. Default: Known.
	AnyName   note.Verifiers
	State     State        // what the verifier saw before. Default: nothing
	Others    []Seen       // checkpoints that were published
	Renamed   bool         // the log may lack what was seen before it was renamed: see tree.Renamed
	Witnesses *tree.Policy // who must have signed the last checkpoint, too. Default: nobody
	Progress  func(entries int64)
}

// Source gives the items of a log one after the other: an entry, or a signed checkpoint behind the
// last entry that it covers. After the last one it returns io.EOF. An error may be a *Problem.
type Source interface {
	Next(ctx context.Context) (e *audit.Entry, signed string, err error)
}

// keeper is a Source that keeps hashes of the tree, beside the entries that they follow from: proofs are
// made of them. One that is missing is the zero Hash.
type keeper interface {
	Kept(ctx context.Context, level int, n int64) (audit.Hash, error)
}

// change is one of the log's name, between two checkpoints.
type change struct {
	from, to string
	size     int64 // of the first one
}

type verifier struct {
	o        Options
	report   Report
	tree     tree.Range
	good     int64 // up to where a checkpoint confirmed the entries
	expected []expected
	erasures erasures
	renames  []audit.LogRenamed
	changes  []change
	missing  *Problem     // an entry that was deleted, or comes later
	unsealed *audit.Entry // the first entry without an index
	foreign  string       // the last checkpoint, if another key signed it
	kept     keeper       // nil: the source keeps no hashes
	wrong    string       // which of those does not follow from the entries; empty: none
}

// errStop ends the reading of a log: the first problem was found.
var errStop = errors.New("stop")

func (v *verifier) fail(fault Fault, e *audit.Entry, index *int64, format string, args ...any) error {
	v.report.Problem = &Problem{Fault: fault, Index: index, Message: fmt.Sprintf(format, args...)}
	if e != nil {
		v.report.Problem.CallID, v.report.Problem.Step = e.Subject, e.Step
	}
	return errStop
}

// entry adds an entry to the tree.
func (v *verifier) entry(ctx context.Context, e *audit.Entry) error {
	next := v.tree.Size()
	if v.missing != nil { // is it lost, or in another place?
		if e.Index != nil && *e.Index == *v.missing.Index {
			return v.fail(Reordered, e, e.Index, "it is not in its place: entries with a higher number come first")
		}
		return nil
	}
	switch {
	case e.Index == nil:
		if v.unsealed == nil {
			v.unsealed = e
		}
		v.report.Unsealed++
		if e.Damage != "" {
			return v.fail(Edited, e, nil, "%s", e.Damage)
		}
		v.renamed(e)
		v.erasures.add(e)
		return nil
	case v.unsealed != nil:
		return v.fail(Inserted, v.unsealed, nil, "it has no number, and entries behind it were sealed")
	case *e.Index < next:
		return v.fail(Inserted, e, e.Index, "its number was there before")
	case *e.Index > next:
		v.missing = &Problem{Fault: Deleted, Index: &next, Message: fmt.Sprintf(
			"it is missing; the next one is number %d, %s/%s", *e.Index,
			approval.Display(e.Subject, 80), approval.Display(e.Step, 80))}
		return nil
	case e.Damage != "":
		return v.fail(Edited, e, e.Index, "%s", e.Damage)
	}
	if e.Payload == nil {
		v.report.Erased++
	}
	if err := v.add(ctx, e.Leaf); err != nil {
		return err
	}
	v.renamed(e)
	v.erasures.add(e)
	for i := range v.expected {
		if x := &v.expected[i]; x.at.N == v.tree.Size() {
			x.differs = x.at.Hash != v.tree.Root()
		}
	}
	return nil
}

// add adds a leaf, and compares what is kept of the tree. If that differs, either may have been changed,
// which the next checkpoint tells.
func (v *verifier) add(ctx context.Context, leaf audit.Hash) (err error) {
	v.tree.Add(tlog.Hash(leaf), func(level int, n int64, hash tlog.Hash) {
		if v.kept == nil || level%store.NodeLevels != 0 || err != nil {
			return
		}
		var kept audit.Hash
		if kept, err = v.kept.Kept(ctx, level, n); err == nil && kept != audit.Hash(hash) && v.wrong == "" {
			v.wrong = fmt.Sprintf("the hash that is kept of entries %d to %d", n<<level, (n+1)<<level-1)
		}
	})
	return err
}

// renamed notes what an entry says of the log's name.
func (v *verifier) renamed(e *audit.Entry) {
	if e.Kind != audit.KindLogRenamed || e.Subject != audit.SubjectLog {
		return
	}
	payload, err := audit.ReadPayload(e.Kind, e.Payload)
	if r, ok := payload.(audit.LogRenamed); ok && err == nil {
		v.renames = append(v.renames, r)
	}
}

// open reads a checkpoint. foreign says that none of the keys signed it.
func open(signed string, known note.Verifiers) (origin string, t tlog.Tree, foreign bool, err error) {
	origin, t, err = tree.Open(signed, known)
	if unverified, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
		origin, t, err = tree.ParseText(unverified.Note.Text)
		return origin, t, true, err
	}
	return origin, t, false, err
}

// checkpoint compares a checkpoint of the log with the tree.
func (v *verifier) checkpoint(signed string) error {
	if v.missing != nil {
		return nil
	}
	// Foreign: signed by a key that was replaced; or forged, and then its root is wrong or it is the last.
	origin, t, foreign, err := open(signed, v.o.Known)
	if err != nil {
		return v.fail(Forged, nil, nil, "the checkpoint behind %d entries: %v", v.tree.Size(), err)
	}
	v.report.Signed++
	v.foreign = ""
	if foreign {
		v.report.OtherKey++
		v.foreign = signed
	}
	size := v.tree.Size()
	switch {
	case t.N > size:
		return v.fail(Truncated, nil, &size,
			"it and what follows is missing: a checkpoint is of %d entries, and %d are "+
				"there", t.N, size)
	case t.N < size:
		return v.fail(Forged, nil, nil, "a checkpoint of %d entries stands behind %d", t.N, size)
	case t.N == 0 || t.Hash != v.tree.Root():
		if foreign {
			return v.fail(Forged, nil, nil,
				"the checkpoint of %d entries has another root, and none of the log's keys "+
					"signed it", t.N)
		}
		good := v.good
		return v.fail(Changed, nil, &good,
			"this entry, or one behind it up to number %d, was changed, inserted or "+
				"exchanged together with its hashes: the checkpoint of %d entries has another root", t.N-1, t.N)
	}
	if v.wrong != "" {
		return v.fail(Edited, nil, nil, "%s is not theirs, though these are as they were signed: table "+
			"pawl.nodes was changed, and no entry can be proven by it. Restore that table", v.wrong)
	}
	if before := v.report.Origin; before != "" && before != origin {
		v.changes = append(v.changes, change{before, origin, v.good})
	}
	v.good = t.N
	v.report.Origin, v.report.last = origin, signed
	if v.o.Witnesses != nil && v.o.Witnesses.Signed(signed) {
		v.report.Witnessed = t.N
	}
	return nil
}

// end looks whether the log ends where it should.
func (v *verifier) end() error {
	size := v.tree.Size()
	v.report.Size = size
	if size > 0 {
		v.report.Root = v.tree.Root().String()
	}
	switch {
	case v.missing != nil:
		v.report.Problem = v.missing
		return errStop
	case v.foreign != "":
		return v.fail(Forged, nil, nil,
			"none of the keys that were given signed the last checkpoint, of %d entries",
			size)
	case v.good < size:
		return v.fail(Forged, nil, &v.good,
			"it and what follows has no checkpoint: %d entries are sealed, and the "+
				"last checkpoint is of %d", size, v.good)
	}
	if gone, ok := v.erasures.unrecorded(); ok {
		return v.fail(Edited, nil, gone.index, "its details were removed, and no entry says that its call was erased")
	}
	for _, c := range v.changes {
		if at, ok := tree.Renamed(v.renames, c.from, c.to); !ok || at != c.size {
			return v.fail(Forged, nil, nil, "behind %d entries the checkpoints are of the log %q instead of %q, and "+
				"no entry says that it was renamed then", c.size, c.to, c.from)
		}
	}
	v.report.Renamed = int64(len(v.changes))
	for _, x := range v.expected {
		if err := v.goesOn(x); err != nil {
			return err
		}
	}
	switch {
	case size == 0:
		return v.fail(Empty, nil, nil, "nothing is sealed: whatever was there may have been removed")
	case v.o.Witnesses != nil && v.report.Witnessed < size:
		return v.fail(Forged, nil, &v.report.Witnessed, "it and what follows is in no checkpoint that enough "+
			"witnesses signed. They sign a few seconds later than the log: if it is new, try again")
	}
	return nil
}

// Run verifies a log. It returns an error only if the log can't be read, or what it is compared with;
// what is wrong with the log is the report's Problem.
func Run(ctx context.Context, from Source, o Options) (Report, error) {
	v := &verifier{o: o}
	v.kept, _ = from.(keeper)
	if err := v.expect(); err != nil {
		return v.report, err
	}
	for count := int64(1); ; count++ {
		e, signed, err := from.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			err = v.end()
		case errors.As(err, &v.report.Problem):
			v.report.Problem = cmp.Or(v.missing, v.report.Problem)
		case err != nil:
			return v.report, err
		case e != nil:
			err = v.entry(ctx, e)
		default:
			err = v.checkpoint(signed)
		}
		v.report.Size = v.tree.Size()
		if o.Progress != nil && count%progressEvery == 0 {
			o.Progress(count)
		}
		switch {
		case err != nil && v.report.Problem == nil:
			return v.report, err
		case err != nil || e == nil && signed == "":
			v.report.OK = v.report.Problem == nil
			return v.report, nil
		}
	}
}

// progressEvery is how many entries lie between two reports of progress.
const progressEvery = 10_000

// Last is the last checkpoint of a log that is as it should be, by the log's name.
func (r Report) Last() (origin, signed string) { return r.Origin, r.last }

// Next is the State from which such a log must go on.
func (r Report) Next(s State) State {
	next := maps.Clone(s)
	for _, origin := range r.accepted {
		delete(next, origin)
	}
	next[r.Origin] = r.last
	return next
}
