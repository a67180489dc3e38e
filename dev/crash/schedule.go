//go:build unix

package crash

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pawlhq/pawl/internal/runner"
)

// action is one thing done to a part, so long after the storm began.
type action struct {
	at    time.Duration
	do    string // kill, stop (Ctrl-C, then kill), up, pause, resume; or of keys: rotate, add, activate
	part  string
	flags []string // with up and rotate
}

func (a action) String() string {
	at := a.at.Round(time.Millisecond)
	return strings.TrimSpace(fmt.Sprintf("%8s %-6s %s %s", at, a.do, a.part, strings.Join(a.flags, " ")))
}

// Actions on keys, which are no part of the world. See hardening.
const (
	keysPart    = "keys"
	addKey      = "add"
	activateKey = "activate"
)

// faults are what can go wrong in a world. Its parts are named in worlds.go.
type faults struct {
	parts []fault
	keys  []fault       // of hardened worlds, beside those of parts
	gap   time.Duration // between two faults, about
}

type fault struct {
	// do: kill, stutter (killed while it starts, too), stop, pause, outage. Of keys: rotate, which
	// replaces a signing key while an API that signs dies; rekey, which replaces the payload key,
	// where all who use it are started again between its coming and its use.
	do    string
	parts []string
}

var (
	singleFaults = faults{
		parts: []fault{
			{"kill", []string{"pawl-dev"}}, {"kill", []string{"pawl-dev"}}, {"kill", []string{"pawl-dev"}},
			{"kill", []string{"pawl-dev"}}, {"kill", []string{"pawl-dev"}}, {"kill", []string{"pawl-dev"}},
			{"kill", []string{"pawl-dev"}}, {"stutter", []string{"pawl-dev"}}, {"stutter", []string{"pawl-dev"}},
			{"stop", []string{"pawl-dev"}}, {"stop", []string{"pawl-dev"}}, {"pause", []string{"pawl-dev"}},
			{"kill", []string{"caller"}}, {"kill", []string{"pawl-dev", "caller"}},
		},
		keys: []fault{{"rekey", []string{"pawl-dev"}}, {"rotate", []string{"pawl-dev"}}},
		gap:  2500 * time.Millisecond,
	}
	distributedFaults = faults{
		parts: []fault{
			{"kill", []string{"agent"}}, {"kill", []string{"worker A"}}, {"kill", []string{"worker B"}},
			{"kill", []string{"caller"}}, {"kill", []string{"caller", "api A", "api B"}},
			{"kill", []string{"api A"}}, {"kill", []string{"api B"}}, {"kill", []string{"temporal"}},
			{"kill", []string{"postgres"}}, {"kill", []string{"worker A", "worker B"}},
			{"kill", []string{"api A", "api B"}}, {"kill", []string{"temporal", "postgres"}},
			{"kill", []string{"agent", "caller", "worker A", "worker B", "api A", "api B", "temporal", "postgres"}},
			{"kill", []string{"agent", "worker B", "postgres"}},
			{"stutter", []string{"worker A", "temporal"}}, {"stutter", []string{"worker B", "postgres"}},
			{"stop", []string{"worker A"}}, {"stop", []string{"api B"}}, {"stop", []string{"postgres"}},
			{"pause", []string{"worker A"}}, {"pause", []string{"worker B"}}, {"pause", []string{"agent"}},
			{"outage", []string{"temporal"}}, {"outage", []string{"postgres"}},
		},
		keys: []fault{
			{"rekey", []string{"agent", "worker A", "worker B", "api A", "api B"}},
			{"rotate", []string{"api A"}}, {"rotate", []string{"api B"}},
		},
		gap: 1200 * time.Millisecond,
	}
)

const (
	// stormLength is how long a storm takes at least.
	stormLength = 25 * time.Second
	// shortOutage is how long a part is kept away, but for the long outages.
	shortOutage = 4 * time.Second
)

// startTimes is how long a start takes, about: a part that has just been started is left alone so
// long, unless a fault says otherwise.
var startTimes = map[string]time.Duration{"pawl-dev": time.Second, "temporal": time.Second}

