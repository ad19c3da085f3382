# shellcheck shell=bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# The site's .env: what differs from site to site, as NAME=VALUE lines. docs/configuration.md lists
# the names; `./thebox config check` holds the values against what they may be.

site_file() { printf '%s' "${THEBOX_ENV_FILE:-$THEBOX_ROOT/.env}"; }

# load_site: sets what the file gives and the environment does not. Passwords stay in the file:
# only the program that needs one reads it there.
load_site() {
    local file line number=0 name value
    file=$(site_file)
    if [[ ! -e $file ]]; then
        [[ -z ${THEBOX_ENV_FILE:-} ]] || fail "THEBOX_ENV_FILE: $file is not there" \
            'name a file that is there, or unset THEBOX_ENV_FILE'
        return 0
    fi
    [[ -r $file ]] || fail "$file cannot be read" "run as the user that owns it ($(stat -c %U "$file"))"
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        line=${line%$'\r'}
        [[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
        [[ $line =~ ^((ROS|RMW|FASTDDS|FASTRTPS|THEBOX)_[A-Z0-9_]+)=(.*)$ ]] ||
            fail "$file:$number: '${line%%=*}' is no setting of a site" \
                'write NAME=VALUE without spaces around =; docs/configuration.md lists the names'
        name=${BASH_REMATCH[1]}
        value=${BASH_REMATCH[3]}
        [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]] && value=${BASH_REMATCH[1]}
        if [[ $name == *PASSWORD* ]]; then continue; fi
        if [[ -z ${!name+set} ]]; then export "$name=$value"; fi
    done <"$file"
}
