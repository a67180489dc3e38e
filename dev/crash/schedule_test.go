//go:build unix

package crash

import (
	"fmt"
	"testing"
	"time"
)

// The shortest storms replace keys, and start an API again after that.
func TestCrashScheduleOfKeys(t *testing.T) {
	for _, f := range []faults{singleFaults, distributedFaults} {
		for seed := range uint64(200) {
			used, rotated, started := false, 0, false
			for _, a := range schedule(seed, f, stormLength, shortOutage) {
				switch {
				case a.do == activateKey:
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
	for _, f := range []faults{
		{parts: singleFaults.parts}, {parts: distributedFaults.parts}, singleFaults, distributedFaults,
	} {
		f.gap = time.Second
		for seed := range uint64(50) {
			actions := schedule(seed, f, time.Minute, 20*time.Second)
			if again := schedule(seed, f, time.Minute, 20*time.Second); fmt.Sprint(actions) != fmt.Sprint(again) {
				t.Fatalf("seed %d: two schedules:\n%v\n%v", seed, actions, again)
			}
			undoes := map[string]string{"kill": "up", "stop": "up", "pause": "resume"}
			wants := map[string]string{} // what has to be done to a part next, if anything
			keys := map[string]int{}
			fresh := map[string]bool{} // parts that read the keyring since its key was added
			for _, a := range actions {
				if a.part == keysPart {
					keys[a.do]++
					for _, part := range keyringReaders(f) {
						if a.do == activateKey && !fresh[part] {
							t.Errorf("seed %d: %s may lack the key that is used from %v on:\n%v", seed, part, a.at, actions)
						}
					}
					if a.do == addKey {
						fresh = map[string]bool{}
					}
					continue
				}
				fresh[a.part] = fresh[a.part] || a.do == "up"
				if wants[a.part] != "" && a.do != wants[a.part] || wants[a.part] == "" && undoes[a.do] == "" {
					t.Fatalf("seed %d: %v, and %q was due:\n%v", seed, a, wants[a.part], actions)
				}
				wants[a.part] = undoes[a.do]
			}
			for part, want := range wants {
				if want != "" {
					t.Errorf("seed %d: %s is left without %s", seed, part, want)
				}
			}
			if len(f.keys) > 0 && (keys["rotate"] == 0 || keys[addKey] == 0 || keys[addKey] != keys[activateKey]) {
				t.Errorf("seed %d: actions on keys: %v", seed, keys)
			}
			if len(actions) < 20 {
				t.Errorf("seed %d: only %d actions in a minute", seed, len(actions))
			}
		}
	}
}

// keyringReaders are the parts that read the keyring.
func keyringReaders(f faults) (parts []string) {
	for _, x := range f.keys {
		if x.do == "rekey" {
			parts = x.parts
		}
	}
	return parts
}
