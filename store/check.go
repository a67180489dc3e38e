package store

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
)

// Check refuses what could not be read back, and a status that no call begins with. The error's
// code is approval.CodeInvalid.
func (a AdmitParams) Check() error {
	v := a.View
	invalid := func(what string) error { return approval.Errorf(approval.CodeInvalid, "call: %s", what) }
	switch {
	case v.ID == "":
		return invalid("its ID is missing")
	case audit.Reserved(v.ID):
		return invalid("its ID begins with @, which is reserved for other things than calls")
	case !utf8.ValidString(v.ID) || strings.ContainsRune(v.ID, 0):
		return invalid("its ID is not valid UTF-8, or holds a NUL character")
	case v.CreatedAt.IsZero():
		return invalid("its creation time is missing")
	case a.TakePermit != (v.Status == permitted(v)):
		return invalid("it is admitted as " + string(permitted(v)) + " if, and only if, its permit is taken")
	case v.Execution != "" && v.Execution != approval.ExecutionCaller:
		return invalid("it is to be run by nobody known")
	case a.DuplicateKey != "" && !(a.IsRequest && v.Status == approval.StatusPending):
		return invalid("only one that waits can have duplicates")
	case a.TakePermit && a.GoodUntil.IsZero():
		return invalid("the time until which its permit is good is missing")
	case v.Status.Ended() != (v.EndedAt != nil):
		return invalid("it has an ending time if, and only if, it has ended")
	case v.Status.NeedsPermit():
		return invalid("it can't end with status " + string(v.Status) + " without a permit")
	case v.Status != approval.StatusPending && v.Status != permitted(v) && !v.Status.Ended():
		return invalid("it can't be admitted with status " + approval.Display(string(v.Status), 40))
	}
	if v.Risk != "" {
		if _, err := approval.ParseRisk(string(v.Risk)); err != nil {
			return err
		}
	}
	return CheckEntries(a.Entries)
}

// Check refuses parameters without their times or with an entry that would not verify.
func (c ClaimParams) Check() error {
	if c.GoodUntil.IsZero() {
		return approval.Errorf(approval.CodeInvalid, "claim: the time until which the permit is good is missing")
	}
	return checkChange(c.At, c.Entries)
}

// Check refuses a requirement that nobody could meet or that asks for nothing, and an entry that
// would not verify.
func (t TightenParams) Check() error {
	if err := t.Requirement.Validate(); err != nil {
		return approval.Errorf(approval.CodeInvalid, "%w", err)
	}
	return checkChange(t.At, t.Entries)
}

// Check refuses a use without a time or with an entry that would not verify.
func (u UseParams) Check() error {
	return checkChange(u.At, append(slices.Clip(u.Entries), u.Unchanged...))
}

// Check refuses a start by nobody.
func (p StartParams) Check() error {
	if p.Start == "" {
		return approval.Errorf(approval.CodeInvalid, "start: its hash is missing")
	}
	return nil
}

// Check refuses a status that no report ends a call with, and a missing time.
func (p ReportParams) Check() error {
	if !p.Outcome.Status.NeedsPermit() || p.Report.Status != p.Outcome.Status {
		return approval.Errorf(approval.CodeInvalid, "no report ends a call with status %q",
			approval.Display(string(p.Outcome.Status), 40))
	}
	return checkChange(p.At, append(slices.Clip(p.Entries), p.Late...))
}

// Check refuses what says too little, and an entry that would not verify.
func (p SettleParams) Check() error {
	if err := approval.CheckName("by", p.Settled.By); err != nil || p.Settled.By == "" {
		return cmp.Or(err, error(approval.Errorf(approval.CodeInvalid, "settle: who says so is missing")))
	}
	if err := p.Settled.Check(); err != nil {
		return err
	}
	return checkChange(p.Settled.At, p.Entries)
}

// Check refuses a status that is not an ending, a missing time, and an entry that would not verify.
func (f FinishParams) Check() error {
	if !f.Outcome.Status.Ended() {
		return approval.Errorf(approval.CodeInvalid, "a call can't end with status %q",
			approval.Display(string(f.Outcome.Status), 40))
	}
	return checkChange(f.At, f.Entries)
}

// Check refuses a publication that names a tool twice, or somebody else's.
func (p Publication) Check() error {
	if p.Publisher == "" {
		return approval.Errorf(approval.CodeInvalid, "tools: their publisher has no name")
	}
	names := make(map[string]bool, len(p.Tools))
	for i, tool := range p.Tools {
		invalid := func(what string) error {
			return approval.Errorf(approval.CodeInvalid, "tools[%d]: %s %s", i, approval.Display(tool.Name, 80), what)
		}
		switch {
		case tool.Name == "":
			return approval.Errorf(approval.CodeInvalid, "tools[%d]: it has no name", i)
		case names[tool.Name]:
			return invalid("is given twice in one list")
		case tool.Queue == "":
			return invalid("is on no queue")
		case tool.Publisher != p.Publisher:
			return invalid("has another publisher")
		}
		names[tool.Name] = true
	}
	return nil
}

// CheckOwn refuses an agent without a name, a source or a tool that can have no such name, and a name
// that is there twice. It returns the tools as JSON.
func CheckOwn(agent, source string, tools []OwnTool) (docs []string, err error) {
	if agent == "" {
		return nil, approval.Errorf(approval.CodeInvalid, "tools: their agent has no name")
	}
	if err := approval.CheckName("source", source); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	docs = make([]string, len(tools))
	for i, tool := range tools {
		if tool.Name == "" || seen[tool.Name] {
			return nil, approval.Errorf(approval.CodeInvalid, "tools[%d]: %s has no name, or one that is there twice",
				i, approval.Display(tool.Name, 80))
		}
		seen[tool.Name] = true
		if docs[i], err = Encode(tool); err != nil {
			return nil, err
		}
	}
	return docs, nil
}

// CheckEntries refuses an entry of a call that would never verify, or whose subject is reserved for
// other things than calls.
func CheckEntries(entries []audit.Entry) error {
	for _, e := range entries {
		kept := e.Kind == audit.KindSignInFailed || e.Kind == audit.KindForbidden // out of the API
		if audit.Reserved(e.Subject) && !(kept && e.Subject == audit.SubjectAccess) {
			return approval.Errorf(approval.CodeInvalid, "audit entry: no call has the ID %s",
				approval.Display(e.Subject, 80))
		}
		if err := e.Check(); err != nil {
			return approval.Errorf(approval.CodeInvalid, "%w", err)
		}
	}
	return nil
}

func checkChange(at time.Time, entries []audit.Entry) error {
	if at.IsZero() {
		return approval.Errorf(approval.CodeInvalid, "the time of the change is missing")
	}
	return CheckEntries(entries)
}
