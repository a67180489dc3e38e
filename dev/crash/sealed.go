//go:build unix

package crash

import (
	"path/filepath"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/audit/crosscheck"
	"github.com/pawlhq/pawl/audit/tree"
	"github.com/pawlhq/pawl/audit/verify"
	"github.com/pawlhq/pawl/dev/temporal"
	"github.com/pawlhq/pawl/internal/keyfile"
	"github.com/pawlhq/pawl/store"
	temporalclient "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// checkLog waits until the audit log is sealed whole, and verifies it with the key that the workers
// made.
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
	key, err := keyfile.Read(filepath.Join(w.dir, w.logKey))
	if err != nil {
		w.t.Error(err)
		return
	}
	origins, err := log.Origins(w.t.Context())
	if err != nil || len(origins) != 1 {
		w.t.Errorf("the log has the names %q: %v", origins, err)
		return
	}
	known, err := tree.Keys{key}.Known(origins[0])
	if err != nil {
		w.t.Error(err)
		return
	}
	r, err := verify.Run(w.t.Context(), verify.FromStore(log), verify.Options{Known: known})
	if err != nil || !r.OK || r.OtherKey > 0 {
		w.t.Errorf("the audit log of %d entries: %v, %v", r.Size, r.Problem, err)
	}
}

// compareWithTemporal lets 'pawl audit verify --temporal' compare the store, in which no call is open,
// with Temporal's histories.
func (w *world) compareWithTemporal(reader store.Reader, c temporalclient.Client) {
	w.t.Helper()
	o := temporalclient.Options{DataConverter: converter.GetDefaultDataConverter()}
	if w.hardening != nil {
		keys, err := w.hardening.load()
		if err == nil {
			err = keys.Configure(&o)
		}
		if err != nil {
			w.t.Error(err)
			return
		}
	}
	r, err := crosscheck.Run(w.t.Context(), crosscheck.Options{
		Store: reader, Temporal: c, Converter: o.DataConverter, TaskQueue: approval.TaskQueue,
		Retention: temporal.DefaultRetention,
	})
	if err != nil || !r.OK || r.Compared != r.Calls || r.Calls == 0 {
		w.t.Errorf("the store and Temporal: %+v, %v", r, err)
	}
}
