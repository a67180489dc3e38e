package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/pawlhq/pawl/codec"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/cli/temporal"
	"github.com/pawlhq/pawl/internal/retry"
	"github.com/pawlhq/pawl/store"
)

// retryPause lies between two tries at start.
const retryPause = 500 * time.Millisecond

// process is what worker, api, setup and doctor share. Which Temporal they talk to is no setting of
// Pawl's.
type process struct {
	cli.Config
	log     *slog.Logger
	started time.Time
}

// temporalOptions reads the settings of Temporal, and lets its client encrypt by the keyring that was
// named. The keyring is nil if none was.
func (p *process) temporalOptions() (client.Options, *codec.Keyring, error) {
	return temporal.Encrypting(p.log, p.PayloadKeys)
}

// begin reads the settings, checks them and makes the logger.
func (p *process) begin(a *app, cmd *cobra.Command) error {
	if err := p.Read(a.App, cmd); err != nil {
		return err
	}
	p.started = time.Now()
	var level slog.Level
	if err := level.UnmarshalText([]byte(p.LogLevel)); err != nil {
		return err
	}
	o := &slog.HandlerOptions{Level: level}
	p.log = slog.New(slog.NewTextHandler(a.Stderr, o))
	if p.LogFormat == "json" {
		p.log = slog.New(slog.NewJSONHandler(a.Stderr, o))
	}
	p.Database.Logger = p.log
	return nil
}

// openStore waits for a store that is about to come up.
func (p *process) openStore(ctx context.Context) (opened store.Store, err error) {
	err = p.await(ctx, "the store", func(ctx context.Context) error {
		opened, err = p.Database.Open(ctx)
		return err
	}, cli.MayRecover)
	p.warnExposed(ctx)
	return opened, err
}

// warnExposed warns of a store that every user of the machine may change.
func (p *process) warnExposed(ctx context.Context) {
	if exposed := p.Database.Exposed(); exposed != "" {
		p.log.WarnContext(ctx, exposed)
	}
}

// await tries until it works, fails in a way that waiting can't mend, or the start's time is over.
// It says what it waits for, and again when that changes.
func (p *process) await(
	ctx context.Context, what string, try func(context.Context) error, mayRecover func(error) bool,
) error {
	deadline := p.started.Add(p.StartTimeout)
	said := ""
	for {
		err := try(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("stopped while waiting for %s: %w", what, ctx.Err())
		case !mayRecover(err), time.Now().Add(retryPause).After(deadline):
			return err
		}
		if text := err.Error(); text != said {
			p.log.WarnContext(ctx, "waiting at start",
				"for", what, "until", deadline.UTC().Format(time.RFC3339), "error", err)
			said = text
		}
		retry.Sleep(ctx, retryPause)
	}
}

// announceReady writes the one line that scripts wait for.
func announceReady(w io.Writer, fields map[string]any) error {
	fields["ready"] = true
	return json.NewEncoder(w).Encode(fields)
}
