// What make release needs beyond shell: a module proxy's tree, and a bill of materials.
module github.com/cached-http/caddy-cached-http/tests/release

go 1.26.0

require (
	github.com/CycloneDX/cyclonedx-go v0.12.0
	golang.org/x/mod v0.43.0
)
