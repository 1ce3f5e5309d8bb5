// Command caddy is the one Caddy that every contestant runs on: the standard modules, the yardstick and ours.
// One binary for all, so that no contestant gains by what is linked or how.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/cached-http/caddy-cached-http/tests/bench/yardstick"
)

func main() {
	caddycmd.Main()
}
