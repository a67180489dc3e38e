package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

// Alike is AdmitParams.Alike of a call: the same for calls of one requester, agent and session with
// equal tool and arguments, redacted ones too, which nobody can guess without the key. A call that
// must be approved is never like one that may have been allowed, nor like one whose tool was described
// otherwise, and a new attempt never like the one before it.
func Alike(key []byte, call approval.Call) string {
	same := map[string]any{
		"v": 1, "requester": call.Requester, "agent": call.Agent, "session": call.Session,
		"tool": call.Tool, "args": call.Args,
	}
	if call.RequireApproval {
		same["require_approval"], same["description"] = true, call.Description
	}
	if call.AttemptOf != "" {
		same["attempt_of"] = call.AttemptOf
	}
	return keyed(key, same)
}

// identicalSize is how many digits tell calls apart.
const identicalSize = 16

// Identical is AdmitParams.Identical of a call: the same for calls of one requester and agent with
// equal tool and arguments, whatever else they say. Nobody can guess redacted arguments by it without
// the key.
func Identical(key []byte, call approval.Call) string {
	sum := keyed(key, map[string]any{
		"identical": 1, "requester": call.Requester, "agent": call.Agent, "tool": call.Tool, "args": call.Args,
	})
	return sum[:min(len(sum), identicalSize)]
}

func keyed(key []byte, same map[string]any) string {
	doc, err := strictjson.Canonical(same)
	if err != nil { // without a canonical form nothing can be compared
		return ""
	}
	sum := hmac.New(sha256.New, key)
	sum.Write(doc)
	return hex.EncodeToString(sum.Sum(nil))
}

// CheckAttempt finds the call of which another one says that it is an attempt. It must be of the same
// requester and agent, and its ID whole; else approval.ErrNoAttempt, whether or not there is such a
// call.
func CheckAttempt(
	ctx context.Context, find func(ctx context.Context, id string) (Record, error), call approval.Call,
) error {
	if call.AttemptOf == "" {
		return nil
	}
	r, err := find(ctx, call.AttemptOf)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !SameAgent(r.View, call.Requester, call.Agent):
		return approval.ErrNoAttempt
	case err != nil:
		return fmt.Errorf("looking up the call that this is an attempt of: %w", err)
	}
	return nil
}

// SameAgent reports whether a call is this agent's, for this requester.
func SameAgent(v approval.View, requester, agent string) bool {
	return v.Requester == requester && v.Agent == agent
}
