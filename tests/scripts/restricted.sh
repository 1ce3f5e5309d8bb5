#!/usr/bin/env bash
# restricted.sh CADDY: runs it as docs/install/caddy.service does, as nobody with the right to ports below 1024 and no other,
# its state behind a symbolic link as with DynamicUser and its secrets root's own as with LoadCredential, and looks whether a
# certificate gets into cache_dir.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
caddy=$1
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT
chmod 755 "$work"
install -m 755 "$caddy" "$work/caddy"
install -d -m 700 -o 65534 -g 65534 "$work/private" "$work/private/caddy"
ln -s private/caddy "$work/state"
chmod 711 "$work/private"

port=
for candidate in $(seq 601 50 1000); do
	(exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null || { port=$candidate && break; }
done
[ -n "$port" ] || die "no port below 1024 is free"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=shop.example \
	-addext 'subjectAltName=DNS:shop.example' -keyout "$work/key.pem" -out "$work/leaf.pem" 2>/dev/null
install -d -m 550 -g 65534 "$work/credentials"
(umask 077 && "$caddy" cached-http keygen "$work/credentials/fleet.key" && echo secret >"$work/credentials/token") >/dev/null
chgrp 65534 "$work/credentials"/*
chmod 440 "$work/credentials"/* # where systemd gives the right by an ACL, its mask shows as the group's
mkdir -m 755 "$work/backend"
cat "$work/leaf.pem" "$work/key.pem" >"$work/backend/shop.example.pem"
chmod 644 "$work/backend/shop.example.pem"
cat >"$work/Caddyfile" <<CADDYFILE
{
	admin unix/{\$STATE_DIRECTORY}/admin.sock
	persist_config off
	storage file_system {\$STATE_DIRECTORY}/caddy
	acme_ca https://127.0.0.1:1/directory
	skip_install_trust
	auto_https disable_redirects
}
http://127.0.0.1:$((port + 1)) {
	bind 127.0.0.1
	root $work/backend
	@stranger not header Authorization "Bearer secret"
	error @stranger 401
	header Cache-Control s-maxage=3600
	rewrite * /{query.server_name}.pem
	file_server
}
https://:$port {
	bind 127.0.0.1
	tls {
		get_certificate cached_http http://127.0.0.1:$((port + 1)) {
			cache_dir {\$STATE_DIRECTORY}/certificates
			header Authorization "Bearer {file.{\$CREDENTIALS_DIRECTORY}/token}"
			distributed {
				encryption_key {\$CREDENTIALS_DIRECTORY}/fleet.key
			}
		}
	}
}
CADDYFILE
(
	umask 077
	ulimit -c 0
	cd /
	exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
		--inh-caps=-all,+net_bind_service --ambient-caps=-all,+net_bind_service --bounding-set=-all,+net_bind_service \
		env -i STATE_DIRECTORY="$work/state" CREDENTIALS_DIRECTORY="$work/credentials" XDG_DATA_HOME="$work" XDG_CONFIG_HOME="$work/state/config" \
		"$work/caddy" run --config "$work/Caddyfile"
) >"$work/log" 2>&1 &
pid=$!

served=
for _ in $(seq 600); do
	kill -0 "$pid" 2>/dev/null || break
	served=$(openssl s_client -connect "127.0.0.1:$port" -servername shop.example </dev/null 2>/dev/null |
		openssl x509 -noout -subject 2>/dev/null) && break
	sleep 0.1
done
[[ $served == *shop.example* ]] || die "no certificate is served: $(tail -n 3 "$work/log")"
for _ in $(seq 300); do
	found=$(find "$work/private/caddy/certificates" -name '*.pem' -perm 0600 2>/dev/null | wc -l)
	[ "$found" -gt 0 ] && break
	sleep 0.1
done
[ "$found" = 1 ] || die "$found certificates are in cache_dir: $(tail -n 3 "$work/log")"
echo "without rights but for port $port: served, and kept in $(stat -c %A "$work/private/caddy/certificates") certificates/"
