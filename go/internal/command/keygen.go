package command

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func keygenCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen <file>",
		Short: "Makes an encryption key for a fleet",
		Long: `Makes an encryption key for a fleet and writes it into a new file that its owner
alone can read. What the nodes of a fleet share is sealed with it: all of them need
the same file, and the option encryption_key in the block distributed.`,
		Example: `  $ caddy cached-http keygen /etc/caddy/fleet.key`,
		Args: func(command *cobra.Command, given []string) error {
			if len(given) != 1 {
				return report(command, usageError(command, "one file is wanted"))
			}
			return nil
		},
		RunE: func(command *cobra.Command, arguments []string) error {
			return report(command, keygen(command, arguments[0]))
		},
	}
}

func keygen(command *cobra.Command, path string) error {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	// The configuration may be read in another folder.
	path, err := filepath.Abs(path)
	if err != nil {
		return failed(exitFailed, "%s: %v", printable(path), err)
	}
	err = writeNew(path, hex.AppendEncode(nil, key[:]))
	if errors.Is(err, fs.ErrExist) {
		return failed(exitUsage, "%s exists: a key is never written over, since what it has sealed could be opened no more", printable(path))
	}
	if err != nil {
		return failed(exitFailed, "writing the key: %v", err)
	}
	fmt.Fprintf(command.OutOrStdout(), `Wrote a new encryption key to %s.

Copy it to every node of the fleet, give it to the user that Caddy runs as, and write
into the block of get_certificate cached_http, on each:

	distributed {
		encryption_key %s
	}
`, printable(path), printable(path))
	return nil
}

// writeNew writes a line into a file that was not there, or leaves none.
func writeNew(path string, line []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	// The umask may have taken bits of the mode.
	if err := errors.Join(err, file.Chmod(0o600), file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
