package activities

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/redact"
	"github.com/pawlhq/pawl/store"
	"github.com/pawlhq/pawl/strictjson"
)

func (in ClaimInput) redactor() *redact.Redactor {
	return learntRedactor(in.Redact, in.RedactValues, in.Call)
}

// hide makes hidden what the store's verdict hides, whatever the workflow says.
func (in *RecordInput) hide(record store.Record) {
	in.Redact = append(slices.Clip(record.Verdict.Redact), in.Redact...)
	in.RedactValues = record.Verdict.RedactValues.And(in.RedactValues)
}

func (in RecordInput) redactor() *redact.Redactor {
	return learntRedactor(in.Redact, in.RedactValues, in.Call)
}

func learntRedactor(fields []string, values approval.RedactValues, call approval.Call) *redact.Redactor {
	r := redact.New(fields, values)
	r.Args(call.Args)
	r.Labels(call.Labels)
	return r
}

func redactVotes(r *redact.Redactor, votes []approval.Decision) []approval.Decision {
	var out []approval.Decision // none stays nil: the store keeps what it has
	for _, v := range votes {
		if notes := r.Text(v.Notes); notes != v.Notes {
			v.Notes, v.NotesSalt = notes, "" // with the salt, what is hidden could be guessed
		}
		out = append(out, v)
	}
	return out
}

// shown is votes as views show them.
func shown(r *redact.Redactor, votes []approval.Decision) []approval.Decision {
	out := redactVotes(r, votes)
	for i := range out {
		out[i] = out[i].Shown()
	}
	return out
}

func redactFinal(r *redact.Redactor, s *approval.FinalDecision) *approval.FinalDecision {
	if s == nil {
		return nil
	}
	c := *s
	c.Notes = r.Text(c.Notes)
	return &c
}

// contentStep is a step that holds a hash of what its entry says on a workflow's word, so that a
// forged entry can't take the place of the later, true one. The key is the call's nonce, which no
// store has: when the entry's payload is erased, nothing of it can be guessed by the hash.
func contentStep(step, nonce string, content any) (string, error) {
	doc, err := strictjson.Canonical(content)
	if err != nil {
		return "", refuse(approval.CodeInternalError, err.Error(), err)
	}
	sum := hmac.New(sha256.New, []byte(nonce))
	sum.Write(doc)
	return fmt.Sprintf("%s/%x", step, sum.Sum(nil)[:16]), nil
}

func decisionEntries(id, run, nonce string, votes []approval.Decision) ([]audit.Entry, error) {
	var entries []audit.Entry
	for _, v := range votes {
		said := v
		// The one is found out here, each time, and the other is later where a workflow task was lost.
		said.Authenticated, said.At = false, time.Time{}
		step, err := contentStep("decision/"+v.ID, nonce, said)
		if err != nil {
			return nil, err
		}
		e, err := entry(id, step, v.At, audit.Decided{Decision: v, Run: run})
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// entryOutcome readies an outcome for canonical JSON: a result that readers could read differently,
// or that has no canonical form (a tool may answer anything), goes in as text.
func entryOutcome(o approval.Outcome) approval.Outcome {
	o.Settled = nil // that is for people to say, not for a workflow
	if len(o.Result) == 0 {
		return o
	}
	_, err := strictjson.Canonical([]json.RawMessage{o.Result})
	if err == nil {
		err = strictjson.Check(o.Result)
	}
	if err != nil {
		if text, err := json.Marshal(string(o.Result)); err == nil {
			o.Result = text
		}
	}
	return o
}

// entry is audit.New, whose error no retry mends.
func entry(subject, step string, at time.Time, payload audit.Payload) (audit.Entry, error) {
	e, err := audit.New(subject, step, at, payload)
	if err != nil {
		return e, refuse(approval.CodeInternalError, err.Error(), err)
	}
	return e, nil
}
