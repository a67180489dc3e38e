package store

import (
	"context"
	"time"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit"
)

// Notices is the outbox of notifications. What people are told of is in the audit log, written in the
// transaction in which it happened; each channel has a place in the log up to which it was told.
type Notices interface {
	// Notices returns what people are told of after a place in the log, in its order, and the place up
	// to which it looked. Nothing is put on record in front of that place any more.
	Notices(ctx context.Context, after int64) (found []Notice, place int64, err error)
	// TakeChannel gives the owner the lease of a channel, for ChannelLease, and returns its place. A
	// channel that nobody knew begins where the log ends. If another owner has the lease, taken is false.
	TakeChannel(ctx context.Context, name, owner string) (place int64, taken bool, err error)
	// MoveChannel notes that a channel was told everything up to a place, and renews the lease; held is
	// false, and nothing changes, if the owner has lost it.
	MoveChannel(ctx context.Context, name, owner string, place int64) (held bool, err error)
}

// ChannelLease is how long one owner serves a channel without a word.
const ChannelLease = 30 * time.Second

// Notice is an entry of the log that people are told of, with its call as it is now.
type Notice struct {
	Place  int64
	ID     string // of the call
	Step   string
	Kind   audit.Kind
	At     time.Time
	Tool   string
	Agent  string
	Risk   approval.Risk
	Status approval.Status
}
