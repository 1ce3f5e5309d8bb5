#!/usr/bin/env bash
# Storms, outages and reloads at full size: `make soak`.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"

export SOAK=1
cargo test --release --quiet --locked -p cached-http-core --test stale --test flood -- --nocapture
tests/scripts/lib.sh
tests/abi/run.sh leaks
go -C go test -count=1 -v -run NothingIsLeftBehind ./internal/native
go -C go test -count=1 -v -run CoreFile . | grep -vE '^(20|	|github)'
./xcaddy.sh --output build/soak-caddy \
	--with "github.com/cached-http/caddy-cached-http/tests/faultstorage@v0.0.0=$root/tests/faultstorage"
CACHED_HTTP_CADDY="$root/build/soak-caddy" go -C tests/e2e test -count=1 -v -timeout 90m \
	-run 'Storm|HerdLosesItsLeader|ManyReloads|Outage|FailingName|JunkNames|SoakWithFaults' . | grep -v '^ *{"level'
