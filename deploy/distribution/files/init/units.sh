# What is known of the services: sourced by boot, run-unit, shutdown and systemctl.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root
state=/run/units

# Prints where the unit file NAME lies, the administrator's before the package's.
unit_file() {
    local directory
    for directory in /etc/systemd/system /usr/lib/systemd/system; do
        [ -f "$directory/$1" ] && echo "$directory/$1" && return
    done
    return 1
}

# setting UNIT KEY: the values of all lines KEY=..., joined by blanks.
setting() {
    local file
    file=$(unit_file "$1") || return
    sed -n "s/^$2=//p" "$file" | tr '\n' ' ' | sed 's/ *$//'
}

wanted_units() {
    ls /etc/systemd/system/multi-user.target.wants /usr/lib/systemd/system/multi-user.target.wants \
        2>/dev/null | grep '\.service$' | sort -u
}

unit_state() {
    cat "$state/$1/state" 2>/dev/null || echo inactive
}

# set_state UNIT STATE [RESULT]: one rename, so that a reader never sees half.
set_state() {
    mkdir -p "$state/$1"
    [ -z "$3" ] || echo "$3" >"$state/$1/result"
    echo "$2" >"$state/$1/state.new"
    mv "$state/$1/state.new" "$state/$1/state"
}

failed_units() {
    grep -lx failed "$state"/*/state 2>/dev/null | sed "s|^$state/\(.*\)/state$|\1|"
}

full_name() {
    case $1 in *.service) echo "$1" ;; *) echo "$1.service" ;; esac
}

# start_unit UNIT: returns when a oneshot has ended, or any other has been begun.
start_unit() {
    if ! unit_file "$1" >/dev/null; then
        set_state "$1" failed "there is no such unit"
        return 1
    fi
    set_state "$1" activating
    if [ "$(setting "$1" Type)" = oneshot ]; then
        /usr/lib/murmur-init/run-unit "$1"
    else
        setsid /usr/lib/murmur-init/run-unit "$1" </dev/null >/dev/null 2>&1 &
    fi
}

stop_unit() {
    local pid
    set_state "$1" inactive
    pid=$(cat "$state/$1/pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null
}
