#!/usr/bin/env bash
# Runs a real Apache Kafka (KRaft, one node) for tests and for trying things out.
# Needs Java 17 or newer and, the first time, Maven: `install.sh` gets both on Debian.
set -euo pipefail
# shellcheck source=integration/scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=integration/scripts/java.sh
. "$(dirname "${BASH_SOURCE[0]}")/java.sh"

usage() {
	cat >&2 <<-EOF
		usage: ${0##*/} COMMAND
		  install  resolve Kafka's class path from Maven Central (done once, by start too)
		  start    start the broker and wait until it serves; nothing if it runs
		  stop     shut it down cleanly; its data stay
		  restart  stop and start, on the same port with the same data
		  kill     end it with SIGKILL, as a crash would
		  status   say whether it runs; exit code 3 if not
		  brokers  print host:port of the running broker; exit code 3 if it does not run
		  clean    stop it and delete its data
		environment:
		  CHOREO_CACHE       folder for class path, data and log (default: .cache of the checkout)
		  CHOREO_KAFKA_PORT  port on 127.0.0.1 (default: that of the last start, else 19092; 0: any free one)
		  CHOREO_KAFKA_HEAP  Java heap (default: 512m)
	EOF
	exit 2
}

home=$cache/kafka
data=$home/data
log=$home/server.log
pid_file=$home/pid
port_file=$home/port
classpath_file=$home/classpath
start_seconds=60
stop_seconds=30
program_pattern="*kafka.Kafka*"
ready_pattern='Kafka Server started'
what="the broker"
# 16 bytes in URL-safe base64: the id of a cluster is arbitrary but never changes.
cluster_id=Y2hvcmVvLWthZmthLWRldg

# The class path is good if it was made from this pom and all its jars still exist.
classpath_is_good() {
	local jars jar
	[[ -s $classpath_file && -s $classpath_file.pom ]] || return 1
	cmp -s "$scripts/kafka/pom.xml" "$classpath_file.pom" || return 1
	IFS=: read -ra jars <"$classpath_file"
	for jar in "${jars[@]}"; do
		[[ -r $jar ]] || return 1
	done
}

install_server() {
	classpath_is_good && return
	command -v mvn >/dev/null || die "Maven is needed once, to fetch Kafka: run $scripts/install.sh"
	say "resolving Apache Kafka from Maven Central"
	mkdir -p "$home"
	mvn --batch-mode -f "$scripts/kafka/pom.xml" dependency:build-classpath \
		-Dmdep.outputFile="$classpath_file" >"$home/maven.log" 2>&1 || {
		grep -F '[ERROR]' "$home/maven.log" >&2
		die "Maven could not resolve Kafka: see $home/maven.log"
	}
	cp "$scripts/kafka/pom.xml" "$classpath_file.pom"
	classpath_is_good || die "Maven gave a class path whose jars cannot be read: $classpath_file"
}

kafka_version() { grep -o 'kafka_2\.13-[0-9.]*[0-9]' "$classpath_file" | head -n 1 | sed 's/.*-//'; }

write_config() {
	local port=$1 controller_port=$2
	{
		cat "$scripts/kafka/server.properties"
		echo "listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port"
		echo "advertised.listeners=PLAINTEXT://127.0.0.1:$port"
		echo "controller.quorum.voters=1@127.0.0.1:$controller_port"
		echo "log.dirs=$data"
	} >"$home/server.properties"
}

start() {
	local pid port controller_port java classpath
	runs_already && return
	java=$(java_command)
	install_server
	port=$(choose_port "${CHOREO_KAFKA_PORT:-}" "$port_file" 19092)
	answers "$port" && die "port $port is taken by another program: set CHOREO_KAFKA_PORT (0 for any free port)"
	controller_port=$(free_port)
	write_config "$port" "$controller_port"
	classpath=$(<"$classpath_file")
	if [[ ! -s $data/meta.properties ]]; then
		"$java" -cp "$classpath" "-Dlog4j2.configurationFile=$scripts/kafka/log4j2.properties" \
			kafka.tools.StorageTool format -t "$cluster_id" -c "$home/server.properties" \
			>"$log" 2>&1 || die "formatting $data failed: see $log"
	fi
	pid=$(launch "$port" "$java" "-Xmx${CHOREO_KAFKA_HEAP:-512m}" -Djava.awt.headless=true \
		"-Dlog4j2.configurationFile=$scripts/kafka/log4j2.properties" -cp "$classpath" \
		kafka.Kafka "$home/server.properties")
	say "Apache Kafka $(kafka_version) serves on 127.0.0.1:$port (process $pid, log $log)"
}

brokers() {
	running >/dev/null || return 3
	echo "127.0.0.1:$(<"$port_file")"
}

[[ $# == 1 ]] || usage
serve "$1" brokers "$data"
