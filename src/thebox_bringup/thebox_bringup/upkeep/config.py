# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox config``: a site's settings checked, brought up to date, explained."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from thebox_bringup.graph import NAMESPACE
from thebox_bringup.settings import SettingsError, Values, check_file, merge, migrate_text
from thebox_bringup.site import Site, read, variables
from thebox_bringup.upkeep.inventory import env_file

__all__ = ["main", "parser"]

#: Set by the command and the run themselves, or for tests: no settings of a site.
_OWN = frozenset(
    f"THEBOX_{name}"
    for name in (
        *("ROOT", "ENVIRONMENT", "ENVIRONMENT_PREFIX", "ENVIRONMENT_ROOT", "ROS_ROOT", "MACHINE"),
        *("ENV_FILE", "RUN_ID", "PARENT_PID", "CHECKS", "PIP_RETRIES", "SPACE_NEEDED_MB", "SHARED"),
    )
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox config",
        description="Check a site's parameter file and .env, bring an old file to this release's "
        "format, or show what they set. docs/configuration.md is the reference.",
        epilog="exit codes: 0 all is well; 1 problems, each with file and line; 2 something given "
        "is wrong",
    )
    made.add_argument("--json", action="store_true", help="the outcome as JSON")
    actions = made.add_subparsers(dest="action", required=True)
    check = actions.add_parser("check", help="hold the file and .env against what can be")
    migrate = actions.add_parser("migrate", help="bring an old parameter file up to date")
    show = actions.add_parser("show", help="what the file and .env set, without secrets")
    for each in (check, show):
        each.add_argument("file", nargs="?", type=Path, help="default: THEBOX_CONFIG")
    migrate.add_argument("file", type=Path)
    migrate.add_argument("--dry-run", action="store_true", help="only say what would change")
    for each in (check, migrate, show):
        each.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    return made


def _look(file: Path | None) -> tuple[Site, Path | None, Values]:
    problems: list[str] = []
    site = Site({}, {}, {})
    try:
        site = read(env_file())
    except SettingsError as error:
        problems.append(str(error))
    named = file or (
        Path(site.environment["THEBOX_CONFIG"]) if "THEBOX_CONFIG" in site.environment else None
    )
    values: Values = {}
    if named is not None:
        try:
            values = check_file(named, site.environment.get("THEBOX_NAMESPACE", NAMESPACE))
        except SettingsError as error:
            missing = file is None and not named.is_file()
            problems.append(
                f"{error}: THEBOX_CONFIG names it, in the environment or {env_file()}"
                if missing
                else str(error)
            )
    if problems:
        raise SettingsError("\n".join(problems))
    return site, named, merge(values, site.values)


def _migrate(path: Path, dry_run: bool) -> dict[str, object]:
    text = path.read_text(encoding="utf-8")
    new, changes = migrate_text(text, path)
    kept = ""
    if changes and not dry_run:
        kept = str(
            path.with_name(time.strftime(f"{path.name}.before-%Y%m%dT%H%M%SZ", time.gmtime()))
        )
        Path(kept).write_text(text, encoding="utf-8")
        part = path.with_name(f".{path.name}.part")
        part.write_text(new, encoding="utf-8")
        part.chmod(path.stat().st_mode & 0o777)
        part.replace(path)
    return {"file": str(path), "changes": changes, "kept": kept}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)
    report: dict[str, object]
    try:
        if options.action == "migrate":
            report = _migrate(options.file, options.dry_run)
            lines = [f"  {change}" for change in report["changes"]]  # type: ignore[attr-defined]
            lines = [f"{options.file}:", *(lines or ["  is up to date"])]
            if report["kept"]:
                lines.append(f"  the file before: {report['kept']}")
        else:
            site, named, values = _look(options.file)
            secrets = {variable.name for variable in variables() if variable.secret}
            shown = {k: "***" if k in secrets else v for k, v in site.environment.items()}
            report = {
                "file": str(named or ""),
                "environment_file": str(env_file()),
                "environment": shown,
                "values": values,
            }
            known = {variable.name for variable in variables()}
            report["unknown"] = sorted(
                name
                for name in os.environ
                if name.startswith("THEBOX_") and name not in known and name not in _OWN
            )
            lines = [f"{named or 'no parameter file (THEBOX_CONFIG)'}, {env_file()}: well"]
            for name in report["unknown"]:  # type: ignore[attr-defined]
                near = difflib.get_close_matches(name, known, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                lines.append(f"the environment's {name} sets nothing{meant}")
            if options.action == "show":
                lines = [f"{name}={value}" for name, value in shown.items()]
                lines += [
                    f"{node}.{name} = {value!r}"
                    for node, given in sorted(values.items())
                    for name, value in sorted(given.items())
                ]
    except SettingsError as error:
        if options.json:
            print(json.dumps({"problems": str(error).splitlines()}, indent=1))
        else:
            print(f"config: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"config: cannot read or write {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    print(json.dumps(report, indent=1) if options.json else "\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
