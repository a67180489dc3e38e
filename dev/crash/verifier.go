//go:build unix

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/store"
	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
)

// verifier opens what a hardened world hides, and verifies what its people signed: by the keys
// alone, asking none of Pawl's processes. Its methods do nothing for nil, a plain world.
type verifier struct {
	w       *world
	payload *codec.Keyring
	trusted []sign.PublicKey

	written  map[string]int // payloads, by their key
	signed   map[string]int // counted decisions, by their key
	forged   int            // decisions that were worth nothing
	verified int            // claims, by all their envelopes
}

// newVerifier takes the keys as they are when no call is open any more.
func (w *world) newVerifier(reader storeReader) *verifier {
	w.t.Helper()
	if w.hardening == nil {
		return nil
	}
	v := &verifier{w: w, written: map[string]int{}, signed: map[string]int{}}
	var err error
	if v.payload, err = w.hardening.load(); err != nil {
		w.t.Fatal(err)
	}
	for q := (store.Paging{Limit: store.MaxPage}); ; {
		page, err := reader.SigningKeys(w.t.Context(), q)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, k := range page.Items {
			key := sign.PublicKey{ID: k.ID, Store: w.hardening.store, Public: k.Public}
			if k.RetiredAt != nil {
				key.RetiredAt = *k.RetiredAt
			}
			if k.RevokedAt != nil {
				w.t.Errorf("the signing key %s was revoked", k.ID)
			}
			v.trusted = append(v.trusted, key)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return v
		}
	}
}

// open puts what is encrypted in an event in its place. Headers and search attributes are plain,
// and what a forger without a keyring sent, which it reports; all else that can be read without a
// key is an error.
func (v *verifier) open(ctx context.Context, e *historypb.HistoryEvent) (forged bool, err error) {
	if v == nil {
		return false, nil
	}
	err = proxy.VisitPayloads(ctx, e, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(at *proxy.VisitPayloadsContext, ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
			if _, header := at.Parent.(*commonpb.Header); header {
				return ps, nil
			}
			out := make([]*commonpb.Payload, 0, len(ps))
			for _, p := range ps {
				signal := e.GetWorkflowExecutionSignaledEventAttributes() != nil
				if signal && !codec.Encrypted(p) && isForgery(p.GetData()) {
					forged = true
					out = append(out, p)
					continue
				}
				opened, err := v.payload.Decode([]*commonpb.Payload{p})
				if err != nil {
					return nil, fmt.Errorf("%T: %w", at.Parent, err)
				}
				v.written[string(p.GetMetadata()[codec.MetadataKeyID])]++
				out = append(out, opened...)
			}
			return out, nil
		},
	})
	if err != nil {
		return forged, err
	}
	return forged, proxy.VisitFailures(ctx, e, proxy.VisitFailuresOptions{Visitor: openFailure})
}

func openFailure(_ *proxy.VisitFailuresContext, f *failurepb.Failure) error {
	if source := f.GetSource(); source == "" || source == "Server" { // Temporal's own: timeouts
		return nil
	}
	if f.GetMessage() != "Encoded failure" || f.GetStackTrace() != "" || f.GetEncodedAttributes() == nil {
		return fmt.Errorf("an error can be read without a key: %v", f)
	}
	var said struct{ Message string }
	err := json.Unmarshal(f.GetEncodedAttributes().GetData(), &said)
	f.Message = said.Message
	return err
}

// judge marks the answers that nothing proves, and names all as their workflow does: one without an
// ID of its own, or that can't be read, by its number.
func (v *verifier) judge(call approval.View, answers []answer) {
	if v == nil {
		return
	}
	nth := map[string]int{}
	for i := range answers {
		a := &answers[i]
		nth[a.signal]++
		if a.id == "" || a.plain {
			a.id = fmt.Sprintf("%s-%d", a.signal, nth[a.signal])
		}
		if a.signal == approval.SignalCancel {
			continue
		}
		d := a.sent
		s, err := sign.Verify(approval.Decision{
			ID: d.DecisionID, Kind: approval.DecisionKind(a.signal), Reviewer: d.Reviewer, Channel: d.Channel,
			Groups: d.Groups, Method: d.Method, Notes: d.Notes, NotesSalt: d.NotesSalt, Envelope: d.Envelope,
		}, call.ID, call.Digest, v.trusted)
		if a.worthless = a.plain || err != nil || s.Untimely(a.at); a.worthless {
			v.forged++
		}
	}
}

// worthless counts the decisions in a history that nothing proves.
func (h history) worthless() (n int) {
	for _, a := range h.answers {
		if a.worthless {
			n++
		}
	}
	return n
}

