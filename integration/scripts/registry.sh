#!/usr/bin/env bash
# Runs a real schema registry, Apicurio Registry, with the API of Confluent's, for tests and for
# trying things out. Needs Java 17 or newer and, the first time, Maven: `install.sh` gets
# both on Debian.
set -euo pipefail
# shellcheck source=integration/scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=integration/scripts/java.sh
. "$(dirname "${BASH_SOURCE[0]}")/java.sh"

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
program_pattern="*apicurio-registry-app-*-runner.jar*"
ready_pattern='Listening on: http'
what="the registry"

# program prints the jar to run.
program() { compgen -G "$app/apicurio-registry-app-*-runner.jar"; }

install_server() {
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
	runs_already && return
	java=$(java_command)
	install_server
	port=$(choose_port "${CHOREO_REGISTRY_PORT:-}" "$port_file" 18081)
	answers "$port" && die "port $port is taken by another program: set CHOREO_REGISTRY_PORT (0 for any free port)"
	mkdir -p "$data"
	# WRITE_DELAY=0: what was registered survives a kill that follows at once.
	export QUARKUS_HTTP_HOST=127.0.0.1 HTTP_PORT=$port REGISTRY_DATASOURCE_URL="jdbc:h2:file:$data/schemas;WRITE_DELAY=0"
	pid=$(launch "$port" "$java" "-Xmx${CHOREO_REGISTRY_HEAP:-256m}" -Djava.awt.headless=true -jar "$(program)")
	say "Apicurio Registry $(version) serves on 127.0.0.1:$port (process $pid, log $log)"
}

version() { program | sed 's/.*apicurio-registry-app-\(.*\)-runner.jar/\1/'; }

url() {
	running >/dev/null || return 3
	echo "http://127.0.0.1:$(<"$port_file")/apis/ccompat/v7"
}

[[ $# == 1 ]] || usage
serve "$1" url "$data"
