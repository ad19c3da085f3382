# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Sets a user's password and role: ``./thebox run python -m thebox_webui.passwd NAME``."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path

from thebox_webui.accounts import (
    Account,
    AccountsError,
    hash_password,
    load_accounts,
    save_accounts,
)
from thebox_webui.parameters import PANEL

__all__ = ["main"]

_DEFAULT = next(str(p.default) for p in PANEL if p.name == "accounts_file")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when the file is written, 1 when it cannot be, 2 for wrong use."""
    parser = argparse.ArgumentParser(
        prog="passwd",
        description="Set a user of the panel. With any user set, the panel asks for a login. "
        "The password is asked for, or read from standard input when that is no terminal. "
        "A running panel reads the file at its next start.",
    )
    parser.add_argument("user", help="name of the user")
    parser.add_argument(
        "--role", choices=("operator", "viewer"), default="operator", help="default operator"
    )
    parser.add_argument("--file", type=Path, default=Path(_DEFAULT), help=f"default {_DEFAULT}")
    parser.add_argument("--remove", action="store_true", help="remove the user")
    options = parser.parse_args(argv)
    path = options.file.expanduser()
    try:
        accounts = load_accounts(path)
        if options.remove:
            if accounts.pop(options.user, None) is None:
                raise AccountsError(f"there is no user {options.user!r} in {path}")
        else:
            password = _ask()
            accounts[options.user] = Account(options.user, options.role, hash_password(password))
        save_accounts(path, accounts)
    except AccountsError as error:
        print(f"passwd: {error}", file=sys.stderr)
        return 1
    done = "removed from" if options.remove else f"({options.role}) written to"
    print(f"{options.user} {done} {path}; it holds from the panel's next start")
    return 0


def _ask() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        raise AccountsError("the two passwords differ")
    return password


if __name__ == "__main__":
    raise SystemExit(main())
