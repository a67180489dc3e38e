package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

const (
	lineWidth  = 78
	labelWidth = 12
)

// sheet is text about one call. Everything given to it is made safe for a
// terminal and wrapped here, with every line of foreign text behind a margin:
// otherwise long text could break into lines that look like Pawl's own.
type sheet struct {
	strings.Builder
	wrapped bool // for a terminal; what reads a pipe gets lines whole
}

// field writes "label value"; an empty value writes nothing.
func (s *sheet) field(label, value string) {
	if value == "" {
		return
	}
	for i, line := range s.wrap(approval.Display(value, 0), lineWidth-labelWidth) {
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(s, "%-*s%s\n", labelWidth, label, line)
	}
}

// quote writes foreign text under a heading, line by line behind a bar.
func (s *sheet) quote(heading, text string) {
	if text == "" {
		return
	}
	fmt.Fprintf(s, "%s\n", heading)
	for line := range strings.SplitSeq(approval.DisplayLines(text, 0), "\n") {
		for _, part := range s.wrap(strings.ReplaceAll(line, "\t", "    "), lineWidth-4) {
			fmt.Fprintf(s, "  │ %s\n", part)
		}
	}
}

// json quotes a document, indented.
func (s *sheet) json(heading string, doc json.RawMessage) {
	var b bytes.Buffer
	if json.Indent(&b, doc, "", "  ") == nil {
		doc = b.Bytes()
	}
	s.quote(heading, readable(doc))
}

func (s *sheet) wrap(line string, width int) []string {
	if !s.wrapped {
		return []string{line}
	}
	return wrap(line, width)
}

// wrap breaks one line into rows of at most width columns, between words; only
// a word that is longer than a row is cut.
func wrap(line string, width int) []string {
	var rows []string
	for {
		end, next := row(line, width)
		rows = append(rows, line[:end])
		if next == len(line) {
			return rows
		}
		line = line[next:]
	}
}

// row returns where the line's first row ends and what is left begins: after
// the space between them, or in the middle of a word. Characters from Hangul
// Jamo (U+1100) on may be two columns wide.
func row(line string, width int) (end, next int) {
	columns, indent := 0, true
	for i, r := range line {
		size := 1
		if r >= 0x1100 {
			size = 2
		}
		if r != ' ' {
			indent = false
		} else if !indent {
			end = i
		}
		if columns += size; columns <= width {
			continue
		}
		if end == 0 {
			return i, i
		}
		return end, end + 1
	}
	return len(line), len(line)
}

// request is everything a reviewer must see of a call.
func (a *app) request(v client.View) string {
	s := sheet{wrapped: a.IsTerminal(a.Stdout)}
	colour := bold
	if v.Risk == approval.RiskHigh || v.Risk == approval.RiskCritical {
		colour = red
	}
	fmt.Fprintf(&s, "%s  %s, risk %s\n", a.paint(bold, cell(cmp.Or(v.Tool, "unknown tool"), 0)),
		a.paint(yellow, string(v.Status)), a.paint(colour, cell(cmp.Or(string(v.Risk), "not stated"), 20)))
	s.field("ID", v.ID)
	s.field("Digest", v.Digest)
	s.field("Agent", v.Agent)
	s.field("Team", v.Team)
	s.field("Session", v.Session)
	s.field("Requester", v.Requester)
	if v.Owner != v.Requester {
		s.field("Owner", v.Owner)
	}
	s.field("Attempt of", v.AttemptOf)
	for _, name := range slices.Sorted(maps.Keys(v.Labels)) {
		s.field("Label", name+"="+v.Labels[name])
	}
	s.field("Created", clock(v.CreatedAt))
	a.waits(&s, v.Waiting)
	if w := v.Waiting; w == nil || w.Until == nil || v.Deadline == nil || !w.Until.Equal(*v.Deadline) {
		s.field("Deadline", a.deadline(v))
	}
	if p := v.Policy; p != nil {
		s.field("Rule", strings.TrimSpace(p.Layer+" "+p.Rule))
		s.field("Why", p.Why)
		s.field("Policy", p.Digest)
	}
	beside(&s, verdictOf(v.Timeline))
	s.field("Needs", needs(v))
	for _, d := range v.Votes {
		s.field("Vote", who(string(d.Kind), d.Reviewer, d.Channel, d.Authenticated, d.At))
		s.quote("  Notes:", d.Notes)
	}
	if d := v.Decision; d != nil {
		s.field("Decision", who(string(d.Kind), d.By, d.Channel, d.Authenticated, d.At))
		if len(v.Votes) == 0 {
			s.quote("  Notes:", d.Notes)
		}
	}
	if v.EndedAt != nil {
		s.field("Ended", clock(*v.EndedAt))
	}
	s.quote("Title, in the agent's own words (untrusted):", v.Title)
	s.quote("Description, in the agent's own words (untrusted):", v.Description)
	s.quote("Reason, in the agent's own words (untrusted):", v.Reason)
	s.json("Arguments:", v.Args)
	s.json("Result:", v.Result)
	if e := v.Error; e != nil {
		s.quote("Error ("+approval.Display(e.Code, 40)+"):", cmp.Or(e.Message, "no message"))
	}
	return s.String()
}

