# What the benchmarks share: a directory for each, their end, their figures.
# Sourced, never run. A benchmark has a function `clean_up` for what it leaves.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
program=${0##*/}
export MUSTER_DEMO_DIR=${MUSTER_BENCH_DIR:-$root/.muster/bench}/$program
source "$root/deploy/lib/common.sh"
export PATH=$PATH:$HOME/.cargo/bin
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
cd "$root"

finish() {
    local code=$?
    trap '' INT TERM
    end_all
    clean_up
    rm -f "$state/run"
    exit "$code"
}

# start: what the run before left goes, should it have been killed; what this one
# leaves goes with it, however it ends.
start() {
    command -v cargo >/dev/null || fail "cannot find cargo: install a Rust toolchain first"
    hold_directory
    trap finish EXIT
    trap 'exit 130' INT TERM
    clean_up
}

# build: a release build of all that is measured, so that one serves every benchmark.
build() {
    say "building muster"
    attend cargo cargo build --quiet --release --locked -p muster --bins --examples
}

# measure FILE COMMAND...: appends wall and CPU seconds of a command to a file.
measure() {
    local file=$1 code=0 TIMEFORMAT='%R %U %S'
    shift
    { time "$@" >"$state/output" 2>&1 || code=$?; } 2>"$state/times"
    [ "$code" = 0 ] || fail "$1 ended with $code: $(tail -n 5 "$state/output")"
    awk '{ print $1, $2 + $3 }' "$state/times" >>"$file"
}

# median FILE COLUMN
median() {
    sort -n -k"$2,$2" "$1" | awk -v column="$2" '{ all[NR] = $column } END { print all[int((NR + 1) / 2)] }'
}

# ratio ONE OTHER [DECIMALS]
ratio() {
    awk "BEGIN { printf \"%.${3:-2}f\", $1 / $2 }"
}

# value NAME TEXT: what stands behind NAME= in a line of figures.
value() {
    sed -n "s/.*$1=\([0-9.]*\).*/\1/p" <<<"$2"
}
