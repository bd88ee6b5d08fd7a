# What the checks of packages share; scripts/check-packages starts them in a Debian that has booted.
# shellcheck shell=bash
# It has no network: apt finds in its cache what was downloaded before.
set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
log=/tmp/apt.log

say() { echo "check-packages: $*"; }
fail() {
    echo "check-packages: $*" >&2
    [ ! -s $log ] || { echo "==> apt" >&2 && tail -n 12 $log >&2; }
    [ ! -d /run/systemd/system ] || journalctl --quiet --no-pager --lines=12 --unit=ctms-rest --unit=ctms-agent >&2 || true
    exit 1
}
apt() { # SUBCOMMAND ARGUMENT...
    apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >$log 2>&1
}
must_apt() { apt "$@" || fail "apt-get $*"; }
packages() { ls /packages/"$1"/*.deb; } # VERSION
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups env -C / HOME=/var/lib/postgresql "$@"; }
sql() { as_postgres psql -X -A -t -q -v ON_ERROR_STOP=1 -d "${2:-ctms}" -c "$1"; } # SQL [DATABASE]
until_true() { # SECONDS COMMAND...
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || fail "timed out: $*"
        sleep 0.1
    done
}
