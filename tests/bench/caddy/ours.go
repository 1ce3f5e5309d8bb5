package main

// The module under test, with the Rust archive that `make lib` puts beside it.
import _ "github.com/cached-http/caddy-cached-http/go"
