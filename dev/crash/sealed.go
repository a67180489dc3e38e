//go:build unix

package crash

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os/exec"
	"path/filepath"

	"github.com/pawlhq/pawl/audit/crosscheck"
	"github.com/pawlhq/pawl/audit/verify"
	"github.com/pawlhq/pawl/dev/programs"
	"github.com/pawlhq/pawl/store"
)

// checkLog waits until the audit log is sealed whole, and lets 'pawl audit verify --temporal' verify it
// with the key that the workers made, and compare the store, in which no call is open, with Temporal's
// histories.
func (w *world) checkLog(log store.LogReader) {
	w.t.Helper()
	var waiting int
	var err error
	sealed := poll(w.t.Context(), patience, func() bool {
		waiting, _, err = log.Unsealed(w.t.Context())
		return err == nil && waiting == 0
	})
	if !sealed {
		w.t.Errorf("after %v %d entries of the audit log are not sealed: %v", patience, waiting, err)
		return
	}
	temporal, err := w.serving(w.t.Context(), w.temporal)
	if err != nil {
		w.t.Error(err)
		return
	}
	settings := []string{
		"PAWL_DATABASE_URL=" + cmp.Or(w.databaseURL, "sqlite://"+filepath.Join(w.dir, "data", "pawl.db")),
		"PAWL_LOG_KEY=" + w.logKey, "TEMPORAL_ADDRESS=" + temporal.at.Temporal,
	}
	if w.hardening != nil {
		settings = append(settings, w.hardening.keys())
	}
	cmd := exec.CommandContext(w.t.Context(), w.program("pawl"),
		"audit", "verify", "--temporal", "--state", "-", "-o", "json")
	var said, complained bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = w.dir, programs.Environment(settings...), &said, &complained
	err = cmd.Run()
	var r struct {
		verify.Report
		Temporal crosscheck.Report
	}
	if err == nil {
		err = json.Unmarshal(said.Bytes(), &r)
	}
	calls := r.Temporal
	if err != nil || !r.OK || r.Size == 0 || r.OtherKey+r.Renamed+r.Erased > 0 ||
		!calls.OK || calls.Compared != calls.Calls || calls.Calls == 0 {
		w.t.Errorf("pawl audit verify --temporal: %v\n%s%s", err, said.Bytes(), complained.Bytes())
		return
	}
	w.t.Logf("verified %d entries by %d checkpoints; compared %d calls with %d workflows",
		r.Size, r.Signed, calls.Compared, calls.Workflows)
}
