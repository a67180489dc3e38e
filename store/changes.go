package store

import "context"

// ChangeReader tells what changed.
type ChangeReader interface {
	// Changes returns the requests about which the audit log got entries after a place in it, each once,
	// and the place up to which it looked: the next call's after. Nothing is put on record in front of
	// that place any more. It reads so much of the log at once that more may follow at once. A negative
	// after finds nothing but the place where the log ends now.
	Changes(ctx context.Context, after int64) (changed []Change, place int64, err error)
}

// Change says that there is something new about a request, which Reader.Call has already.
type Change struct {
	ID, Requester string
	Revision      int64 // Record.Revision
}
