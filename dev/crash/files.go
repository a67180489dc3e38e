//go:build unix

package crash

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pawlhq/pawl/dev/leak"
)

// marker is looked for in Temporal's files, one for each part of a call.
func marker(where string) string { return "planted-in-" + where + "-9d3c;" }

// planted is what stands in calls: the marker several times in a row, so that one of them lies in
// one page of a file.
func planted(where string) string { return strings.Repeat(marker(where), 3) }

// checkFiles looks for what was planted in the files of Temporal, before and after it is stopped.
// In a plain world it must be there: so that this would be seen in a hardened one.
func (w *world) checkFiles() {
	w.t.Helper()
	found := map[string]bool{}
	for _, where := range []string{"argument", "reason", "notes", "result", "the-agent"} {
		found[marker(where)] = false
	}
	w.search(found)
	w.temporal.down(syscall.SIGINT, patience)
	w.search(found)
	for secret, there := range found {
		if there == (w.hardening != nil) {
			w.t.Errorf("%s was found in Temporal's files: %v", secret, there)
		}
	}
}

func (w *world) search(found map[string]bool) {
	w.t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.dir, "data", "temporal.db*"))
	if err != nil || len(paths) == 0 {
		w.t.Fatalf("Temporal has no files: %v", err)
	}
	for _, path := range paths {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) { // a log that went into the file
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		const overlap = 4 << 10
		chunk := make([]byte, 0, 1<<20)
		for err == nil {
			kept := copy(chunk[:cap(chunk)], chunk[max(0, len(chunk)-overlap):])
			var n int
			n, err = io.ReadFull(f, chunk[kept:cap(chunk)])
			chunk = chunk[:kept+n]
			for secret, there := range found {
				found[secret] = there || leak.Shows(chunk, secret)
			}
		}
		f.Close()
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			w.t.Fatal(err)
		}
	}
}
