# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the build's scripts share: how they speak, and where things lie.
# Read with ". scripts/remote-io/lib.sh" by bash.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=$top/scripts/remote-io
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/remote-io

# Steps of one `make` count from the same moment.
: "${REMOTE_IO_START:=$(date +%s)}"
export REMOTE_IO_START

elapsed() {
    local s=$(($(date +%s) - REMOTE_IO_START))
    printf '%d:%02d' $((s / 60)) $((s % 60))
}

say() {
    printf '[%5s] %s\n' "$(elapsed)" "$*" >&2
}

# die REASON: one line that says what is wrong and what to do.
die() {
    printf '%s: %s\n' "${me:-${0##*/}}" "$*" >&2
    exit 1
}

# background LOG COMMAND...: start it, with its pid in $pid.  It has a process
# group of its own, which is ended if we are.
background() {
    local log=$1
    shift
    set -m
    "$@" > "$log" 2>&1 < /dev/null &
    pid=$!
    set +m
    trap 'kill -TERM -- -$pid 2>/dev/null; exit 130' INT TERM HUP
}

# Wait for that command's end; returns its status.
finished() {
    local status=0
    wait "$pid" || status=$?
    trap - INT TERM HUP
    return $status
}

# step LOG TEXT COMMAND...: run a long command with its output in a log, and
# show that it is alive: a clock on a terminal, else a line every minute.
step() {
    local log=$1 text=$2 start status=0 now last
    shift 2
    start=$(date +%s)
    last=$start
    mkdir -p "$(dirname "$log")"
    [ -t 2 ] || say "$text ..."
    background "$log" "$@"
    while kill -0 $pid 2>/dev/null; do
        now=$(date +%s)
        if [ -t 2 ]; then
            printf '\r[%5s] %s ... %ds' "$(elapsed)" "$text" \
                   $((now - start)) >&2
        elif [ $((now - last)) -ge 60 ]; then
            say "$text ... still at it after $((now - start)) s"
            last=$now
        fi
        sleep 0.2
    done
    finished || status=$?
    if [ -t 2 ]; then
        printf '\n' >&2
    fi
    return $status
}

# tail_of LOG: the end of a log, indented, for a step that failed.
tail_of() {
    tail -n "${2:-12}" "$1" | sed 's/^/    /' >&2
}

# locked NAME: one process at a time works in the cache.  Held until exit.
locked() {
    mkdir -p "$cache" || die "cannot write to $cache: set XDG_CACHE_HOME"
    exec 8> "$cache/$1.lock"
    if ! flock -n 8; then
        say "waiting for another build that uses $cache ..."
        flock 8
    fi
}
