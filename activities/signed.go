package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/auth/sign"
	"github.com/pawlhq/pawl/ballot"
	"github.com/pawlhq/pawl/store"
)

// KeysInput asks for the keys that signed decisions name.
type KeysInput struct {
	IDs []string
}

// Keys returns those of the keys that are trusted. A key that came after a call was admitted is not
// in its Admission.
func (a *Activities) Keys(ctx context.Context, in KeysInput) ([]sign.PublicKey, error) {
	if err := a.mustBeOrdinary(ctx); err != nil {
		return nil, err
	}
	if len(in.IDs) == 0 {
		return nil, nil // without IDs, it would be all
	}
	return a.trusted(ctx, in.IDs...)
}

func (a *Activities) trusted(ctx context.Context, ids ...string) ([]sign.PublicKey, error) {
	kept, err := a.Store.TrustedKeys(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("looking up signing keys: %w", err)
	}
	var keys []sign.PublicKey
	for _, k := range kept {
		key := sign.PublicKey{ID: k.ID, Public: k.Public, Store: a.StoreID}
		if k.RetiredAt != nil {
			key.RetiredAt = *k.RetiredAt
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// trustedFor returns the keys that envelopes name, as far as they are trusted.
func (a *Activities) trustedFor(ctx context.Context, envelopes []json.RawMessage) ([]sign.PublicKey, error) {
	var ids []string
	for _, e := range envelopes {
		if id, err := sign.KeyID(e); err == nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, nil // without IDs, it would be all
	}
	return a.trusted(ctx, ids...)
}

// believed returns decisions as they are believed now: authenticated are those whose envelope
// verifies, and no others, whatever the workflow says. doubts tells, for each that carries an
// envelope, why it does not verify.
func (a *Activities) believed(
	ctx context.Context, id, digest string, votes []approval.Decision,
) (out []approval.Decision, doubts []error, err error) {
	keys, err := a.trustedFor(ctx, envelopes(votes))
	if err != nil {
		return nil, nil, err
	}
	for _, v := range votes {
		v.Authenticated = false
		if len(v.Envelope) > 0 {
			s, err := sign.Verify(v, id, digest, keys)
			if err == nil && s.Untimely(v.At) {
				err = errors.New("the signed decision had expired before it came, or its time was still in the future")
			}
			if v.Authenticated = err == nil; !v.Authenticated {
				doubts = append(doubts, err)
			}
		}
		out = append(out, v)
	}
	return out, doubts, nil
}

func envelopes(votes []approval.Decision) []json.RawMessage {
	var out []json.RawMessage
	for _, v := range votes {
		if len(v.Envelope) > 0 {
			out = append(out, v.Envelope)
		}
	}
	return out
}

// approved counts the workflow's votes again, by what the store says the call requires: a workflow
// may be anybody's. It counts the rejections that are on record, too, whether or not the workflow has
// counted them. It returns the votes and the one that settled the call, none where it waits because
// of those rejections, or why the call is not approved.
func (a *Activities) approved(
	ctx context.Context, r store.Record, votes, rejections []approval.Decision,
) (counted []approval.Decision, by *approval.Decision, why string, err error) {
	votes, doubts, err := a.believed(ctx, r.View.ID, r.View.Digest, votes)
	switch {
	case err != nil:
		return nil, nil, "", err
	case r.View.Requirement == nil:
		return nil, nil, "nobody was asked to approve the call", nil
	}
	noes := slices.Concat(rejections, ballot.Rejections(votes))
	tally, refused := ballot.Recount(ballot.RulesOf(r.View), votes, noes)
	missed := len(uncounted(rejections, votes)) > 0
	switch by = tally.Settled(); {
	case missed && by != nil && by.Kind == approval.Reject:
		return nil, by, "", nil
	case len(doubts) > 0:
		return nil, nil, "a decision that was counted is not trusted: " + doubts[0].Error(), nil
	case len(refused) > 0:
		return nil, nil, "a decision that was counted does not count: " + refused[0].Message, nil
	case missed && by == nil:
		return nil, nil, "", nil
	case by == nil || by.Kind != approval.Approve:
		return nil, nil, "too few have approved the call", nil
	}
	return tally.Votes(), by, "", nil
}

// evidence is what a permit keeps of the signed decisions that it was taken for.
func evidence(votes []approval.Decision) (string, error) {
	all := envelopes(votes)
	if len(all) == 0 {
		return "", nil
	}
	return store.Encode(all)
}

var errUntrusted = errors.New("the approval is not trusted any more")

// reverify fails with errUntrusted unless the decisions that a call's permit rests on are trusted
// now.
func (a *Activities) reverify(ctx context.Context, id string) error {
	r, err := a.Store.Call(ctx, id)
	if err != nil || r.Permit == nil || r.Permit.Evidence == "" {
		return err // the permit's use says what is wrong
	}
	var kept []json.RawMessage
	if err := json.Unmarshal([]byte(r.Permit.Evidence), &kept); err != nil || len(kept) == 0 {
		return fmt.Errorf("%w: the decisions that it is based on can't be read", errUntrusted)
	}
	keys, err := a.trustedFor(ctx, kept)
	if err != nil {
		return err
	}
	for _, e := range kept {
		if _, err := sign.VerifyKept(e, r.View.ID, r.View.Digest, keys); err != nil {
			return fmt.Errorf("%w: %w", errUntrusted, err)
		}
	}
	return nil
}
