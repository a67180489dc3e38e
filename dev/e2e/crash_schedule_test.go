//go:build unix

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawlhq/pawl/internal/runner"
)

// crashAct is one thing done to a part, so long after the storm began.
type crashAct struct {
	at    time.Duration
	do    string // kill, stop (Ctrl-C, then kill), up, pause, resume
	part  string
	flags []string // with up
}

func (a crashAct) String() string {
	return strings.TrimSpace(fmt.Sprintf("%8s %-6s %s %s", a.at.Round(time.Millisecond), a.do, a.part, strings.Join(a.flags, " ")))
}

// crashBlow is what one card of the deck does, and to which parts.
type crashBlow struct {
	do    string // kill, stutter (killed while it starts, too), stop, pause, outage
	parts []string
}

// Parts by name: see newCrashStack and newCrashTown.
var (
	crashStackDeck = []crashBlow{
		{"kill", []string{"pawl-dev"}}, {"kill", []string{"pawl-dev"}}, {"kill", []string{"pawl-dev"}}, {"kill", []string{"pawl-dev"}},
		{"kill", []string{"pawl-dev"}}, {"kill", []string{"pawl-dev"}}, {"kill", []string{"pawl-dev"}}, {"stutter", []string{"pawl-dev"}},
		{"stutter", []string{"pawl-dev"}}, {"stop", []string{"pawl-dev"}}, {"stop", []string{"pawl-dev"}}, {"pause", []string{"pawl-dev"}},
	}
	crashTownDeck = []crashBlow{
		{"kill", []string{"agent"}}, {"kill", []string{"worker A"}}, {"kill", []string{"worker B"}}, {"kill", []string{"api A"}},
		{"kill", []string{"api B"}}, {"kill", []string{"temporal"}}, {"kill", []string{"postgres"}},
		{"kill", []string{"worker A", "worker B"}}, {"kill", []string{"api A", "api B"}}, {"kill", []string{"temporal", "postgres"}},
		{"kill", []string{"agent", "worker A", "worker B", "api A", "api B", "temporal", "postgres"}},
		{"kill", []string{"agent", "worker B", "postgres"}},
		{"stutter", []string{"worker A", "temporal"}}, {"stutter", []string{"worker B", "postgres"}},
		{"stop", []string{"worker A"}}, {"stop", []string{"api B"}}, {"stop", []string{"postgres"}},
		{"pause", []string{"worker A"}}, {"pause", []string{"worker B"}}, {"pause", []string{"agent"}},
		{"outage", []string{"temporal"}}, {"outage", []string{"postgres"}},
	}
	// crashOutage is how long a part is kept away, but for the long outages.
	crashOutage = 4 * time.Second
	// crashStarts is how long a start takes, about: a part that has just been
	// started is left alone so long, unless a blow says otherwise.
	crashStarts = map[string]time.Duration{"pawl-dev": time.Second, "temporal": time.Second}
)

// crashSchedule is what a storm does to its world and when: a function of its
// arguments alone. Blows come from the deck, shuffled anew when it is used up;
// one that hits a part which is down or asleep waits for the next turn. Of the
// outages, the first and then every fourth is as long as told. The last part is up again some seconds after length, or outage.
func crashSchedule(seed uint64, deck []crashBlow, gap, length, outage time.Duration) (acts []crashAct) {
	r := rand.New(rand.NewPCG(seed, 0))
	upTo := func(most time.Duration) time.Duration { return time.Duration(r.Int64N(int64(most))) }
	busy := map[string]time.Duration{} // until when
	var hand []crashBlow
	outages := 0
	for now := gap; now < length; now += gap/4 + upTo(3*gap/2) {
		if len(hand) == 0 {
			hand = slices.Clone(deck)
			r.Shuffle(len(hand), func(i, j int) { hand[i], hand[j] = hand[j], hand[i] })
		}
		next := slices.IndexFunc(hand, func(b crashBlow) bool {
			return !slices.ContainsFunc(b.parts, func(part string) bool { return busy[part] > now })
		})
		if next < 0 {
			continue
		}
		blow := hand[next]
		hand = slices.Delete(hand, next, next+1)
		for _, part := range blow.parts {
			add := func(at time.Duration, do string, flags ...string) time.Duration {
				acts = append(acts, crashAct{at, do, part, flags})
				return at
			}
			back := now + upTo(800*time.Millisecond)
			switch blow.do {
			case "pause":
				back = add(now+runner.HeartbeatTimeout+2*time.Second+upTo(2*time.Second), "resume")
				add(now, "pause")
				busy[part] = back
				continue
			case "outage":
				back = now + crashOutage
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
			busy[part] = add(back, "up", flags...) + 500*time.Millisecond + crashStarts[part]
		}
	}
	slices.SortStableFunc(acts, func(a, b crashAct) int { return int(a.at - b.at) })
	return acts
}

// perform does what the schedule says, each act as soon as its time has come.
// All parts are up, and none sleeps, when it returns.
func (w *crashWorld) perform(acts []crashAct) {
	w.t.Helper()
	began := time.Now()
	parts := map[string]*crashPart{}
	for _, p := range w.parts {
		parts[p.name] = p
	}
	for _, a := range acts {
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
		}
	}
}

func TestCrashSchedule(t *testing.T) {
	for _, deck := range [][]crashBlow{crashStackDeck, crashTownDeck} {
		for seed := range uint64(50) {
			acts := crashSchedule(seed, deck, time.Second, time.Minute, 20*time.Second)
			if again := crashSchedule(seed, deck, time.Second, time.Minute, 20*time.Second); fmt.Sprint(acts) != fmt.Sprint(again) {
				t.Fatalf("seed %d: two schedules:\n%v\n%v", seed, acts, again)
			}
			undoes := map[string]string{"kill": "up", "stop": "up", "pause": "resume"}
			wants := map[string]string{} // what has to be done to a part next, if anything
			for _, a := range acts {
				if wants[a.part] != "" && a.do != wants[a.part] || wants[a.part] == "" && undoes[a.do] == "" {
					t.Fatalf("seed %d: %v, and %q was due:\n%v", seed, a, wants[a.part], acts)
				}
				wants[a.part] = undoes[a.do]
			}
			for part, want := range wants {
				if want != "" {
					t.Errorf("seed %d: %s is left without %s", seed, part, want)
				}
			}
			if len(acts) < 20 {
				t.Errorf("seed %d: only %d acts in a minute", seed, len(acts))
			}
		}
	}
}
