#!/usr/bin/env bash
# Fleets on storages that operators have: Redis, and S3 by moto. Installs nothing; what is missing is named and left out.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"

storages=()
command -v redis-server >/dev/null && storages+=(redis) || echo "Redis is left out: no redis-server on PATH (Debian: apt install redis-server)"
command -v moto_server >/dev/null && storages+=(s3) || echo "S3 is left out: no moto_server on PATH (pip install 'moto[server,s3]')"
echo "PostgreSQL is left out: no module for it can be had from the Go proxy"
[ ${#storages[@]} -gt 0 ] || die "none of the storages is installed, so nothing was tried"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
./xcaddy.sh --output "$work/caddy" \
	--with "github.com/cached-http/caddy-cached-http/tests/faultstorage@v0.0.0=$root/tests/faultstorage" \
	--with github.com/pberkel/caddy-storage-redis@v1.8.1 \
	--with github.com/techknowlogick/certmagic-s3@v1.4.1
export CACHED_HTTP_CADDY=$work/caddy CACHED_HTTP_FLEET="${storages[*]}"
go -C tests/e2e test -count=1 -v -timeout 15m -run 'TestFleetOn' . | grep -vE '^ *\{"level|^=== '
