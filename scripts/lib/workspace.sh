# shellcheck shell=bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# The colcon workspace: src/, and of compat/ what this ROS does not have itself.

# package_folders ROOT...: one folder a line that holds a package.xml, at any depth.
package_folders() {
    find "$@" \( -name node_modules -o -name .git \) -prune -o -name package.xml -printf '%h\n' \
        2>/dev/null | sort
}

package_name() { sed -nE 's:.*<name>[[:space:]]*([^<[:space:]]+).*:\1:p' "$1/package.xml" | head -n 1; }

# wanted_packages: src/ whole; a package of compat/ only when no real one is on the prefix path.
# Called with the variables of ROS set.
wanted_packages() {
    local folder name prefix real
    local -a prefixes
    IFS=: read -ra prefixes <<<"${AMENT_PREFIX_PATH:-}"
    if [[ -d $THEBOX_ROOT/src ]]; then package_folders "$THEBOX_ROOT/src"; fi
    [[ -d $THEBOX_ROOT/compat ]] || return 0
    while read -r folder; do
        name=$(package_name "$folder")
        real=false
        for prefix in "${prefixes[@]}"; do
            [[ $prefix == "$INSTALL_BASE"* ]] && continue
            [[ -f $prefix/share/$name/package.xml ]] && real=true
        done
        $real || printf '%s\n' "$folder"
    done < <(package_folders "$THEBOX_ROOT/compat")
}

# workspace_key FOLDER...: changes when something changed that has to be built. Python modules
# are installed as links, so their content does not count, only their being there.
workspace_key() {
    {
        printf '%s\n' "$KEY_COMPILED" "$@"
        find "$@" \( -name node_modules -o -name test -o -name __pycache__ -o -name dist -o \
            -name '.*' \) -prune -o -type f -printf '%p\n' | LC_ALL=C sort
        find "$@" \( -name node_modules -o -name test -o -name __pycache__ -o -name dist -o \
            -name '.*' \) -prune -o -type f \( ! -name '*.py' -o -name setup.py \) -print0 |
            LC_ALL=C sort -z | xargs -0r sha256sum
        if [[ -f $THEBOX_ROOT/colcon.meta ]]; then cat "$THEBOX_ROOT/colcon.meta"; fi
    } | sha256sum | cut -c1-32
}

everything_is_installed() {
    local folder
    for folder in "$@"; do
        [[ -f $INSTALL_BASE/$(basename "$folder")/share/$(basename "$folder")/package.xml ]] ||
            return 1
    done
}

clean_workspace() {
    rm -rf "$BUILD_BASE" "$INSTALL_BASE" "$LOG_BASE"
    say "removed ${BUILD_BASE#"$THEBOX_ROOT"/}, ${INSTALL_BASE#"$THEBOX_ROOT"/} and ${LOG_BASE#"$THEBOX_ROOT"/}"
}

