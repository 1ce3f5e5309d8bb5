package cachedhttp

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/cached-http/caddy-cached-http/go/internal/command"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      command.Name,
		Usage:     command.Usage,
		Short:     command.Short,
		Long:      command.Long,
		CobraFunc: command.Build,
	})
}
