# Shared by kafka.sh, postgres.sh, registry.sh, redis.sh, node.sh and install.sh: sourced, not run.
# shellcheck shell=bash

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Where downloads, data folders and logs live. CHOREO_CACHE moves it.
# shellcheck disable=SC2034 # read by the scripts that source this
cache=${CHOREO_CACHE:-$(cd "$scripts/../.." && pwd)/.cache}

# All that is not a command's result goes to stderr, so that `dsn`, `url` and `brokers`
# can be captured.
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
	say "$@"
	exit 1
}

java_command() {
	if [[ -n ${JAVA_HOME:-} && -x $JAVA_HOME/bin/java ]]; then
		echo "$JAVA_HOME/bin/java"
	else
		command -v java || die "Java 17 or newer is needed: run $scripts/install.sh"
	fi
}

is_root() { [[ $(id -u) == 0 ]]; }

# answers PORT: something listens on 127.0.0.1:PORT.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# alive PID: the process runs. A zombie does not, it only waits to be noticed; but one
# with threads ("l") has not closed its files and sockets yet.
alive() { [[ $(ps -o stat= -p "$1" 2>/dev/null) =~ ^([^Z]|Z.*l) ]]; }

# gone PID SECONDS waits until the process has ended; false if it has not by then.
gone() {
	local deadline=$((SECONDS + $2))
	while alive "$1"; do
		((SECONDS < deadline)) || return 1
		sleep 0.05
	done
}

# free_port prints a port that nothing listens on. It stays below the range from
# which Linux takes the local ports of outgoing connections (32768 and up), which
# could otherwise take it away between a stop and the next start.
free_port() {
	local port
	for _ in {1..100}; do
		port=$((20000 + RANDOM % 12000))
		if ! answers "$port"; then
			echo "$port"
			return
		fi
	done
	die "found no free port between 20000 and 32000"
}

# choose_port WANTED FILE DEFAULT prints the port to use: the wanted one, else the
# one of the last start, so that a restart keeps its address, else the default.
# A wanted 0 stands for any free port.
choose_port() {
	local wanted=$1 file=$2 default=$3
	if [[ -n $wanted && $wanted != 0 ]]; then
		echo "$wanted"
	elif [[ -s $file ]]; then
		cat "$file"
	elif [[ $wanted == 0 ]]; then
		free_port
	else
		echo "$default"
	fi
}

# alone FOLDER lets one script at a time work on a server: two test packages may
# ask for it at once. The lock ends with the script. Without flock (macOS) nothing
# is locked.
alone() {
	mkdir -p "$1"
	command -v flock >/dev/null || return 0
	exec 9>"$1/lock"
	flock -w 120 9 || die "another script has been working on $1 for two minutes"
}
