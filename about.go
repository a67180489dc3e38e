package pawl

import (
	"cmp"
	"context"
	"maps"
	"time"

	"github.com/pawlhq/pawl/approval"
)

// About describes a call to reviewers and the policy, beyond its tool and arguments. A guarded
// function takes it from its context; see With. The zero value says nothing.
type About struct {
	Reason      string            // why the agent wants the call
	Title       string            // one line that names it
	Description string            // more than one line
	Session     string            // the conversation or task it belongs to; default: Options.Session
	Labels      map[string]string // what the policy's conditions may look at

	// Key is an idempotency key: the same call under the same key is started once, also after a crash,
	// and everybody who asks gets its one outcome. Another call under that key is ErrConflict. Keys
	// are the agent's own. Default: none, so that each call is a new one.
	Key string

	RequireApproval bool          // ask people, whatever the policy says
	Timeout         time.Duration // shortens the policy's wait for people; default: the policy's
}

type aboutKey struct{}

// With returns a context whose About goes with the guarded calls made with it. What about leaves
// empty is inherited from ctx; labels add up.
func With(ctx context.Context, about About) context.Context {
	a := aboutOf(ctx)
	a.Reason = cmp.Or(about.Reason, a.Reason)
	a.Title = cmp.Or(about.Title, a.Title)
	a.Description = cmp.Or(about.Description, a.Description)
	a.Session = cmp.Or(about.Session, a.Session)
	a.Key = cmp.Or(about.Key, a.Key)
	a.Timeout = cmp.Or(about.Timeout, a.Timeout)
	a.RequireApproval = a.RequireApproval || about.RequireApproval
	if len(about.Labels) > 0 {
		labels := map[string]string{}
		maps.Copy(labels, a.Labels)
		maps.Copy(labels, about.Labels)
		a.Labels = labels
	}
	return context.WithValue(ctx, aboutKey{}, a)
}

func aboutOf(ctx context.Context) About {
	a, _ := ctx.Value(aboutKey{}).(About)
	return a
}

func (a About) call(tool string, args []byte) approval.Call {
	return approval.Call{
		Tool: tool, Args: args, Session: a.Session, Labels: a.Labels, IdempotencyKey: a.Key,
		Reason: a.Reason, Title: a.Title, Description: a.Description,
		RequireApproval: a.RequireApproval, Timeout: approval.Duration(a.Timeout),
	}
}
