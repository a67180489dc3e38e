package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/client"
)

const (
	ownID     = "pawl-" // begins the IDs that Pawl makes
	WhichCall = "which call? 'pawl pending' lists those that wait"
)

// Find returns a call by ID or prefix, also of what follows ownID. Calls the store has not seen
// yet, while no worker runs, are looked up by whole ID where they wait.
func Find(ctx context.Context, c *client.Client, id string) (client.View, error) {
	v, err := c.Request(ctx, id)
	if approval.CodeOf(err) == approval.CodeNotFound {
		if waiting, e := c.Get(ctx, id, 0); e == nil {
			return waiting, nil
		}
		if !strings.HasPrefix(id, ownID) {
			if bare, e := c.Request(ctx, ownID+id); approval.CodeOf(e) != approval.CodeNotFound {
				v, err = bare, e
			}
		}
	}
	if err != nil {
		return v, fmt.Errorf("%s: %w", id, err)
	}
	return v, nil
}

// WholeID returns the ID that a prefix stands for.
func WholeID(ctx context.Context, c *client.Client, id string) (string, error) {
	if len(id) == len(approval.KeyedID("", "")) && strings.HasPrefix(id, ownID) {
		return id, nil
	}
	v, err := Find(ctx, c, id)
	return cmp.Or(v.ID, id), err
}
