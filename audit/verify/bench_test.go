package verify_test

import (
	"strings"
	"testing"

	"github.com/pawlhq/pawl/audit/verify"
)

// BenchmarkVerify verifies a log of 20,000 entries, in a store and as an export.
func BenchmarkVerify(b *testing.B) {
	const size = 20_000
	s := sealed(b, size, 4096)
	whole := strings.Join(export(b, s), "")
	known := knownOf(b, s)
	for name, source := range map[string]func() verify.Source{
		"store":  func() verify.Source { return verify.FromStore(s) },
		"export": func() verify.Source { return verify.FromExport(strings.NewReader(whole)) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := verify.Run(b.Context(), source(), verify.Options{Known: known})
				if err != nil || !r.OK || r.Size != size {
					b.Fatal(r, err)
				}
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
