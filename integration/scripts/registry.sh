#!/usr/bin/env bash
# Runs a real schema registry, Apicurio Registry, with the API of Confluent's, for tests and for
# trying things out. Needs Java 17 or newer and, the first time, Maven: `install.sh` gets
# both on Debian.
set -euo pipefail
# shellcheck source=integration/scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
	cat >&2 <<-EOT
		usage: ${0##*/} COMMAND
		  install  fetch the registry from Maven Central (done once, by start too)
		  start    start it and wait until it serves; nothing if it runs
		  stop     shut it down; its schemas stay
		  restart  stop and start, on the same port with the same schemas
		  kill     end it with SIGKILL, as a crash would
		  status   say whether it runs; exit code 3 if not
		  url      print the URL of the Confluent-compatible API; exit code 3 if it does not run
		  clean    stop it and delete its schemas
		environment:
		  CHOREO_CACHE          folder for program, data and log (default: .cache of the checkout)
		  CHOREO_REGISTRY_PORT  port on 127.0.0.1 (default: that of the last start, else 18081; 0: any free one)
		  CHOREO_REGISTRY_HEAP  Java heap (default: 256m)
	EOT
	exit 2
}

home=$cache/registry
app=$home/app
data=$home/data
log=$home/server.log
pid_file=$home/pid
port_file=$home/port
start_seconds=60
stop_seconds=20

# program prints the jar to run.
program() { compgen -G "$app/apicurio-registry-app-*-runner.jar"; }

# running prints the process id; false if it does not run. A process id may have been
# given to another program since, so that the command is looked at, too.
running() {
	local pid
	[[ -s $pid_file ]] && pid=$(<"$pid_file") || return 1
	[[ $(ps -o args= -p "$pid" 2>/dev/null) == *apicurio-registry-app-*-runner.jar* ]] && echo "$pid"
}

install_registry() {
	program >/dev/null && cmp -s "$scripts/registry/pom.xml" "$app/pom.xml" && return
	command -v mvn >/dev/null || die "Maven is needed once, to fetch the registry: run $scripts/install.sh"
	say "fetching Apicurio Registry from Maven Central"
	mkdir -p "$home"
	rm -rf "$app"
	mvn --batch-mode -f "$scripts/registry/pom.xml" dependency:unpack-dependencies \
		-DoutputDirectory="$app" -DmarkersDirectory="$home/markers" -Dmdep.overWriteReleases=true \
		>"$home/maven.log" 2>&1 || {
		grep -F '[ERROR]' "$home/maven.log" >&2
		die "Maven could not fetch the registry: see $home/maven.log"
	}
	program >/dev/null || die "Maven unpacked no program into $app: see $home/maven.log"
	cp "$scripts/registry/pom.xml" "$app/pom.xml" # last: what was broken off is fetched again
}

start() {
	local pid port java
	if pid=$(running); then
		say "runs already on 127.0.0.1:$(<"$port_file") (process $pid)"
		return
	fi
	java=$(java_command)
	install_registry
	port=$(choose_port "${CHOREO_REGISTRY_PORT:-}" "$port_file" 18081)
	answers "$port" && die "port $port is taken by another program: set CHOREO_REGISTRY_PORT (0 for any free port)"
	mkdir -p "$data"
	: >"$log"
	# setsid: an interrupt typed at the caller's terminal is not meant for the server.
	# 9>&-: the server must not inherit the lock of `alone`.
	local detach=()
	command -v setsid >/dev/null && detach=(setsid)
	QUARKUS_HTTP_HOST=127.0.0.1 HTTP_PORT=$port REGISTRY_DATASOURCE_URL="jdbc:h2:file:$data/schemas" \
		${detach[@]+"${detach[@]}"} "$java" "-Xmx${CHOREO_REGISTRY_HEAP:-256m}" -Djava.awt.headless=true \
		-jar "$(program)" >>"$log" 2>&1 </dev/null 9>&- &
	pid=$!
	echo "$pid" >"$pid_file"
	echo "$port" >"$port_file"
	wait_until_ready "$pid"
	say "Apicurio Registry $(version) serves on 127.0.0.1:$port (process $pid, log $log)"
}

version() { program | sed 's/.*apicurio-registry-app-\(.*\)-runner.jar/\1/'; }

wait_until_ready() {
	local pid=$1 deadline=$((SECONDS + start_seconds))
	until grep -q 'Listening on: http' "$log"; do
		if ! alive "$pid"; then
			tail -n 20 "$log" >&2
			die "the registry ended while it started: see $log"
		fi
		if ((SECONDS >= deadline)); then
			kill -KILL "$pid"
			tail -n 20 "$log" >&2
			die "the registry was not ready within $start_seconds s: see $log"
		fi
		sleep 0.1
	done
}

stop() {
	local pid
	if ! pid=$(running); then
		say "does not run"
		return
	fi
	kill -TERM "$pid"
	if ! gone "$pid" "$stop_seconds"; then
		say "did not stop within $stop_seconds s: killing it"
		kill_now
		return
	fi
	rm -f "$pid_file"
	say "stopped"
}

kill_now() {
	local pid
	pid=$(running) || die "does not run: nothing to kill"
	kill -KILL "$pid"
	gone "$pid" 10 || die "process $pid survived SIGKILL"
	rm -f "$pid_file"
	say "killed process $pid"
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
	echo "http://127.0.0.1:$(<"$port_file")/apis/ccompat/v7"
}

[[ $# == 1 ]] || usage
case $1 in
status | url)
	"$1"
	exit
	;;
install | start | stop | restart | kill | clean) alone "$home" ;;
*) usage ;;
esac
case $1 in
install) install_registry ;;
start) start ;;
stop) stop ;;
restart)
	stop
	start
	;;
kill) kill_now ;;
clean)
	stop
	rm -rf "$data" "$log" "$port_file"
	;;
esac
