# shellcheck shell=bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# The Python environment: made in steps, each with a stamp that says what it was made from.
# A step whose stamp is missing or differs is done again, so an interrupted set-up goes on
# where it stopped and a changed lock file is followed.

# Measured: environment 0.65 GB, tests' tools 0.3 GB, workspace 0.1 GB, pip's downloads 0.3 GB.
readonly SPACE_NEEDED_MB=${THEBOX_SPACE_NEEDED_MB:-2000}

# hash_of TEXT-OR-FILE...: a file counts by its content, anything else as it is written.
hash_of() {
    local part
    for part in "$@"; do
        if [[ -f $part ]]; then cat "$part"; else printf '%s\n' "$part"; fi
    done | sha256sum | cut -c1-32
}

stamp_is() { [[ -f $STATE/$1 && $(<"$STATE/$1") == "$2" ]]; }

write_stamp() {
    mkdir -p "$STATE"
    printf '%s\n' "$2" >"$STATE/$1.new"
    mv "$STATE/$1.new" "$STATE/$1"
}

lock_file() { printf '%s/locks/%s-%s.txt' "$THEBOX_ROOT" "$LOCK_SET" "$1"; }

# hold_the_workspace: one ./thebox at a time may change the environment or the build.
hold_the_workspace() {
    mkdir -p "$THEBOX_ROOT/.thebox" 2>/dev/null && [[ -w $THEBOX_ROOT/.thebox ]] ||
        fail "$THEBOX_ROOT/.thebox cannot be written" "run as the user that owns this folder"
    exec 9>"$THEBOX_ROOT/.thebox/lock"
    if ! flock -n 9; then
        say "another ./thebox is setting up or building here: waiting for it"
        flock 9
    fi
}

release_the_workspace() { exec 9>&-; }

# compute_keys: what each step is made from. KEY_BASE changes when the environment has to be
# made anew; the others build on it.
compute_keys() {
    KEY_BASE=$(hash_of "1 $ROS_RELEASE $ROS_ORIGIN $ROS_PREFIX" \
        "$PYTHON_VERSION $PYTHON" "$VENV")
    KEY_PRODUCT=$(hash_of "$KEY_BASE" "$(lock_file product)")
    KEY_RELOCATE=$(hash_of "$KEY_PRODUCT" "$THEBOX_ROOT/scripts/python/relocate_cmake.py")
    # What compiled code is made with: a change of anything else leaves the build as it is.
    # shellcheck disable=SC2034  # workspace.sh reads it
    KEY_COMPILED=$(hash_of "$KEY_BASE" \
        "$(grep -E '^(ros-.*|numpy|cmake|empy|setuptools)==' "$(lock_file product)")")
    KEY_CHECK=$(hash_of "$KEY_RELOCATE" "$THEBOX_ROOT/scripts/python/check_environment.py")
}

environment_is_ready() {
    stamp_is base "$KEY_BASE" && stamp_is product "$KEY_PRODUCT" &&
        stamp_is relocate "$KEY_RELOCATE" && stamp_is check "$KEY_CHECK" &&
        [[ -x $VENV/bin/python ]]
}

extras_are_ready() { stamp_is "$1" "$(hash_of "$KEY_PRODUCT" "$(lock_file "$1")")"; }

