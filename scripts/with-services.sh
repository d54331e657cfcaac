#!/usr/bin/env bash
# Runs a command with a PostgreSQL and a Redis of its own, on loopback, and
# ends both afterwards:  scripts/with-services.sh go test ./...
# Servers named by KELIAN_TEST_DATABASE_URL and KELIAN_TEST_REDIS_URL are used
# as they are. On Debian as root, missing packages are installed.
set -euo pipefail

missing=()
have() { command -v "$1" >/dev/null 2>&1; }
pgbin() {
	local d
	for d in /usr/lib/postgresql/*/bin; do [ -x "$d/initdb" ] && echo "$d"; done | sort -V | tail -n 1
}

[ -n "${KELIAN_TEST_DATABASE_URL:-}" ] || [ -n "$(pgbin)" ] || missing+=(postgresql)
[ -n "${KELIAN_TEST_REDIS_URL:-}" ] || have redis-server || missing+=(redis-server)
have ip || missing+=(iproute2)
have fping || missing+=(fping)
if [ -n "${KELIAN_CHROMIUM:-}" ] || have chromium; then :; else missing+=(chromium); fi
if [ ${#missing[@]} -gt 0 ] && have apt-get && [ "$(id -u)" = 0 ]; then
	echo "installing: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# The package's own cluster is not needed and must not start.
	mkdir -p /etc/postgresql-common
	[ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
export KELIAN_CHROMIUM="${KELIAN_CHROMIUM:-$(command -v chromium || true)}"

# In memory where there is room: these databases live for minutes. What a test
# proves about durability it proves by killing processes, not the machine.
base=${TMPDIR:-/tmp}
if [ -w /dev/shm ] && [ "$(df --output=avail -k /dev/shm | tail -n 1)" -gt 4000000 ]; then base=/dev/shm; fi
dir=$(mktemp -d "$base/kelian-services.XXXXXX")
chmod 755 "$dir"
mkdir -m 1777 "$dir/tmp"
export TMPDIR="$dir/tmp"
redis_pid=
cleanup() {
	[ -n "$redis_pid" ] && kill "$redis_pid" 2>/dev/null || true
	if [ -f "$dir/pg/postmaster.pid" ]; then
		kill -INT "$(head -n 1 "$dir/pg/postmaster.pid")" 2>/dev/null || true
		for _ in $(seq 50); do [ -f "$dir/pg/postmaster.pid" ] || break; sleep 0.1; done
	fi
	rm -rf "$dir"
}
trap cleanup EXIT

free_port() { # a port that nobody listens on now
	local p
	while :; do
		p=$((20000 + RANDOM % 20000))
		(exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo "$p"; return; }
	done
}

if [ -z "${KELIAN_TEST_DATABASE_URL:-}" ] && [ -n "$(pgbin)" ]; then
	bin=$(pgbin)
	port=$(free_port)
	as() { "$@"; }
	if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
		chown postgres "$dir"
		as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
	fi
	as "$bin/initdb" -D "$dir/pg" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log"; exit 1; }
	as "$bin/pg_ctl" -D "$dir/pg" -l "$dir/pg.log" -w -t 60 -o "-p $port -k $dir -c listen_addresses=127.0.0.1 -c max_connections=300 -c fsync=off -c shared_buffers=256MB" start >/dev/null || { cat "$dir/pg.log"; exit 1; }
	export KELIAN_TEST_DATABASE_URL="postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable"
	export KELIAN_TEST_PG_BIN="$bin"
fi
if [ -z "${KELIAN_TEST_REDIS_URL:-}" ] && have redis-server; then
	port=$(free_port)
	(cd "$dir" && exec redis-server --port "$port" --bind 127.0.0.1 --databases 256 --save "" --appendonly no >"$dir/redis.log" 2>&1) &
	redis_pid=$!
	export KELIAN_TEST_REDIS_URL="redis://127.0.0.1:$port/0"
	for _ in $(seq 100); do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
		sleep 0.1
	done
fi

"$@"
