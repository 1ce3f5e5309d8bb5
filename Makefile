# Everything a developer types. The work is done by the scripts in tests/scripts and tests/check.
.DEFAULT_GOAL := help
.PHONY: help lib header test check tools audit demo bench oldest soak fleet release release-test musl leaks fuzz asan clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  ./xcaddy.sh --help   builds a Caddy with the module, and takes it back'

lib: ## the Rust library, put where the Go package links it
	@tests/scripts/lib.sh

header: ## the C header, after a change of rust/ffi; commit both copies
	@tests/check/header.sh write

test: ## all tests, from a fresh clone; what CI runs
	@tests/scripts/run.sh test

check: ## the lints alone
	@tests/scripts/run.sh check

tools: ## what audit, fuzz and the Go linters need, into build/tools: some minutes
	@tests/scripts/install_tools.sh

audit: ## known vulnerabilities, licences and sources of the Rust side, and its SBOM; asks no network
	@tests/scripts/audit.sh

demo: ## the main job, shown on two real Caddys; KEEP=1 leaves them up
	@tests/demo/run.sh

bench: lib ## what a handshake costs beside a static file, the stock getter and a pure-Go cache; QUICK=1 for less
	@tests/bench/run.sh

oldest: ## the oldest Caddy that is supported, built and tried; part of make test
	@tests/scripts/oldest_caddy.sh

soak: ## outages, storms and reloads at full size on a real Caddy, before a release: some minutes
	@tests/scripts/soak.sh

fleet: ## nodes that share Redis and S3 storages, killed and stopped under load; needs redis-server and moto_server
	@tests/scripts/fleet.sh

release: ## what is published of VERSION, in dist/: a module with the library in it, a Caddy, checksums
	@tests/scripts/release.sh "$(VERSION)"

release-test: ## the release of a clone, and what users do with it: xcaddy --with, without Rust; TWICE=1 compares two
	@tests/scripts/release_test.sh

musl: ## the library for musl, as Alpine has it, and a Caddy with it; needs musl-gcc and Rust's target for musl
	@tests/scripts/musl.sh

leaks: ## a million gets and releases over the ABI: what is left of memory, handles, threads and descriptors
	@SOAK=1 tests/abi/run.sh leaks

fuzz: ## the fuzz targets, a minute each; LONG=1 for half an hour each, MERGE=1 keeps what they reach
	@tests/scripts/fuzz.sh

asan: ## C programs, Go suite and Rust tests under the address sanitizer, C programs under valgrind: ten minutes
	@tests/scripts/asan.sh

clean: ## removes what was built, but for binaries that ./xcaddy.sh made
	cargo clean
	rm -rf build go/internal/native/lib go/internal/native/archive_digest_*.go
