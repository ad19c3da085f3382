# shellcheck shell=bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# The operator's panel: TypeScript, built with Node.js from pinned npm packages. Without Node.js
# the box works all the same, and the panel's server says what is missing.

readonly PANEL=src/thebox_webui/panel
readonly NODE_WANTED=20.19
NODE_REASON=''

# node_is_here: whether Node.js is there and new enough; else NODE_REASON says what to do.
node_is_here() {
    local version
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        NODE_REASON="no Node.js here (the panel needs $NODE_WANTED or newer): apt-get install nodejs npm"
        return 1
    fi
    version=$(node --version)
    version=${version#v}
    if [[ $(printf '%s\n' "$NODE_WANTED" "$version" | sort -V | head -n 1) != "$NODE_WANTED" ]]; then
        NODE_REASON="Node.js here is $version; the panel needs $NODE_WANTED or newer (nodejs.org)"
        return 1
    fi
}

# need_browser: a Chromium for the tests of the panel in a browser; without one they are skipped.
need_browser() {
    if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then return; fi
    # Ubuntu's package of that name is only a pointer to a snap.
    if [[ $(id -u) == 0 && ${THEBOX_APT:-} != no ]] && command -v apt-get >/dev/null &&
        grep -qs '^ID=debian' /etc/os-release; then
        (install_packages 'Chromium (the panel is tested in it)' chromium) || true
    fi
}

# panel_key: changes when the panel has to be built anew. The messages are read by its generator.
panel_key() {
    {
        node --version
        find "$THEBOX_ROOT/$PANEL" "$THEBOX_ROOT/src/thebox_interfaces" \
            \( -name node_modules -o -name dist -o -name generated -o -name test -o -name '.*' \) \
            -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
    } | sha256sum | cut -c1-32
}

# install_panel_packages: in the panel's folder; as package-lock.json has them, once.
install_panel_packages() {
    local wanted
    wanted=$(cat package.json package-lock.json | sha256sum)
    if [[ -f node_modules/.thebox && $(<node_modules/.thebox) == "$wanted" ]]; then return; fi
    npm ci --no-audit --no-fund || return
    printf '%s' "$wanted" >node_modules/.thebox
}

# build_panel: into the panel's dist/, when it is not what it would be.
build_panel() {
    local key log=$THEBOX_ROOT/.thebox/panel.log started
    [[ -f $THEBOX_ROOT/$PANEL/package.json ]] || return 0
    if ! command -v node >/dev/null && [[ $(id -u) == 0 && ${THEBOX_APT:-} != no ]] &&
        command -v apt-get >/dev/null; then
        # In a subshell: the panel is not worth a failed build.
        (install_packages 'Node.js (the operator panel is built with it)' nodejs npm) || true
    fi
    if ! node_is_here; then
        say "the operator panel is not built: $NODE_REASON; then ./thebox build again"
        return 0
    fi
    key=$(panel_key)
    if [[ -f $THEBOX_ROOT/$PANEL/dist/.thebox && $(<"$THEBOX_ROOT/$PANEL/dist/.thebox") == "$key" ]]
    then
        return 0
    fi
    started=$(now_ms)
    say "build: the operator panel"
    if ! (cd "$THEBOX_ROOT/$PANEL" && install_panel_packages) </dev/null >"$log" 2>&1 9>&-; then
        tail -n 5 "$log" >&2
        say "the operator panel is not built: npm could not fetch its packages (whole output: $log); ./thebox build tries again"
        return 0
    fi
    if ! (cd "$THEBOX_ROOT/$PANEL" && npm run build) </dev/null >>"$log" 2>&1 9>&-; then
        tail -n 25 "$log" >&2
        fail "the operator panel could not be built (whole output: $log)" \
            'mend what is named above, then ./thebox build'
    fi
    printf '%s\n' "$key" >"$THEBOX_ROOT/$PANEL/dist/.thebox"
    say "panel done, $(seconds_since "$started") s"
}
