#!/usr/bin/env bash
# Installs what the local servers need and this machine lacks: Java 17 or newer and
# Maven for Kafka and the schema registry, the servers of PostgreSQL and Redis, Node and
# Graphviz, which read what Choreo writes, Chromium, in which the page is looked at, and a few
# small tools. On Debian and its like, as root; elsewhere it says what is missing.
set -euo pipefail
# shellcheck source=integration/scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

java_version() {
	local java=java
	[[ -n ${JAVA_HOME:-} && -x $JAVA_HOME/bin/java ]] && java=$JAVA_HOME/bin/java
	"$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1
}

has_java() {
	local version
	version=$(java_version) && [[ -n $version ]] && ((version >= 17))
}

has_postgres() {
	command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

has_chromium() {
	command -v chromium || command -v chromium-browser || command -v google-chrome
} >/dev/null

packages=()
has_java || packages+=(default-jre-headless)
command -v mvn >/dev/null || packages+=(maven)
has_postgres || packages+=(postgresql)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v ps >/dev/null || packages+=(procps)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
command -v dot >/dev/null || packages+=(graphviz)
has_chromium || packages+=(chromium)
if is_root; then
	command -v setpriv >/dev/null || packages+=(util-linux)
fi

if ((${#packages[@]} == 0)); then
	say "nothing to install"
	exit
fi
command -v apt-get >/dev/null ||
	die "this machine lacks ${packages[*]} (names of Debian packages): install them, or run Docker, or set CHOREO_TEST_BROKERS, CHOREO_TEST_POSTGRES, CHOREO_TEST_REGISTRY and CHOREO_TEST_REDIS"
is_root || die "run as root: apt-get install ${packages[*]}"
say "installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >&2
apt-get install -y -q --no-install-recommends "${packages[@]}" >&2
