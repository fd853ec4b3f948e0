# What the scripts of deploy/ share: where things lie, and how processes are
# started so that they can be found and ended, also by a later run. Sourced,
# never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# One directory holds all that a run leaves; deploy/test names another. What is
# downloaded lies beside, for the next run.
state=$(realpath -m "${MUSTER_DEMO_DIR:-$root/.muster/demo}")
cache=$root/.muster/cache
log=$state/log
processes=$state/processes
mkdir -p "$log" "$processes" "$cache"

say() {
    printf '%s: %s\n' "${program:-${0##*/}}" "$*"
}

fail() {
    say "$@" >&2
    exit 1
}

# free_ports COUNT: prints so many TCP ports of the loopback that nobody uses.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
PYTHON
}

# port NAME: the port of a service, the same each time it is asked for.
port() {
    mkdir -p "$state/ports"
    [ -s "$state/ports/$1" ] || free_ports 1 >"$state/ports/$1"
    cat "$state/ports/$1"
}

# Each process that is begun here carries these two in its environment, and so
# do its children. A process number says little: it may be somebody else's by now.
marked() { # PID [NAME]
    local environment
    environment=$({ tr '\0' '\n' <"/proc/$1/environ"; } 2>/dev/null) || return 1
    grep -qxF "MUSTER_RUN=$state" <<<"$environment" &&
        { [ $# = 1 ] || grep -qxF "MUSTER_PROCESS=$2" <<<"$environment"; }
}

# begin NAME COMMAND...: starts a process in a session of its own and notes it down.
begin() {
    local name=$1
    shift
    rm -f "$processes/$name"
    MUSTER_RUN=$state MUSTER_PROCESS=$name setsid --fork sh -c \
        'echo $$ >"$1.new" && mv "$1.new" "$1" && shift && exec "$@"' \
        sh "$processes/$name" "$@" </dev/null >>"$log/$name.log" 2>&1
    until [ -s "$processes/$name" ]; do sleep 0.02; done
}

# attend NAME COMMAND...: the same, but shows what it prints and waits for its end.
attend() {
    local name=$1 pid
    shift
    MUSTER_RUN=$state MUSTER_PROCESS=$name setsid "$@" </dev/null &
    pid=$!
    echo "$pid" >"$processes/$name"
    wait "$pid"
}

# running NAME: whether the process that was noted down still runs and is ours.
running() {
    local pid
    { read -r pid <"$processes/$1"; } 2>/dev/null && marked "$pid" "$1"
}

# end NAME [SECONDS]: ends a process, gently at first, and then its children.
end() {
    local pid
    if running "$1"; then
        read -r pid <"$processes/$1"
        kill -TERM "$pid" 2>/dev/null || true
        for _ in $(seq $((${2:-10} * 20))); do
            running "$1" || break
            sleep 0.05
        done
        ! running "$1" || kill -KILL "$pid" 2>/dev/null || true
    fi
    rm -f "$processes/$1"
}

# end_all: ends everything that this directory's runs have begun, the last first,
# and then whatever still carries the mark.
end_all() {
    local name pid
    for name in $(ls -t "$processes" 2>/dev/null); do
        end "$name"
    done
    for pid in $(grep -lszxF "MUSTER_RUN=$state" /proc/[0-9]*/environ | cut -d/ -f3); do
        kill -KILL "$pid" 2>/dev/null || true
    done
}

# wait_for SECONDS WHAT COMMAND...: tries until the command succeeds.
wait_for() {
    local tries=$(($1 * 5)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.2
    done || fail "$what did not come up; its log is in $log"
}

# answers PORT: whether somebody listens there.
answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# hold_directory: only one run at a time may use the directory, and what a killed
# one left there is ended first.
hold_directory() {
    local other
    other=$(cat "$state/run" 2>/dev/null || echo none)
    if [ "$other" != $$ ] && { tr '\0' ' ' <"/proc/$other/cmdline"; } 2>/dev/null | grep -qF "/${0##*/}"; then
        fail "another run (process $other) uses $state: end it, or set MUSTER_DEMO_DIR to another directory"
    fi
    echo $$ >"$state/run"
    end_all
    rm -rf "$state/ports"
    # From here on everything that is started carries the mark.
    export MUSTER_RUN=$state
}
