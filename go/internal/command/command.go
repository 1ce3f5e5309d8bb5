// Package command is `caddy cached-http`, a client of Caddy's admin API below /cached_http. It runs beside a Caddy, not
// in it: it opens no engine and no cache_dir.
package command

import (
	"github.com/spf13/cobra"
)

// Name is the command's name after `caddy`.
const Name = "cached-http"

// Short is what the list of Caddy's commands says of it.
const Short = "Shows and changes what the caches of tls.get_certificate.cached_http hold"

// Usage stands behind the command's name.
const Usage = "<command>"

// Long is the help's text.
const Long = `Shows and changes what the caches of a running Caddy hold, by its admin API.

That API is looked for as "caddy stop" does: at --address, else where the
configuration of --config has it, else at $CADDY_ADMIN or localhost:2019.

With --json the answers are those of the API: one JSON document, or one a line
for names and results.

Exit codes: 0 done, 1 Caddy not reached or another failure, 2 wrong usage,
3 name or cache unknown, 4 some names failed, 130 interrupted.`

// Build adds flags and subcommands.
func Build(command *cobra.Command) {
	flags := command.PersistentFlags()
	flags.String("address", "", "Address of Caddy's admin API (if --config is not used)")
	flags.StringP("config", "c", "", "Configuration file that says where the admin API is")
	flags.StringP("adapter", "a", "", "Name of the config adapter for --config")
	flags.String("cache", "", "The one cache that is meant, by id or backend URL")
	flags.Bool("json", false, "Print the API's own answers")
	_ = command.RegisterFlagCompletionFunc("cache", completeCaches)

	command.SilenceErrors = true
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return report(command, usageError(command, "%s", err))
	})
	command.Args = arguments(0, 0)
	command.RunE = func(command *cobra.Command, _ []string) error { return command.Help() }
	command.Example = `  $ caddy cached-http caches
  $ caddy cached-http inspect shop.example.com
  $ caddy cached-http purge shop.example.com`

	command.AddCommand(cachesCommand(), namesCommand(), inspectCommand(), purgeCommand(), refreshCommand(), prefetchCommand(),
		keygenCommand())
	for _, subcommand := range command.Commands() {
		subcommand.SilenceErrors = true // report has said them
		subcommand.DisableFlagsInUseLine = true
	}
}

// arguments bounds how many there are; a most of -1 is no bound.
func arguments(least, most int) cobra.PositionalArgs {
	return func(command *cobra.Command, given []string) error {
		switch {
		case len(given) < least:
			return report(command, usageError(command, "a name is missing"))
		case most >= 0 && len(given) > most:
			return report(command, usageError(command, "unexpected argument %q", given[most]))
		}
		return nil
	}
}
