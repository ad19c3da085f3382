# shellcheck shell=bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# What the operator sees: progress on standard error, so that the output of
# `./thebox run CMD` stays the command's own.

say() { printf '%s\n' "$*" >&2; }

# fail MESSAGE [WHAT TO DO]...: ends the command with exit code 1.
fail() {
    printf 'thebox: %s\n' "$1" >&2
    shift
    local line
    for line in "$@"; do printf '  -> %s\n' "$line" >&2; done
    exit 1
}

# usage_error MESSAGE: ends the command with exit code 2, as for any wrong command line.
usage_error() {
    printf 'thebox: %s\n' "$1" >&2
    printf '  -> ./thebox --help lists the commands\n' >&2
    exit 2
}

# Milliseconds since the epoch without a process of its own.
now_ms() {
    local now=${EPOCHREALTIME/[^0-9]/}
    printf '%s' "$((now / 1000))"
}

# seconds_since MILLISECONDS: "12.3"
seconds_since() {
    local passed=$(($(now_ms) - $1))
    printf '%d.%d' "$((passed / 1000))" "$((passed % 1000 / 100))"
}

# watch_progress COMMAND... : shows what COMMAND prints now and then until it is ended
# (each second on a terminal, each 10 s in a log). Meant for the background.
watch_progress() {
    local started pause=10 idle
    started=$(now_ms)
    [[ -t 2 ]] && pause=1
    # Waits without a `sleep` process, which would outlive this one and hold its pipes open;
    # ends with the command it belongs to, whatever that died of.
    exec {idle}<> <(:)
    until read -r -t "$pause" -u "$idle"; do
        kill -0 "$$" 2>/dev/null || return
        if [[ -t 2 ]]; then
            printf '\r\033[K    %s, %s s' "$("$@")" "$(seconds_since "$started")" >&2
        else
            say "    $("$@"), $(seconds_since "$started") s"
        fi
    done
}

clear_progress() { if [[ -t 2 ]]; then printf '\r\033[K' >&2; fi; }
