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
	do    string // kill, stop (Ctrl-C, then kill), up, pause, resume; or of keys: rotate, add, activate
	part  string
	flags []string // with up and rotate
}

func (a crashAct) String() string {
	return strings.TrimSpace(fmt.Sprintf("%8s %-6s %s %s", a.at.Round(time.Millisecond), a.do, a.part, strings.Join(a.flags, " ")))
}

// Acts of keys, which are no part. See crashSeal.
const (
	crashKeys   = "keys"
	crashAddKey = "add"
	crashUseKey = "activate"
)

// crashBlow is what one card of the deck does, and to which parts.
type crashBlow struct {
	do    string // kill, stutter (killed while it starts, too), stop, pause, outage; of sealed worlds: rotate, rekey
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
	// Cards of sealed worlds. A signing key is replaced while an API that signs
	// dies; a payload key where all who use it are started again between its
	// coming and its use.
	crashStackKeys = []crashBlow{{"rekey", []string{"pawl-dev"}}, {"rotate", []string{"pawl-dev"}}}
	crashTownKeys  = []crashBlow{
		{"rekey", []string{"agent", "worker A", "worker B", "api A", "api B"}}, {"rotate", []string{"api A"}}, {"rotate", []string{"api B"}},
	}
	// How long a storm takes at least, and how long is between its blows, about.
	crashLength, crashStackGap, crashTownGap = 25 * time.Second, 2500 * time.Millisecond, 1200 * time.Millisecond
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
// The cards of keys come first, and then again among the others: no storm is
// too short for them.
func crashSchedule(seed uint64, keys, deck []crashBlow, gap, length, outage time.Duration) (acts []crashAct) {
	r := rand.New(rand.NewPCG(seed, 0))
	upTo := func(most time.Duration) time.Duration { return time.Duration(r.Int64N(int64(most))) }
	busy := map[string]time.Duration{} // until when
	hand := slices.Clone(keys)
	outages := 0
	for now := gap; now < length; now += gap/4 + upTo(3*gap/2) {
		if len(hand) == 0 {
			hand = slices.Concat(deck, keys)
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
		last := now // when the last of its parts is up
		switch blow.do {
		case "rotate":
			acts = append(acts, crashAct{now, "rotate", crashKeys, []string{fmt.Sprintf("--direct=%v", r.IntN(2) == 0)}})
			now += upTo(500 * time.Millisecond) // so long it may take
		case "rekey":
			acts = append(acts, crashAct{now, crashAddKey, crashKeys, nil})
		}
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
			last = max(last, add(back, "up", flags...))
			busy[part] = back + 500*time.Millisecond + crashStarts[part]
		}
		if blow.do == "rekey" {
			acts = append(acts, crashAct{last, crashUseKey, crashKeys, nil})
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
		case "rotate":
			w.seal.rotate(slices.Contains(a.flags, "--direct=true"))
		case crashAddKey, crashUseKey:
			w.seal.rekey(a.do)
		}
	}
}

// crashReaders are the parts that read the keyring.
func crashReaders(keys []crashBlow) (parts []string) {
	for _, b := range keys {
		if b.do == "rekey" {
			parts = b.parts
		}
	}
	return parts
}

// The shortest storms replace keys, and start an API again after that.
func TestCrashScheduleOfKeys(t *testing.T) {
	for _, cards := range []struct {
		keys, deck []crashBlow
		gap        time.Duration
	}{{crashStackKeys, crashStackDeck, crashStackGap}, {crashTownKeys, crashTownDeck, crashTownGap}} {
		for seed := range uint64(200) {
			used, rotated, started := false, 0, false
			for _, a := range crashSchedule(seed, cards.keys, cards.deck, cards.gap, crashLength, crashOutage) {
				switch {
				case a.do == crashUseKey:
					used = true
				case a.do == "rotate":
					rotated++
				case a.do == "up" && used:
					started = started || a.part == "api A" || a.part == "pawl-dev"
				}
			}
			if !used || rotated == 0 || !started {
				t.Errorf("seed %d: another payload key is used: %v, and by an API: %v; %d other signing keys", seed, used, started, rotated)
			}
		}
	}
}

func TestCrashSchedule(t *testing.T) {
	for _, cards := range [][2][]crashBlow{{nil, crashStackDeck}, {nil, crashTownDeck}, {crashStackKeys, crashStackDeck}, {crashTownKeys, crashTownDeck}} {
		for seed := range uint64(50) {
			acts := crashSchedule(seed, cards[0], cards[1], time.Second, time.Minute, 20*time.Second)
			if again := crashSchedule(seed, cards[0], cards[1], time.Second, time.Minute, 20*time.Second); fmt.Sprint(acts) != fmt.Sprint(again) {
				t.Fatalf("seed %d: two schedules:\n%v\n%v", seed, acts, again)
			}
			undoes := map[string]string{"kill": "up", "stop": "up", "pause": "resume"}
			wants := map[string]string{} // what has to be done to a part next, if anything
			keys := map[string]int{}
			fresh := map[string]bool{} // parts that read the keyring since its key was added
			for _, a := range acts {
				if a.part == crashKeys {
					keys[a.do]++
					for _, part := range crashReaders(cards[0]) {
						if a.do == crashUseKey && !fresh[part] {
							t.Errorf("seed %d: %s may lack the key that is used from %v on:\n%v", seed, part, a.at, acts)
						}
					}
					if a.do == crashAddKey {
						fresh = map[string]bool{}
					}
					continue
				}
				fresh[a.part] = fresh[a.part] || a.do == "up"
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
			if len(cards[0]) > 0 && (keys["rotate"] == 0 || keys[crashAddKey] == 0 || keys[crashAddKey] != keys[crashUseKey]) {
				t.Errorf("seed %d: acts of keys: %v", seed, keys)
			}
			if len(acts) < 20 {
				t.Errorf("seed %d: only %d acts in a minute", seed, len(acts))
			}
		}
	}
}
