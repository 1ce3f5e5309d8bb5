module github.com/cached-http/caddy-cached-http/tests/origin

go 1.26.0
