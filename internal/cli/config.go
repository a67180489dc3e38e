package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/settings"
)

// SettingsHelp belongs into the help of each command with a Config.
const SettingsHelp = `Settings come from flags, else from the environment (--stop-timeout is
PAWL_STOP_TIMEOUT; lists have commas), else from the file that --config names.
Temporal's own variables and TOML file say which Temporal: TEMPORAL_ADDRESS,
TEMPORAL_NAMESPACE, TEMPORAL_TLS, TEMPORAL_API_KEY, ….`

// Config holds the settings of one command.
type Config struct {
	settings.Settings
	Database Database // its URL is that of the settings
	table    settings.Table
}

// AddFlags adds the flags of all settings that the command takes.
func (c *Config) AddFlags(cmd *cobra.Command, takes settings.Command) {
	c.table = c.Table().For(takes)
	c.table.AddFlags(cmd.Flags())
}

// Read reads the settings from everywhere, and checks them.
func (c *Config) Read(a *App, cmd *cobra.Command) error {
	visible := cmd.Flags().Changed("database-url")
	var file settings.File
	if path := a.Setting(cmd, "config"); path != "" {
		var err error
		if file, err = new(settings.Settings).Table().ReadFile(path); err != nil {
			return fmt.Errorf("configuration:\n%w", err)
		}
	}
	if err := errors.Join(c.table.Set(cmd.Flags(), a.Getenv, file), c.table.Check()); err != nil {
		return UsageError(err)
	}
	c.Database.URL = c.DatabaseURL
	if visible && c.Database.password() {
		a.Note("warning: other users of this machine can see the password in --database-url; set " +
			"PAWL_DATABASE_URL instead")
	}
	return nil
}

// UnknownVariables returns a message about each variable of the environment that begins like Pawl's
// and is not one of them.
func (a *App) UnknownVariables() []string {
	return new(settings.Settings).Table().Unknown(a.Environ())
}