installed_count() {
    local dists=("$VENV"/lib/python3.*/site-packages/*.dist-info)
    printf '%d packages installed' "${#dists[@]}"
}

# pip_install WHAT ARGUMENTS...: quiet, with progress; on failure says what to do about it.
pip_install() {
    local what=$1 log=$STATE/pip.log watcher code=0
    shift
    # A set-up that was killed while unpacking leaves a package that pip takes for installed.
    # pip writes INSTALLER last: what lacks it is incomplete.
    local info
    for info in "$VENV"/lib/python3.*/site-packages/*.dist-info; do
        if [[ -d $info && ! -f $info/INSTALLER ]]; then rm -rf "$info"; fi
    done
    rm -rf "$VENV"/lib/python3.*/site-packages/~*
    watch_progress installed_count 9>&- &
    watcher=$!
    # shellcheck disable=SC2064
    trap "kill $watcher 2>/dev/null" EXIT
    env -u PYTHONPATH -u PYTHONHOME _ROS_WHEELS_BOOTSTRAP_COMPLETE=1 \
        "$VENV/bin/python" -m pip install --no-input --disable-pip-version-check \
        --progress-bar off --retries "${THEBOX_PIP_RETRIES:-3}" --no-deps --require-hashes \
        "$@" </dev/null >"$log" 2>&1 9>&- || code=$?
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    trap - EXIT
    clear_progress
    ((code == 0)) && return
    tail -n 6 "$log" >&2
    cp "$log" "$THEBOX_ROOT/.thebox/pip.log" 2>/dev/null || true
    log=$THEBOX_ROOT/.thebox/pip.log
    local again="then run the same ./thebox command again: it goes on where it stopped"
    # On a full disk not even the log may have been written.
    if grep -qiE 'No space left|Errno 28|Disk quota' "$log" ||
        (($(free_megabytes "$THEBOX_ROOT") < 10)); then
        # What was unpacked so far would keep the disk full.
        rm -rf "$VENV"
        fail "the disk filled up while installing $what; ${VENV#"$THEBOX_ROOT"/} was removed again" \
            "free about $SPACE_NEEDED_MB MB on the disk of $THEBOX_ROOT (and in ${TMPDIR:-/tmp})" \
            "$again"
    elif grep -qiE 'THESE PACKAGES DO NOT MATCH THE HASHES' "$log"; then
        fail "a downloaded package is not the one that the lock file names" \
            "a broken download or a mirror with other files: pip cache purge, check the mirror" \
            "$again"
    elif grep -qiE 'NewConnectionError|Failed to establish|name resolution|ConnectTimeout|Read timed out|Connection (refused|reset|aborted)|ProxyError|SSLError|RemoteDisconnected|Network is unreachable|IncompleteRead|ProtocolError' "$log"; then
        fail "the Python package index cannot be reached (no network, a proxy, or a mirror that is down)" \
            "check the connection and pip's settings (pip config list), $again"
    elif grep -qiE 'from versions: none' "$log"; then
        fail "the package index gave no file at all for a package (no network, or a mirror that lacks it)" \
            "check the connection and pip's settings (pip config list), $again"
    elif grep -qiE 'No matching distribution|Could not find a version' "$log"; then
        fail "the package index has no file that fits Python $PYTHON_VERSION on $(uname -m)" \
            "check pip's index setting (pip config list); THEBOX_PYTHON picks another Python $PYTHON_RANGE"
    fi
    fail "pip could not install $what (whole output: $log)" "$again"
}

make_environment() {
    local started step=0 steps=4 label
    started=$(now_ms)
    say "set-up: $ROS_TITLE, Python $PYTHON_VERSION ($PYTHON), into ${VENV#"$THEBOX_ROOT"/}"
    begin() {
        step=$((step + 1)) label=$1
        step_started=$(now_ms)
        say "  step $step of $steps: $label"
    }
    local step_started
    ended() { say "  step $step of $steps done, $(seconds_since "$step_started") s"; }

    begin 'what the system must bring (compiler, Python headers, space)'
    need_build_tools
    stamp_is product "$KEY_PRODUCT" || need_space "$SPACE_NEEDED_MB" 'the environment'
    if ! stamp_is base "$KEY_BASE"; then
        # Moved aside first: what is under the real name is never a half-removed one.
        rm -rf "$VENV.old"
        if [[ -e $VENV ]]; then mv "$VENV" "$VENV.old"; fi
        rm -rf "$VENV.old"
        mkdir -p "$(dirname "$VENV")"
        local site=()
        [[ $ROS_ORIGIN == distribution ]] && site=(--system-site-packages)
        if ! env -u PYTHONPATH -u PYTHONHOME -u LD_LIBRARY_PATH \
            "$PYTHON" -m venv "${site[@]}" "$VENV" >"$THEBOX_ROOT/.thebox/venv.log" 2>&1; then
            rm -rf "$VENV"
            tail -n 6 "$THEBOX_ROOT/.thebox/venv.log" >&2
            fail "Python's venv module could not make ${VENV#"$THEBOX_ROOT"/}" \
                "a full disk shows as 'No space left' above; otherwise: apt-get install python${PYTHON_VERSION%.*}-venv"
        fi
        mkdir -p "$STATE"
        printf '%s\n' "$PYTHON" >"$STATE/python"
        write_stamp base "$KEY_BASE"
    fi
    ended

    begin "packages of $(basename "$(lock_file product)")"
    if ! stamp_is product "$KEY_PRODUCT"; then
        rm -f "$STATE/product" "$STATE/relocate" "$STATE/check"
        pip_install 'the packages' -r "$(lock_file product)"
        "$VENV/bin/python" -I "$THEBOX_ROOT/scripts/python/prune_environment.py" \
            "$(lock_file product)" "$(lock_file test)" "$(lock_file bench)" >&2
        write_stamp product "$KEY_PRODUCT"
    fi
    ended

    begin 'CMake files of the wheels: include folders of this machine'
    if ! stamp_is relocate "$KEY_RELOCATE"; then
        if [[ $ROS_ORIGIN == wheels ]]; then
            "$VENV/bin/python" -I "$THEBOX_ROOT/scripts/python/relocate_cmake.py" "$VENV" >&2 ||
                fail 'the CMake files of the ROS wheels could not be adapted' \
                    "rm -r ${VENV#"$THEBOX_ROOT"/} and run ./thebox again"
        fi
        write_stamp relocate "$KEY_RELOCATE"
    fi
    ended

    begin 'check: rclpy, its middleware and every message package load'
    (
        enter_ros
        "$VENV/bin/python" "$THEBOX_ROOT/scripts/python/check_environment.py"
    ) >&2 || fail 'the environment does not work' \
        "rm -r ${VENV#"$THEBOX_ROOT"/} and run ./thebox again; if it fails again, report the lines above"
    write_stamp check "$KEY_CHECK"
    ended
    say "set-up done, $(seconds_since "$started") s"
}

# add_extras KIND: the lock file of `test` or `bench` on top of the product's.
add_extras() {
    extras_are_ready "$1" && return
    local started
    started=$(now_ms)
    say "set-up: packages for $1 ($(basename "$(lock_file "$1")"))"
    need_space 600 "$1's packages"
    rm -f "$STATE/$1"
    pip_install "the packages for $1" -r "$(lock_file "$1")"
    write_stamp "$1" "$(hash_of "$KEY_PRODUCT" "$(lock_file "$1")")"
    say "packages for $1 done, $(seconds_since "$started") s"
}

# ensure_environment [EXTRAS]...: quick when nothing changed.
ensure_environment() {
    choose_ros
    choose_python
    compute_keys
    environment_is_ready || make_environment
    local kind
    for kind in "$@"; do add_extras "$kind"; done
}
