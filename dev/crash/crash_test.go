//go:build unix

package crash

import (
	"cmp"
	"flag"
	"testing"
	"time"

	"github.com/pawlhq/pawl/dev/programs"
)

var (
	longRun  = flag.Bool("crash.long", false, "ten minutes of storm, with outages of a minute")
	runFor   = flag.Duration("crash.for", 0, "how long the storms last; 0 is 25s, or 10m with -crash.long")
	seedFlag = flag.Uint64("crash.seed", 0, "what the schedule and the calls of the storms are derived from, "+
		"and in short runs which world is hardened; 0 is a new one")
)

// TestCrash kills whole worlds and parts of them, and starts them again on what is left: every call
// has one outcome, no tool runs twice, and what was acknowledged holds. One world is a single
// process on SQLite; the other has every part in a process of its own, with Postgres. There are
// storms over plain worlds, and over hardened ones. Short runs have one storm of either kind; the
// seed says in which world. -crash.long has all.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("takes about a minute")
	}
	base := spec{
		bin: programs.Build(t, "pawl-dev", "pawl", "crashagent"), seed: cmp.Or(*seedFlag, uint64(time.Now().UnixNano())),
		length: cmp.Or(*runFor, stormLength), long: *longRun,
	}
	if *longRun {
		base.length = cmp.Or(*runFor, 10*time.Minute)
	}
	const plain, hardened, even, odd, always = false, true, 0, 1, 2
	for _, scenario := range []struct {
		name     string
		hardened bool
		seeds    uint64 // of the short runs that have it
		world    func(*testing.T, spec) *world
		run      func(*world)
	}{
		{"storm over all parts", plain, even, newDistributed, storm},
		{"storm over one process", plain, odd, newSingle, storm},
		{"hardened storm over all parts", hardened, odd, newDistributed, storm},
		{"hardened storm over one process", hardened, even, newSingle, storm},
		{"while the tool runs", plain, always, newSingle, whileToolRuns},
		{"right after an approval", plain, always, newSingle, afterApproval},
		{"right after a start", plain, always, newSingle, afterStart},
		{"stopped while the tool runs", plain, always, newSingle, stoppedWhileToolRuns},
		{"over the deadline", plain, always, newSingle, overDeadline},
		{"paused", plain, always, newDistributed, paused},
		{"paused before the permit", plain, always, newDistributed, pausedBeforePermit},
		{"while calls wait", plain, always, newSingle, whileCallsWait},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			if !*longRun && scenario.seeds != always && scenario.seeds != base.seed%2 {
				t.Skip("this seed's short run has the other kind of storm here")
			}
			t.Parallel()
			o := base
			o.hardened = scenario.hardened
			w := scenario.world(t, o)
			w.start()
			if w.hardening != nil {
				w.hardening.enrol()
			}
			scenario.run(w)
		})
	}
}
