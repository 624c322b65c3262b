#!/usr/bin/env bash
# Runs a real Apache Kafka (KRaft, one node) for tests and for trying things out.
# Needs Java 17 or newer and, the first time, Maven: `install.sh` gets both on Debian.
set -euo pipefail
# shellcheck source=integration/scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

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
# 16 bytes in URL-safe base64: the id of a cluster is arbitrary but never changes.
cluster_id=Y2hvcmVvLWthZmthLWRldg

# running prints the broker's process id; false if it does not run. A process id may
# have been given to another program since, so that the command is looked at, too.
running() {
	local pid
	[[ -s $pid_file ]] && pid=$(<"$pid_file") || return 1
	[[ $(ps -o args= -p "$pid" 2>/dev/null) == *kafka.Kafka* ]] && echo "$pid"
}

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

install_kafka() {
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
	if pid=$(running); then
		say "runs already on 127.0.0.1:$(<"$port_file") (process $pid)"
		return
	fi
	java=$(java_command)
	install_kafka
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
	# Emptied here and not by the broker's own redirection, which may come after the
	# first look for the line that says that it is ready.
	: >"$log"
	# setsid: an interrupt typed at the caller's terminal is not meant for the broker.
	# 9>&-: the broker must not inherit the lock of `alone`.
	local detach=()
	command -v setsid >/dev/null && detach=(setsid)
	${detach[@]+"${detach[@]}"} "$java" "-Xmx${CHOREO_KAFKA_HEAP:-512m}" -Djava.awt.headless=true \
		"-Dlog4j2.configurationFile=$scripts/kafka/log4j2.properties" -cp "$classpath" \
		kafka.Kafka "$home/server.properties" >>"$log" 2>&1 </dev/null 9>&- &
	pid=$!
	echo "$pid" >"$pid_file"
	echo "$port" >"$port_file"
	wait_until_ready "$pid"
	say "Apache Kafka $(kafka_version) serves on 127.0.0.1:$port (process $pid, log $log)"
}

wait_until_ready() {
	local pid=$1 deadline=$((SECONDS + start_seconds))
	until grep -q 'Kafka Server started' "$log"; do
		if ! alive "$pid"; then
			tail -n 20 "$log" >&2
			die "the broker ended while it started: see $log"
		fi
		if ((SECONDS >= deadline)); then
			kill -KILL "$pid"
			tail -n 20 "$log" >&2
			die "the broker was not ready within $start_seconds s: see $log"
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

brokers() {
	running >/dev/null || return 3
	echo "127.0.0.1:$(<"$port_file")"
}

[[ $# == 1 ]] || usage
case $1 in
status | brokers)
	"$1"
	exit
	;;
install | start | stop | restart | kill | clean) alone "$home" ;;
*) usage ;;
esac
case $1 in
install) install_kafka ;;
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
