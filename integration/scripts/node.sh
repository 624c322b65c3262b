#!/usr/bin/env bash
# Runs the tools of others that read what Choreo writes: the official parser of AsyncAPI
# and Mermaid, and keeps axe-core for the browser; all from npm. Needs Node 18 or newer: `install.sh` gets it on Debian.
set -euo pipefail
# shellcheck source=integration/scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
	cat >&2 <<-EOF
		usage: ${0##*/} COMMAND
		  install        get the packages of the lock file from npm; nothing if they are there
		  check FILE...  read AsyncAPI documents (.json, .yaml) and flowcharts (.mmd); exit code 1 on faults
		  home           print the folder that has node_modules
		environment:
		  CHOREO_CACHE  folder for the packages (default: .cache of the checkout)
	EOF
	exit 2
}

home=$cache/node

# Beside the packages, for that is where Node looks for them; and out of the checkout, for
# Go would take their folders for its own.
install() {
	mkdir -p "$home"
	cp "$scripts/node/check.mjs" "$home/"
	cmp -s "$scripts/node/package-lock.json" "$home/installed" && return
	command -v npm >/dev/null || die "Node 18 or newer and npm are needed: run $scripts/install.sh"
	cp "$scripts/node/package.json" "$scripts/node/package-lock.json" "$home/"
	say "installing the parser of AsyncAPI, Mermaid and axe-core"
	(cd "$home" && npm ci --no-audit --no-fund --ignore-scripts --omit=optional --loglevel=error >&2)
	cp "$scripts/node/package-lock.json" "$home/installed"
}

case ${1:-} in
install) install ;;
home) echo "$home" ;;
check)
	install
	node "$home/check.mjs" "${@:2}"
	;;
*) usage ;;
esac