func (a *app) deadline(v client.View) string {
	if v.Deadline == nil {
		return ""
	}
	text := clock(*v.Deadline)
	if v.Status != approval.StatusPending {
		return text
	}
	if left := v.Deadline.Sub(a.Now()); left > 0 {
		return text + " (" + span(left) + " left)"
	}
	return text + " (passed)"
}

func needs(v client.View) string {
	if v.Requirement == nil {
		return ""
	}
	text := approvals(v.Requirement.Approvals)
	if v.Requirement.Decisions == approval.DecisionsSigned {
		text += ", signed"
	}
	if v.Status == approval.StatusPending {
		text += fmt.Sprintf(" (%d so far)", len(v.Votes))
	}
	return text
}

func people(count int) string {
	if count == 1 {
		return "1 approval"
	}
	return fmt.Sprintf("%d approvals by different people", count)
}

func who(kind, by, channel string, authenticated bool, at time.Time) string {
	text := deedBy(kind, by)
	if byPeople(kind) && !authenticated {
		text += " (unauthenticated)"
	}
	if channel != "" {
		text += " via " + channel
	}
	if !at.IsZero() {
		text += " at " + clock(at)
	}
	return text
}

var deeds = map[string]string{
	string(approval.SettledAllow): "allowed", string(approval.SettledDeny): "denied",
	string(approval.SettledApprove): "approved", string(approval.SettledReject): "rejected",
	string(approval.SettledExpire): "expired", string(approval.SettledCancel): "cancelled",
}

// deed writes the kind of a vote or settlement as what was done.
func deed(kind string) string { return cmp.Or(deeds[kind], kind) }

// byPeople reports kinds of votes and settlements behind which people stand,
// named or not.
func byPeople(kind string) bool {
	switch approval.SettlementKind(kind) {
	case approval.SettledApprove, approval.SettledReject, approval.SettledCancel:
		return true
	}
	return false
}

// deedBy is deed and who did it.
func deedBy(kind, by string) string {
	if by == "" && byPeople(kind) {
		by = "somebody unnamed"
	}
	if by == "" {
		return deed(kind)
	}
	return deed(kind) + " by " + by
}

// ending says in one line how a call ended, or that it goes on.
func ending(v client.View) string {
	text := fmt.Sprintf("%s (%s) ", cell(cmp.Or(v.Tool, "the call"), 80), approval.Display(v.ID, 0))
	if v.Lost() {
		return text + "goes no further: " + cell(v.Error.Message, 400)
	}
	switch v.Status {
	case approval.StatusExecuted:
		text += "was executed"
	case approval.StatusExpired:
		text += "expired: no approval came in time"
	case approval.StatusRejected, approval.StatusBlocked, approval.StatusCancelled:
		text += "was " + string(v.Status)
	case approval.StatusFailed:
		text += "failed"
	case approval.StatusOutcomeUnknown:
		text += "has an unknown outcome: the tool may have run; find out before trying again"
	case approval.StatusPending:
		text += "waits for approval"
	case approval.StatusEvaluating:
		text += "is being evaluated"
	default:
		text += "is " + string(v.Status)
	}
	named := v.Decision != nil && v.Decision.By != ""
	if d := v.Decision; named {
		if verb := deed(string(d.Kind)); verb != string(v.Status) {
			text += ", " + cell(verb, 20)
		}
		text += " by " + cell(d.By, 80)
		if d.Notes != "" {
			text += ", who says: " + cell(d.Notes, 300)
		}
	}
	if v.Error != nil {
		if v.Status != approval.StatusRejected || !named { // else it repeats who rejected and why
			text += ": " + cell(v.Error.Message, 300)
		}
		text += " [" + cell(v.Error.Code, 40) + "]"
	}
	return text
}
