package verify_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pawlhq/pawl/audit/verify"
)

// TestLinesThatSayTwoThings has lines of which two readers could see different entries: both verifiers
// refuse them.
func TestLinesThatSayTwoThings(t *testing.T) {
	honest := log(t, nil)
	k, public := known(t)
	forged := `{"token":{"id":"forged"}}`
	entry, checkpoint := strings.TrimSuffix(honest[5], "}\n"), strings.TrimSuffix(honest[40], "}\n")
	_, sealed, _ := strings.Cut(entry, `"payload":`)
	sealed, _, _ = strings.Cut(sealed, `,"leaf_hash"`)
	for name, line := range map[string]string{
		"a payload twice":                     entry + `,"payload":` + forged,
		"a payload twice, first another":      `{"payload":` + forged + `,` + entry[1:],
		"a payload twice, in capitals":        `{"PAYLOAD":` + sealed + `,` + strings.Replace(entry[1:], sealed, forged, 1),
		"a payload twice, in capitals behind": entry + `,"PAYLOAD":` + forged,
		"a payload in capitals":               strings.Replace(entry, `"payload"`, `"PAYLOAD"`, 1),
		"a kind that others read otherwise":   strings.Replace(entry, `"kind"`, `"Kind"`, 1),
		"a step with a letter that folds":     strings.Replace(entry, `"step"`, `"ſtep"`, 1),
		"an entry with a problem":             entry + `,"problem":"x"`,
		"a payload twice, escaped":            entry + `,"p\u0061yload":` + forged,
		"a payload in another member":         `{"x":{"y":1,"payload":` + sealed + `},` + strings.Replace(entry[1:], sealed, forged, 1),
		"a payload first, and one in it":      `{"payload":{"y":1,"payload":` + sealed + `},` + strings.Replace(entry[1:], `"payload":`+sealed+`,`, ``, 1),
		"an entry with a checkpoint":          entry + `,` + checkpoint[1:],
		"a checkpoint with a payload":         checkpoint + `,"payload":` + forged,
	} {
		t.Run(name, func(t *testing.T) {
			at := 5
			if strings.HasPrefix(line, checkpoint) {
				at = 40
			}
			tampered := slices.Clone(honest)
			tampered[at] = line + "}\n"
			r, err := verify.Run(t.Context(), verify.FromExport(strings.NewReader(strings.Join(tampered, ""))), verify.Options{Known: k})
			if r.OK || err == nil && r.Problem == nil {
				t.Errorf("%+v, %v", r, err)
			}
			python(t, public, "?", tampered)
		})
	}
}