build_progress() {
    local done_=("$INSTALL_BASE"/*/share/colcon-core/packages/*)
    printf '%d of %d packages' "${#done_[@]}" "$PACKAGES_TO_BUILD"
}

# build_workspace [COLCON ARGUMENTS]...
# shellcheck disable=SC2120  # commands.sh passes them
build_workspace() {
    local started log=$THEBOX_ROOT/.thebox/build-$ROS_RELEASE.log code=0 folders=()
    started=$(now_ms)
    mapfile -t folders < <(
        enter_ros
        wanted_packages
    )
    if ((${#folders[@]} == 0)); then
        say "build: no package under src/ or compat/ yet"
        return
    fi
    build_panel
    local key
    # setup.py links the files of the built panel.
    key=$(workspace_key "${folders[@]}")$(cat "$THEBOX_ROOT/$PANEL/dist/.thebox" 2>/dev/null || true)
    if (($# == 0)) && [[ -f $INSTALL_BASE/.thebox && $(<"$INSTALL_BASE/.thebox") == "$key" ]] &&
        everything_is_installed "${folders[@]}"; then
        BUILD_SECONDS=$(seconds_since "$started")
        return
    fi
    # Objects made with another ROS or Python cannot be linked with new ones.
    if [[ -d $BUILD_BASE && $(cat "$BUILD_BASE/.thebox-environment" 2>/dev/null) != "$KEY_COMPILED" ]]
    then
        clean_workspace
    fi
    need_space "${THEBOX_SPACE_NEEDED_MB:-300}" 'the build'
    mkdir -p "$BUILD_BASE" "$INSTALL_BASE"
    touch "$BUILD_BASE/COLCON_IGNORE"
    printf '%s\n' "$KEY_COMPILED" >"$BUILD_BASE/.thebox-environment"
    rm -f "$INSTALL_BASE/.thebox"
    remove_departed "${folders[@]}"
    local jobs=${THEBOX_JOBS:-2}
    PACKAGES_TO_BUILD=${#folders[@]}
    say "build: ${#folders[@]} packages with colcon"
    shopt -s nullglob
    watch_progress build_progress 9>&- &
    local watcher=$!
    shopt -u nullglob
    # shellcheck disable=SC2064
    trap "kill $watcher 2>/dev/null" EXIT
    local meta=()
    [[ -f $THEBOX_ROOT/colcon.meta ]] && meta=(--metas "$THEBOX_ROOT/colcon.meta")
    (
        enter_ros
        cd "$THEBOX_ROOT"
        export MAKEFLAGS=-j$jobs CMAKE_BUILD_PARALLEL_LEVEL=$jobs
        # The packages that setup.py installs are ours: nothing is to be fetched for them.
        export PIP_NO_INDEX=1 PIP_DISABLE_PIP_VERSION_CHECK=1
        export PYTHONWARNINGS=ignore
        "$VENV/bin/python" -m colcon --log-base "$LOG_BASE" build \
            --base-paths "${folders[@]}" --build-base "$BUILD_BASE" \
            --install-base "$INSTALL_BASE" --symlink-install --parallel-workers "$jobs" \
            --event-handlers console_direct- console_cohesion- console_start_end+ parallel_status- \
            "${meta[@]}" "$@" \
            --cmake-args -DPython3_EXECUTABLE="$VENV/bin/python" -DPYTHON_EXECUTABLE="$VENV/bin/python" \
            -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF --no-warn-unused-cli \
            -DCMAKE_PROJECT_INCLUDE="$THEBOX_ROOT/scripts/cmake/unity_typesupport.cmake"
    ) </dev/null >"$log" 2>&1 9>&- || code=$?
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    trap - EXIT
    clear_progress
    if ((code != 0)); then
        show_build_failure "$log" "${folders[@]}"
        fail "the build failed after $(seconds_since "$started") s (whole output: $log)" \
            "mend what is named above; ./thebox build --clean starts from nothing"
    fi
    if (($# == 0)); then printf '%s\n' "$key" >"$INSTALL_BASE/.thebox"; fi
    BUILD_SECONDS=$(seconds_since "$started")
    say "build done, $BUILD_SECONDS s"
}

# remove_departed FOLDER...: a package that is no longer in the workspace leaves install/ too.
remove_departed() {
    local installed name folder present
    for installed in "$INSTALL_BASE"/*/; do
        name=$(basename "$installed")
        [[ -d $installed/share/$name ]] || continue
        present=false
        for folder in "$@"; do [[ $(basename "$folder") == "$name" ]] && present=true; done
        $present || rm -rf "$installed" "${BUILD_BASE:?}/$name"
    done
}

# show_build_failure LOG FOLDER...: the last lines of each package that failed.
show_build_failure() {
    local log=$1 name output folder
    shift
    while read -r name; do
        output=$LOG_BASE/latest_build/$name/stdout_stderr.log
        if grep -qs _get_setup_information "$output"; then
            # colcon keeps what a failing setup.py said to itself: ask it again.
            for folder in "$@"; do
                [[ $(basename "$folder") == "$name" ]] || continue
                say "--- $name: ${folder#"$THEBOX_ROOT"/}/setup.py fails with"
                (
                    enter_ros
                    cd "$folder" && "$VENV/bin/python" setup.py --name 2>&1 </dev/null | tail -n 25 >&2
                ) || true
            done
        else
            say "--- $name: last lines of ${output#"$THEBOX_ROOT"/}"
            if [[ -s $output ]]; then tail -n 25 "$output" >&2; fi
        fi
    done < <(sed -nE 's/^Failed[[:space:]]+<<<[[:space:]]+([^[:space:]]+).*/\1/p' "$log" | sort -u)
    if ! grep -qE '^Failed[[:space:]]+<<<' "$log"; then tail -n 25 "$log" >&2; fi
}

# prepare [EXTRAS]...: environment and build under the lock; prints the seconds of each.
prepare() {
    local started setup_seconds
    started=$(now_ms)
    BUILD_SECONDS=0
    if [[ ${THEBOX_NO_BUILD:-} == 1 ]]; then
        choose_ros
        [[ -x $VENV/bin/python && -f $INSTALL_BASE/local_setup.bash ]] ||
            fail 'THEBOX_NO_BUILD=1, but nothing is built yet' './thebox build'
        PHASES='set-up and build skipped (THEBOX_NO_BUILD=1)'
        return
    fi
    hold_the_workspace
    ensure_environment "$@"
    setup_seconds=$(seconds_since "$started")
    # shellcheck disable=SC2119
    build_workspace
    release_the_workspace
    # shellcheck disable=SC2034  # the commands print it
    PHASES="set-up $setup_seconds s, build $BUILD_SECONDS s"
}
