package operate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/approval"
	"github.com/pawlhq/pawl/internal/cli"
	"github.com/pawlhq/pawl/internal/settings"
	"github.com/pawlhq/pawl/notify"
	"github.com/pawlhq/pawl/store"
)

// loadChannels reads the file of channels; none without a file.
func loadChannels(path string) ([]notify.Channel, error) {
	if path == "" {
		return nil, nil
	}
	channels, err := notify.Load(path, os.LookupEnv)
	if err != nil {
		return nil, fmt.Errorf("notifications:\n%w", err)
	}
	return channels, nil
}

// notify serves the channels until ctx ends or stop is called, which returns when that has ended.
func (w *workerCommand) notify(
	ctx context.Context, s store.Notices, channels []notify.Channel,
) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		notify.Run(ctx, notify.Options{Store: s, Channels: channels, PublicURL: w.PublicURL, Logger: w.log})
	}()
	return func() { cancel(); <-ended }
}

type notifyCommand struct {
	cli.Config
	app *app
}

func (a *app) notify() *cobra.Command {
	cmd := cli.Group("notify", "Try the channels that people are notified by")
	cmd.Long = cmd.Short + `.

Workers tell people what waits for them, by the channels of the file that
--notify names.`
	cmd.Example = `  pawl notify test ops --notify notify.yaml`
	cmd.AddCommand(a.notifyTest())
	return cmd
}

func (a *app) notifyTest() *cobra.Command {
	n := &notifyCommand{app: a}
	cmd := &cobra.Command{
		Use:   "test CHANNEL",
		Short: "Send a test message to a channel, once",
		Long: `Send a message of the type pawl.test to a channel, once, and say whether it
was taken. It is signed as all messages are.

` + cli.SettingsHelp,
		Example: `  pawl notify test ops --notify notify.yaml
  pawl notify test ops --config pawl.yaml`,
		Args: cli.OneArg("CHANNEL", "name one of the file's"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := n.Read(a.App, cmd); err != nil {
				return err
			}
			return n.test(cmd.Context(), args[0])
		},
	}
	n.AddFlags(cmd, settings.Notify)
	return cmd
}

func (n *notifyCommand) test(ctx context.Context, name string) error {
	if n.Notify == "" {
		return cli.UsageError(errors.New(
			"which channels? name their file with --notify, PAWL_NOTIFY or worker.notify"))
	}
	channels, err := loadChannels(n.Notify)
	if err != nil {
		return err
	}
	var names []string
	for _, c := range channels {
		names = append(names, c.Name)
	}
	at := slices.Index(names, name)
	if at < 0 {
		return fmt.Errorf("there is no channel %s in %s; it has %s", approval.Display(name, 80), n.Notify,
			approval.List(names))
	}
	began := time.Now()
	if err := channels[at].Send(ctx, notify.TestMessage(n.PublicURL, began)); err != nil {
		return fmt.Errorf("the channel %s did not take the message: %w", name, err)
	}
	took := time.Since(began).Round(time.Millisecond)
	return n.app.Say(fmt.Sprintf("the channel %s took the message after %v\n", name, took))
}
