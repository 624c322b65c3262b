#!/usr/bin/env bash
# Runs a real Redis for tests and for trying things out. It logs what it is told and
# flushes that once a second. Needs redis-server: `install.sh` gets it on Debian.
set -euo pipefail
# shellcheck source=integration/scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
	cat >&2 <<-EOF
		usage: ${0##*/} COMMAND
		  start    start the server and wait until it serves; nothing if it runs
		  stop     shut it down; its data stay
		  restart  stop and start, on the same port with the same data
		  kill     end it with SIGKILL, as a crash would
		  status   say whether it runs; exit code 3 if not
		  url      print its URL; exit code 3 if it does not run
		  clean    stop it and delete its data
		environment:
		  CHOREO_CACHE       folder for data and log (default: .cache of the checkout)
		  CHOREO_REDIS_PORT  port on 127.0.0.1 (default: that of the last start, else 16379; 0: any free one)
	EOF
	exit 2
}

home=$cache/redis
data=$home/data
log=$home/server.log
port_file=$home/port
pid_file=$home/pid

running() {
	local pid
	[[ -s $pid_file && -s $port_file ]] || return 1
	pid=$(<"$pid_file")
	# Redis shows its address in its command line: the process id may be another program's.
	alive "$pid" && [[ $(ps -o args= -p "$pid" 2>/dev/null) == *redis-server*":$(<"$port_file")"* ]] && echo "$pid"
}

# ask COMMAND speaks to the server and prints the first line of its answer.
ask() {
	local line
	exec 8<>"/dev/tcp/127.0.0.1/$(<"$port_file")" || return 1
	printf '%s\r\n' "$1" >&8
	IFS= read -r -t 5 line <&8 || true
	exec 8>&-
	echo "${line%$'\r'}"
}

start() {
	local pid port deadline
	if pid=$(running); then
		say "runs already on 127.0.0.1:$(<"$port_file") (process $pid)"
		return
	fi
	command -v redis-server >/dev/null || die "redis-server is needed: run $scripts/install.sh"
	port=$(choose_port "${CHOREO_REDIS_PORT:-}" "$port_file" 16379)
	answers "$port" && die "port $port is taken by another program: set CHOREO_REDIS_PORT (0 for any free port)"
	mkdir -p "$data"
	echo "$port" >"$port_file"
	# 9>&-: the server must not inherit the lock of `alone`.
	setsid redis-server --bind 127.0.0.1 --port "$port" --dir "$data" --appendonly yes --save '' \
		--daemonize no >"$log" 2>&1 </dev/null 9>&- &
	pid=$!
	echo "$pid" >"$pid_file"
	deadline=$((SECONDS + 60))
	# While it reads its log, it answers -LOADING.
	until [[ $(ask PING 2>/dev/null) == +PONG ]]; do
		if ! alive "$pid" || ((SECONDS >= deadline)); then
			tail -n 20 "$log" >&2
			die "the server did not start: see $log"
		fi
		sleep 0.1
	done
	say "Redis serves on 127.0.0.1:$port (process $pid, log $log)"
}

stop() {
	local pid
	if ! pid=$(running); then
		say "does not run"
		return
	fi
	kill -TERM "$pid"
	gone "$pid" 60 || die "the server did not stop: see $log"
	say "stopped"
}

kill_now() {
	local pid
	pid=$(running) || die "does not run: nothing to kill"
	kill -KILL "$pid"
	gone "$pid" 10 || die "process $pid survived SIGKILL"
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

url() {
	running >/dev/null || return 3
	echo "redis://127.0.0.1:$(<"$port_file")"
}

[[ $# == 1 ]] || usage
case $1 in
status | url)
	"$1"
	exit
	;;
start | stop | restart | kill | clean) alone "$home" ;;
*) usage ;;
esac
case $1 in
start) start ;;
stop) stop ;;
restart)
	stop
	start
	;;
kill) kill_now ;;
clean)
	stop
	rm -rf "$data" "$log" "$port_file" "$pid_file"
	;;
esac