// check holds a call against what was signed about it.
func (v *verifier) check(r store.Record, h history, entries []audit.Entry) error {
	if v == nil {
		return nil
	}
	if err := v.checkClaim(r); err != nil {
		return err
	}
	// A claim that finds a rejection on record counts it, without what was signed: that goes to the
	// workflow alone.
	onRecord := func(d approval.Decision) bool {
		sent := func(e audit.Entry) bool { return e.Kind == audit.KindSent && e.Step == "sent/"+d.ID }
		return d.Kind == approval.Reject && len(d.Envelope) == 0 && slices.ContainsFunc(entries, sent)
	}
	for _, vote := range r.View.Votes {
		proven := vote.Authenticated || onRecord(vote)
		if err := v.made(r, vote.ID, vote.Reviewer, vote.Kind); err != nil || !proven {
			return errors.Join(fmt.Errorf("the vote %s, authenticated %v", vote.ID, vote.Authenticated), err)
		}
	}
	d := r.View.Decision
	if d != nil && (d.Kind == approval.FinalApprove || d.Kind == approval.FinalReject) {
		last := len(r.View.Votes) - 1
		if last < 0 || !d.Authenticated && !onRecord(r.View.Votes[last]) || r.View.Votes[last].Reviewer != d.By ||
			approval.FinalKind(r.View.Votes[last].Kind) != d.Kind {
			return fmt.Errorf("it was settled by %+v, and the votes are %+v", *d, r.View.Votes)
		}
	}
	refused := map[string]approval.AnswerOutcome{}
	for _, e := range entries {
		switch e.Kind {
		case audit.KindDecided:
			var body struct{ Decision approval.Decision }
			if err := json.Unmarshal(e.Payload, &body); err != nil {
				return err
			}
			d := body.Decision
			if !d.Authenticated && onRecord(d) {
				if err := v.made(r, d.ID, d.Reviewer, d.Kind); err != nil {
					return err
				}
				continue
			}
			if _, err := sign.Verify(d, r.View.ID, r.View.Digest, v.trusted); err != nil || !d.Authenticated {
				return errors.Join(fmt.Errorf("the decision %s counted, authenticated %v", d.ID, d.Authenticated), err)
			}
			if err := v.made(r, d.ID, d.Reviewer, d.Kind); err != nil {
				return err
			}
			key, err := sign.KeyID(d.Envelope)
			if err != nil {
				return err
			}
			v.signed[key]++
		case audit.KindRefused:
			var body struct{ Refused []approval.Answer }
			if err := json.Unmarshal(e.Payload, &body); err != nil {
				return err
			}
			for _, a := range body.Refused {
				refused[a.DecisionID] = a.Outcome
			}
		}
	}
	for _, a := range h.answers {
		if !a.worthless {
			continue
		}
		if o, there := refused[a.id]; !there || o.Counted() {
			return fmt.Errorf("the decision %s, which nothing proves, is not on record as refused (%q)", a.id, o)
		}
		if id := a.sent.DecisionID; id != "" && !strings.HasPrefix(id, forgedPrefix) {
			return fmt.Errorf("the decision %s does not verify, and nobody forged it", id)
		}
	}
	return nil
}

// checkClaim verifies what the claim of a call rests on that people had to approve.
func (v *verifier) checkClaim(r store.Record) error {
	if r.Permit == nil || r.Verdict.Requirement == nil {
		if r.Permit != nil && r.Permit.Evidence != "" {
			return errors.New("nobody had to approve it, and its permit holds envelopes")
		}
		return nil
	}
	var envelopes []json.RawMessage
	if err := json.Unmarshal([]byte(r.Permit.Evidence), &envelopes); err != nil || len(envelopes) == 0 {
		return errors.Join(fmt.Errorf("its permit rests on nothing: %q", r.Permit.Evidence), err)
	}
	for _, e := range envelopes {
		s, err := sign.VerifyKept(e, r.View.ID, r.View.Digest, v.trusted)
		if err == nil {
			err = v.made(r, s.DecisionID, s.Reviewer, s.Decision)
		}
		switch {
		case err != nil:
			return fmt.Errorf("its permit rests on an envelope that does not hold: %w", err)
		case s.Decision != approval.Approve && r.Verdict.Requirement.DenyCount < 2, s.At.Before(r.View.CreatedAt), s.At.After(r.Permit.At):
			return fmt.Errorf("its permit rests on %s of %v", s.Decision, s.At)
		}
	}
	v.verified++
	return nil
}

// made holds a decision that counted against those that people made.
func (v *verifier) made(r store.Record, id, by string, kind approval.DecisionKind) error {
	v.w.mu.Lock()
	sent, known := v.w.sent[id]
	v.w.mu.Unlock()
	switch {
	case !known || sent != sentDecision{by, r.View.ID, kind}:
		return fmt.Errorf("%s said %s by the decision %s; sent was %+v", by, kind, id, sent)
	case kind == approval.Approve && r.View.Owner != "" &&
		(approval.SamePerson(by, r.View.Owner) || approval.SamePerson(by, r.View.Requester)):
		return fmt.Errorf("%s approved their own call", by)
	}
	return nil
}

// report says what was verified, and sees that what was to be shown came up.
func (v *verifier) report() {
	if v == nil {
		return
	}
	s := v.w.hardening
	v.w.t.Logf("%d claims verified, %d forged decisions refused; "+
		"%d signing keys (%d rotations) signed %v; payload keys (%d rotations) wrote %v",
		v.verified, v.forged, len(v.trusted), s.rotated.Load(), v.signed, s.rekeyed.Load(), v.written)
	if v.verified == 0 || v.forged == 0 || s.rotated.Load() == 0 || len(v.written) < 2 {
		v.w.t.Error("some claim, some forged decision, and other keys of both kinds belong to a storm")
	}
}
