# shellcheck shell=bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# `./thebox test`: every check, one after the other, and what came of each.

readonly ALL_CHECKS=ruff,format,imports,mypy,shellcheck,typescript,pytest
readonly TEST_BOUND_SECONDS=120 # one test; a hung graph must not hold up the rest

# python_folders: what the Python checks look at, as far as it exists.
python_folders() {
    local folder
    for folder in src compat tests benchmarks scripts docker; do
        if [[ -d $THEBOX_ROOT/$folder ]]; then printf '%s\n' "$folder"; fi
    done
}

shell_files() {
    local file
    for file in thebox .ci/run; do
        if [[ -f $file ]]; then printf '%s\n' "$file"; fi
    done
    find scripts docker src compat tests benchmarks \
        \( -name node_modules -o -name '.*' \) -prune -o -type f -print 2>/dev/null |
        while read -r file; do
            if [[ $file == *.sh || $file == *.bash ]] ||
                { [[ $file != *.* ]] && head -c 40 "$file" | grep -qaE '^#!.*\b(ba)?sh\b'; }; then
                printf '%s\n' "$file"
            fi
        done
}

# mypy finds first-party packages in their source folders, not where colcon linked them.
package_path() {
    local folder path=''
    for folder in src/*/; do
        if [[ -f $folder/setup.py ]]; then path+=:$folder; fi
    done
    printf '%s' "${path#:}"
}

check_ruff() {
    local folders
    mapfile -t folders < <(python_folders)
    ruff check --quiet "${folders[@]}"
}

check_format() {
    local folders
    mapfile -t folders < <(python_folders)
    ruff format --check "${folders[@]}"
}

check_imports() { python scripts/python/imports.py check; }

check_mypy() {
    local files
    mapfile -t files < <(python scripts/python/imports.py list)
    MYPYPATH=$(package_path) mypy --strict "${files[@]}"
}

check_shellcheck() {
    local files
    mapfile -t files < <(shell_files)
    shellcheck --external-sources "${files[@]}"
}

check_typescript() {
    if ! node_is_here; then
        SKIP_REASON="$NODE_REASON"
        return 77
    fi
    (
        cd "$THEBOX_ROOT/$PANEL" || return
        install_panel_packages && npm run check && npm test
    )
}

# one_pytest ARGUMENT...: run pytest, its output added to the log.
one_pytest() {
    local log=$THEBOX_ROOT/.thebox/pytest-$ROS_RELEASE.log code=0
    # Nodes of a test find each other on this machine only; a domain of its own comes from the
    # tests' fixture.
    ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_LOG_DIR=$THEBOX_ROOT/.thebox/ros-log \
        PYTHONUNBUFFERED=1 \
        python -m pytest --timeout="$TEST_BOUND_SECONDS" "$@" 2>&1 |
        tee -a "$log" || code=${PIPESTATUS[0]}
    return "$code"
}

# The tests of the packages run beside each other, files as a whole: many wait more than they work.
# Those of whole boxes (tests/) run one after the other: each starts a dozen processes. Whoever
# gives options decides (-x and --pdb make little sense of several processes).
check_pytest() {
    local given apart=() whole=() code=0
    : >"$THEBOX_ROOT/.thebox/pytest-$ROS_RELEASE.log"
    if (($# == 0)); then
        need_browser
        for given in src compat tests; do
            if [[ -d $given ]]; then set -- "$@" "$given"; fi
        done
    fi
    for given in "$@"; do
        if [[ $given == -* ]]; then
            one_pytest "$@"
            return
        fi
        if [[ $given == tests* ]]; then whole+=("$given"); else apart+=("$given"); fi
    done
    if ((${#apart[@]})); then
        one_pytest -n "${THEBOX_TEST_JOBS:-$(($(nproc) + 1))}" --dist loadfile "${apart[@]}" ||
            code=$?
    fi
    if ((${#whole[@]})); then one_pytest "${whole[@]}" || code=$?; fi
    return "$code"
}

# The lines of pytest's summary that begin with a word, under a heading; with a third argument,
# not those of tests that failed for good.
tell_of_tests() { # tell_of_tests HEADING WORD [passed]
    local log=$THEBOX_ROOT/.thebox/pytest-$ROS_RELEASE.log lines
    lines=$(sed -nE "s/^$2 //p" "$log")
    if [[ -n ${3-} ]]; then
        lines=$(grep -vxFf <(sed -nE 's/^(FAILED|ERROR) ([^ ]+).*/\2/p' "$log") <<<"$lines") || true
    fi
    [[ -n $lines ]] || return 0
    printf '%s\n' "$1"
    # shellcheck disable=SC2001 # each line, not the text
    sed 's/^/   /' <<<"$lines"
}

command_test() {
    local check code failed=0 results=() SKIP_REASON started
    local wanted=,${THEBOX_CHECKS:-$ALL_CHECKS},
    for check in ${wanted//,/ }; do
        [[ ,$ALL_CHECKS, == *",$check,"* ]] ||
            usage_error "THEBOX_CHECKS: '$check' is not one of $ALL_CHECKS"
    done
    prepare test
    say "$PHASES"
    enter_workspace
    cd "$THEBOX_ROOT" || exit
    for check in ${ALL_CHECKS//,/ }; do
        if [[ $wanted != *,$check,* ]]; then
            results+=("  skipped  $check: THEBOX_CHECKS leaves it out")
            continue
        fi
        say "== $check"
        started=$(now_ms)
        code=0
        SKIP_REASON=''
        if [[ $check == pytest ]]; then
            check_pytest "$@" || code=$?
        else
            "check_$check" || code=$?
        fi
        case $code in
            0) results+=("  passed   $check ($(seconds_since "$started") s)") ;;
            77) results+=("  skipped  $check: $SKIP_REASON") ;;
            *)
                results+=("  FAILED   $check (exit code $code, $(seconds_since "$started") s)")
                failed=1
                ;;
        esac
    done
    printf '\n== checks on %s, Python %s\n' "$ROS_TITLE" "$("$VENV/bin/python" -V | cut -d' ' -f2)"
    printf '%s\n' "${results[@]}"
    if [[ $wanted == *,pytest,* ]]; then
        tell_of_tests 'tests skipped, and why:' SKIPPED
        tell_of_tests 'tests that failed once and passed at their second try:' RERUN passed
    fi
    exit "$failed"
}
