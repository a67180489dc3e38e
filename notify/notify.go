// Package notify tells people what waits for them, by webhooks.
//
// What people are told is in the audit log, written in the transaction in which it happened. Each
// channel has a place in it up to which it was told. A message is sent, and then the place moves: a
// message whose worker dies in between is sent again, under the same ID. Whatever the receivers do,
// no call waits for them.
package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pawlhq/pawl/health"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/store"
	"golang.org/x/time/rate"
)

const (
	// interval lies between two looks at what there is to tell.
	interval = time.Second
	// renewal is how often a lease is taken, or asked for where another process has it.
	renewal = store.ChannelLease / 3
	// maxPause is the longest pause after failures: then a channel is tried once in it.
	maxPause = 5 * time.Minute
	// burst is how many messages of one type are sent one by one; of more, one tells how many.
	burst = 5
	// maxAge is how old a message may become that its channel did not take.
	maxAge = 24 * time.Hour
)

// Options say what to tell, and where.
type Options struct {
	Store     store.Notices
	Channels  []Channel
	PublicURL string // of links; none: messages have no links
	Logger    *slog.Logger

	interval time.Duration // of tests, like owner
	owner    string
}

// Run serves all channels until ctx ends. Any number of processes may run it: one at a time serves a
// channel.
func Run(ctx context.Context, o Options) {
	if o.interval == 0 {
		o.interval = interval
	}
	var serving sync.WaitGroup
	for _, c := range o.Channels {
		s := &sender{
			Options: o, channel: c, owner: cmp.Or(o.owner, rand.Text()), pause: retry.Backoff{Most: maxPause},
			pace: newPace(c),
		}
		serving.Go(func() { s.run(ctx) })
	}
	serving.Wait()
}

func newPace(c Channel) *rate.Limiter { return rate.NewLimiter(rate.Every(c.Every), burst) }

// sender serves one channel.
type sender struct {
	Options
	channel Channel
	owner   string // of the channel's lease
	pause   retry.Backoff
	pace    *rate.Limiter
	faults  health.Pace

	serves bool      // this process had the lease when it asked last
	asks   time.Time // when it asks again
	place  int64     // up to which the channel was told
}

func (s *sender) run(ctx context.Context) {
	for retry.Sleep(ctx, s.Options.interval) {
		err := s.serve(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.Logger.Log(ctx, s.faults.Level(err.Error(), slog.LevelWarn),
				"a channel of notifications fails; it is tried again", "channel", s.channel.Name, "error", err)
			if !s.pause.Wait(ctx) {
				return
			}
		default:
			s.pause.Reset()
		}
	}
}

// serve tells a channel all that there is to tell, if no other process does.
func (s *sender) serve(ctx context.Context) (err error) {
	if time.Now().After(s.asks) {
		s.place, s.serves, err = s.Store.TakeChannel(ctx, s.channel.Name, s.owner)
		if err != nil {
			return err
		}
		s.asks = time.Now().Add(renewal)
	}
	for waited := false; s.serves; {
		notices, next, err := s.Store.Notices(ctx, s.place)
		if err != nil || next == s.place {
			return err
		}
		messages := s.messages(ctx, notices)
		if len(messages) > 0 && !waited && !s.pace.Allow() {
			if err := s.pace.Wait(ctx); err != nil {
				return err
			}
			waited = true // what has happened meanwhile may make one message of them
			continue
		}
		waited = false
		for i, m := range messages {
			if i > 0 { // what is before it was told
				if err := s.move(ctx, m.place-1); err != nil || !s.serves {
					return err
				}
				if err := s.pace.Wait(ctx); err != nil {
					return err
				}
			}
			if err := s.channel.Send(ctx, m); err != nil {
				return err
			}
		}
		if err := s.move(ctx, next); err != nil {
			return err
		}
	}
	return nil
}

// move notes how far the channel was told, which renews the lease. A message may have taken longer than
// the lease, and another process have it now.
func (s *sender) move(ctx context.Context, place int64) (err error) {
	s.serves, err = s.Store.MoveChannel(ctx, s.channel.Name, s.owner, place)
	if err != nil || !s.serves {
		s.asks = time.Time{} // asks where the channel is now
		return err
	}
	s.place, s.asks = place, time.Now().Add(renewal)
	return nil
}

// messages are what a channel is sent about notices, in the order of their places in the log. Where
// there are many of one type, one tells how many, at the place of the first one.
func (s *sender) messages(ctx context.Context, notices []store.Notice) (all []Message) {
	byType := map[Type][]Message{}
	old := 0
	for _, n := range notices {
		t, ok := typeOf(n)
		switch {
		case !ok || !slices.Contains(s.channel.Types, t):
		case time.Since(n.At) > maxAge:
			old++
		default:
			byType[t] = append(byType[t], messageOf(n, t, s.PublicURL))
		}
	}
	if old > 0 {
		s.Logger.WarnContext(ctx, "messages that a channel did not take for a day are dropped",
			"channel", s.channel.Name, "messages", old)
	}
	for _, of := range byType {
		if len(of) > burst {
			of = []Message{many(of, s.PublicURL)}
		}
		all = append(all, of...)
	}
	slices.SortFunc(all, func(a, b Message) int { return int(a.place - b.place) })
	return all
}
