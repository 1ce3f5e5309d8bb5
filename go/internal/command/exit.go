package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// The exit codes, for scripts.
const (
	exitFailed      = 1   // Caddy was not reached, or anything that has no code of its own
	exitUsage       = 2   // nothing was done
	exitUnknown     = 3   // no such name, no such cache
	exitSomeFailed  = 4   // of the names to refresh or to prefetch
	exitInterrupted = 130 // as shells have it for Ctrl-C
)

// commandError is an error with an exit code of its own.
type commandError struct {
	code int
	text string // empty if all is said
}

func (e *commandError) Error() string { return e.text }

func failed(code int, format string, arguments ...any) error {
	return &commandError{code, fmt.Sprintf(format, arguments...)}
}

func usageError(command *cobra.Command, format string, arguments ...any) error {
	return failed(exitUsage, "%s; see %s --help", fmt.Sprintf(format, arguments...), command.CommandPath())
}

// report says an error and makes it the one that ends the process with its code.
func report(command *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	code := exitFailed
	var known *commandError
	switch {
	case errors.As(err, &known):
		code = known.code
	case errors.Is(err, context.Canceled):
		code, err = exitInterrupted, &commandError{}
	}
	if text := err.Error(); text != "" {
		for line := range strings.SplitSeq("Error: "+text, "\n") {
			command.PrintErrln(printable(line))
		}
	}
	if code == exitFailed {
		return err // Caddy's main function ends with 1 after any error
	}
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(command, nil)
}
