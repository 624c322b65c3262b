#!/usr/bin/env bash
# Runs a real PostgreSQL for tests and for trying things out, with its default
# durability: every commit is flushed to disk. Needs the server programs of
# PostgreSQL: `install.sh` gets them on Debian.
set -euo pipefail
# shellcheck source=integration/scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
	cat >&2 <<-EOF
		usage: ${0##*/} COMMAND
		  start      start the server and wait until it serves; nothing if it runs
		  stop       shut it down; its data stay
		  immediate  shut it down at once, so that the next start has to recover
		  restart    stop and start, on the same port with the same data
		  kill       end it with SIGKILL, as a crash would
		  status     say whether it runs; exit code 3 if not
		  dsn        print the connection string; exit code 3 if it does not run
		  clean      stop it and delete its data
		environment:
		  CHOREO_CACHE          folder for data and log (default: .cache of the checkout)
		  CHOREO_POSTGRES_PORT  port on 127.0.0.1 (default: that of the last start, else 15432; 0: any free one)
		  CHOREO_POSTGRES_BIN   folder of initdb and pg_ctl (default: the newest in /usr/lib/postgresql, else PATH)
	EOF
	exit 2
}

# PostgreSQL refuses to run as root: then it runs as the system user postgres, in a
# folder that this user can be in.
as_server_user() {
	if is_root; then
		env --chdir=/ setpriv --reuid postgres --regid postgres --init-groups -- "$@"
	else
		"$@"
	fi
}

# home_folder prints the folder for data and log. That user cannot enter a checkout
# in root's home, and then it is a folder in /tmp with a name of its own.
home_folder() {
	local wanted=$cache/postgres
	mkdir -p "$wanted"
	if is_root && id postgres >/dev/null 2>&1; then
		chown postgres "$wanted"
		if ! as_server_user test -w "$wanted"; then
			wanted=${TMPDIR:-/tmp}/choreo-postgres-$(cksum <<<"$wanted" | cut -d ' ' -f 1)
			mkdir -p "$wanted"
			chown postgres "$wanted"
		fi
	fi
	echo "$wanted"
}

bin_folder() {
	local newest
	if [[ -n ${CHOREO_POSTGRES_BIN:-} ]]; then
		echo "$CHOREO_POSTGRES_BIN"
		return
	fi
	newest=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
	if [[ -z $newest ]]; then
		newest=$(command -v initdb) || die "PostgreSQL is needed: run $scripts/install.sh"
	fi
	dirname "$newest"
}

home=$(home_folder)
data=$home/data
log=$home/server.log
port_file=$home/port

# The first line of postmaster.pid is the server's process id.
postmaster() { [[ -s $data/postmaster.pid ]] && head -n 1 "$data/postmaster.pid"; }

running() {
	local pid
	pid=$(postmaster) || return 1
	# Its command line names the data folder: the process id may be another program's.
	[[ $(ps -o args= -p "$pid" 2>/dev/null) == *"$data"* ]] && echo "$pid"
}

init() {
	local bin=$1
	[[ -s $data/PG_VERSION ]] && return
	say "creating a database cluster in $data"
	rm -rf "$data"
	as_server_user "$bin/initdb" --pgdata "$data" --username postgres --auth trust \
		--encoding UTF8 --no-locale >"$home/initdb.log" 2>&1 || die "initdb failed: see $home/initdb.log"
	# fsync, synchronous_commit and full_page_writes stay at their default: on.
	cat >>"$data/postgresql.conf" <<-EOF
		listen_addresses = '127.0.0.1'
		max_connections = 200
	EOF
}

start() {
	local bin pid port socket=$data
	if pid=$(running); then
		say "runs already on 127.0.0.1:$(<"$port_file") (process $pid)"
		return
	fi
	bin=$(bin_folder)
	init "$bin"
	port=$(choose_port "${CHOREO_POSTGRES_PORT:-}" "$port_file" 15432)
	answers "$port" && die "port $port is taken by another program: set CHOREO_POSTGRES_PORT (0 for any free port)"
	# A socket's path has at most 107 bytes; over TCP the server can be reached anyway.
	((${#socket} < 85)) || socket=
	echo "$port" >"$port_file"
	# 9>&-: the server must not inherit the lock of `alone`.
	as_server_user "$bin/pg_ctl" --pgdata "$data" --log "$log" --wait --timeout 60 --silent \
		--options "-p $port -c unix_socket_directories='$socket'" start >"$home/start.log" 2>&1 9>&- || {
		cat "$home/start.log" >&2
		tail -n 20 "$log" >&2
		die "the server did not start: see $log"
	}
	say "PostgreSQL $(<"$data/PG_VERSION") serves on 127.0.0.1:$port (process $(postmaster), log $log)"
}

# stop MODE: fast ends the sessions that are open; immediate breaks them off, and writes
# nothing more.
stop() {
	if ! running >/dev/null; then
		say "does not run"
		return
	fi
	as_server_user "$(bin_folder)/pg_ctl" --pgdata "$data" --mode "$1" --wait --timeout 60 --silent stop >/dev/null ||
		die "the server did not stop: see $log"
	say "stopped"
}

kill_now() {
	local pid pids
	pid=$(running) || die "does not run: nothing to kill"
	# The sessions' processes would outlive the server's for a moment, and the next
	# start refuses the data folder as long as one of them lives.
	pids=$(ps -e -o pid= -o ppid= | awk -v p="$pid" '$1 == p || $2 == p { print $1 }')
	# shellcheck disable=SC2086 # several words on purpose; some may be gone already
	kill -KILL $pids 2>/dev/null || true
	for pid in $pids; do
		gone "$pid" 10 || die "process $pid survived SIGKILL"
	done
	# Until its parent has reaped the dead process, PostgreSQL takes its lock files for
	# a live server's.
	rm -f "$data/postmaster.pid" "$data"/.s.PGSQL.*
	say "killed"
}

status() {
	local pid
	if pid=$(running); then
		say "runs on 127.0.0.1:$(<"$port_file") (process $pid)"
	else
		say "does not run"
		return 3
	fi
}

dsn() {
	running >/dev/null || return 3
	echo "postgres://postgres@127.0.0.1:$(<"$port_file")/postgres?sslmode=disable"
}

[[ $# == 1 ]] || usage
case $1 in
status | dsn)
	"$1"
	exit
	;;
start | stop | immediate | restart | kill | clean) alone "$home" ;;
*) usage ;;
esac
case $1 in
start) start ;;
stop) stop fast ;;
immediate) stop immediate ;;
restart)
	stop fast
	start
	;;
kill) kill_now ;;
clean)
	stop fast
	rm -rf "$data" "$log" "$port_file"
	;;
esac
