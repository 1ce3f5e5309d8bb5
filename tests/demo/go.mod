module github.com/cached-http/caddy-cached-http/tests/demo

go 1.26.0
