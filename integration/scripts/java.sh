# What kafka.sh and registry.sh do alike with their servers, which are Java programs: sourced,
# not run. Before the first call the sourcing script sets
#   program_pattern  what of the command line tells its process
#   ready_pattern    the line of the log that says that it serves
#   what             how it is called
#   start_seconds, stop_seconds, home, log, pid_file, port_file
# shellcheck shell=bash disable=SC2154

# running prints the process id; false if it does not run. A process id may have been
# given to another program since, so that the command is looked at, too.
running() {
	local pid
	[[ -s $pid_file ]] && pid=$(<"$pid_file") || return 1
	# shellcheck disable=SC2053 # a pattern is meant
	[[ $(ps -o args= -p "$pid" 2>/dev/null) == $program_pattern ]] && echo "$pid"
}

# runs_already says so where it runs; false if it does not.
runs_already() {
	local pid
	pid=$(running) || return 1
	say "runs already on 127.0.0.1:$(<"$port_file") (process $pid)"
}

# launch PORT COMMAND... starts the server and waits until it serves. It prints the process id.
launch() {
	local port=$1 pid
	shift
	# Emptied here and not by the server's own redirection, which may come after the
	# first look for the line that says that it is ready.
	: >"$log"
	# setsid: an interrupt typed at the caller's terminal is not meant for the server.
	# 9>&-: the server must not inherit the lock of `alone`.
	local detach=()
	command -v setsid >/dev/null && detach=(setsid)
	${detach[@]+"${detach[@]}"} "$@" >>"$log" 2>&1 </dev/null 9>&- &
	pid=$!
	echo "$pid" >"$pid_file"
	echo "$port" >"$port_file"
	wait_until_ready "$pid"
	echo "$pid"
}

wait_until_ready() {
	local pid=$1 deadline=$((SECONDS + start_seconds))
	until grep -q "$ready_pattern" "$log"; do
		if ! alive "$pid"; then
			tail -n 20 "$log" >&2
			die "$what ended while it started: see $log"
		fi
		if ((SECONDS >= deadline)); then
			kill -KILL "$pid"
			tail -n 20 "$log" >&2
			die "$what was not ready within $start_seconds s: see $log"
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

# serve COMMAND SHOW DATA... carries out a command. SHOW is the one that prints the address; DATA
# is what clean deletes. The sourcing script has install_server and start.
serve() {
	local command=$1 show=$2
	shift 2
	case $command in
	status | "$show")
		"$command"
		return
		;;
	install | start | stop | restart | kill | clean) alone "$home" ;;
	*) usage ;;
	esac
	case $command in
	install) install_server ;;
	start) start ;;
	stop) stop ;;
	restart)
		stop
		start
		;;
	kill) kill_now ;;
	clean)
		stop
		rm -rf "$@" "$log" "$port_file"
		;;
	esac
}