// schedule is what a storm does to its world and when: a function of its arguments alone. Faults
// are drawn until all have happened, and then again, in another order; one that hits a part which
// is down or paused waits. Those of keys come first, so that no storm is too short for them. Of the
// outages, the first and then every fourth is as long as outage says, others are short. The last
// part is up again some seconds after length, or outage.
func schedule(seed uint64, f faults, length, outage time.Duration) (actions []action) {
	r := rand.New(rand.NewPCG(seed, 0))
	upTo := func(most time.Duration) time.Duration { return time.Duration(r.Int64N(int64(most))) }
	busy := map[string]time.Duration{} // until when
	left := slices.Clone(f.keys)
	outages := 0
	for now := f.gap; now < length; now += f.gap/4 + upTo(3*f.gap/2) {
		if len(left) == 0 {
			left = slices.Concat(f.parts, f.keys)
			r.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
		}
		next := slices.IndexFunc(left, func(x fault) bool {
			return !slices.ContainsFunc(x.parts, func(part string) bool { return busy[part] > now })
		})
		if next < 0 {
			continue
		}
		x := left[next]
		left = slices.Delete(left, next, next+1)
		last := now // when the last of its parts is up
		switch x.do {
		case "rotate":
			direct := fmt.Sprintf("--direct=%v", r.IntN(2) == 0)
			actions = append(actions, action{now, "rotate", keysPart, []string{direct}})
			now += upTo(500 * time.Millisecond) // so long it may take
		case "rekey":
			actions = append(actions, action{now, addKey, keysPart, nil})
		}
		for _, part := range x.parts {
			add := func(at time.Duration, do string, flags ...string) time.Duration {
				actions = append(actions, action{at, do, part, flags})
				return at
			}
			back := now + upTo(800*time.Millisecond)
			switch x.do {
			case "pause":
				back = add(now+runner.HeartbeatTimeout+2*time.Second+upTo(2*time.Second), "resume")
				add(now, "pause")
				busy[part] = back
				continue
			case "outage":
				back = now + shortOutage
				if outages++; outages%4 == 1 { // else nothing but outages would happen
					back = now + outage
				}
				add(now, "kill")
			case "stop":
				back += 500 * time.Millisecond
				add(now, "stop")
			case "stutter":
				add(now, "kill")
				for range 2 {
					back = add(back, "up") + upTo(500*time.Millisecond)
					back = add(back, "kill") + upTo(200*time.Millisecond)
				}
			default:
				add(now, "kill")
			}
			var flags []string
			if part == "pawl-dev" || strings.HasPrefix(part, "worker") {
				// Every step in Temporal's UI takes other ways through the workflow.
				flags = []string{fmt.Sprintf("--ordinary-steps=%v", r.IntN(3) == 0)}
			}
			last = max(last, add(back, "up", flags...))
			busy[part] = back + 500*time.Millisecond + startTimes[part]
		}
		if x.do == "rekey" {
			actions = append(actions, action{last, activateKey, keysPart, nil})
		}
	}
	slices.SortStableFunc(actions, func(a, b action) int { return int(a.at - b.at) })
	return actions
}

// perform does what the schedule says, each action as soon as its time has come. All parts are up,
// and none is paused, when it returns.
func (w *world) perform(actions []action) {
	w.t.Helper()
	began := time.Now()
	parts := map[string]*part{}
	for _, p := range w.parts {
		parts[p.name] = p
	}
	for _, a := range actions {
		<-time.After(a.at - time.Since(began))
		p := parts[a.part]
		switch a.do {
		case "kill":
			p.down(syscall.SIGKILL, 0)
		case "stop":
			p.down(syscall.SIGINT, 500*time.Millisecond)
		case "up":
			p.up(a.flags...)
		case "pause":
			p.pause()
		case "resume":
			p.resume()
		case "rotate":
			w.hardening.rotate(slices.Contains(a.flags, "--direct=true"))
		case addKey:
			w.hardening.addPayloadKey()
		case activateKey:
			w.hardening.activatePayloadKey()
		}
	}
}
