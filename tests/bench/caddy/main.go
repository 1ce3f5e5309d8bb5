// Command caddy is the one Caddy that every variant runs on: the standard modules, the baseline and ours.
// One binary for all, so that no variant gains by what is linked or how.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/cached-http/caddy-cached-http/tests/bench/baseline"
)

func main() {
	caddycmd.Main()
}
