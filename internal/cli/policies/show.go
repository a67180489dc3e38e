package policies

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/rest"
)

// maxVersionDigits keeps longer numbers for the beginnings of digests.
const maxVersionDigits = 9

// showPolicy shows what was ever applied, by its version, or by its digest or the beginning of
// that.
func (a *app) showPolicy(ctx context.Context, c *client.Client, name string) error {
	// As 'history' shows a digest, it may end in the sign of a cut.
	digest := strings.TrimSuffix(name, approval.CutMark)
	number, err := strconv.ParseInt(name, 10, 64)
	isNumber := err == nil && number > 0 && len(name) <= maxVersionDigits
	var history []rest.PolicyVersion
	if isNumber || a.Output != cli.OutputJSON {
		page, err := c.PolicyHistory(ctx, "", 0)
		if err != nil && isNumber {
			return err
		}
		history = page.Items // without it, when and by whom is not known
	}
	only := int64(0)
	for _, v := range history {
		if isNumber && v.Version == number {
			digest, only = v.Digest, number
		}
	}
	set, err := c.PolicyText(ctx, digest)
	var refused *client.Error
	switch {
	case errors.As(err, &refused) && isNumber && only == 0:
		return fmt.Errorf("no version %d was applied, and as a digest: %w", number, err)
	case err != nil:
		return err
	case a.Output == cli.OutputJSON:
		return a.PrintValue(set)
	}
	known := false
	for _, v := range history {
		if v.Digest == set.Digest && (only == 0 || v.Version == only) {
			a.Note("%s", appliedBy(v))
			known = true
		}
	}
	if !known {
		a.Note("digest %s", set.Digest)
	}
	return a.printLayers(set.Layers)
}
