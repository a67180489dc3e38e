package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/strictjson"
)

// Alike is AdmitParams.Alike of a call: the same for calls of one requester, agent and session with
// equal tool and arguments, redacted ones too, which nobody can guess without the key. A call that
// must be approved is never like one that may have been allowed.
func Alike(key []byte, call approval.Call) string {
	same := map[string]any{
		"v": 1, "requester": call.Requester, "agent": call.Agent, "session": call.Session,
		"tool": call.Tool, "args": call.Args,
	}
	if call.RequireApproval {
		same["require_approval"] = true
	}
	doc, err := strictjson.Canonical(same)
	if err != nil { // without a canonical form nothing can be compared
		return ""
	}
	sum := hmac.New(sha256.New, key)
	sum.Write(doc)
	return hex.EncodeToString(sum.Sum(nil))
}
