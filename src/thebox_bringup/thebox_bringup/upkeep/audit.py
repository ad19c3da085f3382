# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox audit``: known vulnerabilities, insecure code, bill of materials. No ROS.

The tools are in an environment of their own, installed on demand from ``locks/audit.txt``. A part
that cannot reach its advisories says "not checked": never "passed".
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from thebox_bringup.upkeep.archive import digest
from thebox_bringup.upkeep.inventory import workspace

__all__ = ["FOUND", "NOT_CHECKED", "PASSED", "Part", "main", "parser"]

PASSED, FOUND, NOT_CHECKED = "passed", "found", "not checked"
_PATIENCE = 600.0
PARTS = ("pip-audit", "bandit", "npm-audit", "sbom")


@dataclass
class Part:
    """What came of one part of the audit."""

    name: str
    outcome: str
    summary: str
    findings: list[str] = field(default_factory=list)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox audit",
        description="Look for known vulnerabilities (pip-audit, npm audit) and insecure code "
        "(bandit), and write the software bill of materials (CycloneDX). The first call installs "
        "the tools; the advisories need the network.",
        epilog="exit codes: 0 all checked and nothing found; 1 something found; 2 something given "
        "is wrong; 3 nothing found, but a part could not be checked",
    )
    made.add_argument(
        "--sbom", type=Path, default=Path("thebox-sbom.json"), metavar="FILE", help="to write"
    )
    made.add_argument(
        "--only", default=",".join(PARTS), metavar="A,B", help=f"of {', '.join(PARTS)}"
    )
    made.add_argument("--json", action="store_true", help="the outcome as JSON")
    return made


def _run(command: Sequence[str], **more: str | Path) -> subprocess.CompletedProcess[str]:
    # The workspace's own paths must not reach into the tools' environment.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        return subprocess.run(  # noqa: S603 - the tools of locks/audit.txt, and npm
            command,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            env=environment,
            cwd=more.get("cwd"),
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer in {_PATIENCE:.0f} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def tools(root: Path) -> Path:
    """Folder of the tools' programs, installed when they are not yet, or no longer the locked ones.

    Raises:
        OSError: they cannot be installed; the text says why.
    """
    lock = root / "locks" / "audit.txt"
    home = root / ".thebox" / "audit"
    stamp = home / ".lock"
    wanted = f"{digest(lock)} {sys.version_info[:2]}"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return home / "bin"
    print(f"installing the audit's tools into {home} …", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    done = _run(
        [
            str(home / "bin" / "python"),
            *("-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "-r", str(lock)),
        ]
    )
    if done.returncode:
        raise OSError(f"the tools cannot be installed: {_last(done.stderr)}")
    stamp.write_text(wanted, encoding="utf-8")
    return home / "bin"


def pip_audit(programs: Path, root: Path) -> Part:
    """Known vulnerabilities of the Python packages that run here."""
    name = "pip-audit"
    done = _run(
        [
            str(programs / "pip-audit"),
            *("--format", "json", "--progress-spinner", "off", "--timeout", "30"),
            *("--path", sysconfig.get_paths()["purelib"]),
        ],
        cwd=root,
    )
    try:
        told = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Part(name, NOT_CHECKED, f"the advisories cannot be read: {_last(done.stderr)}")
    findings = [
        f"{one['name']} {one['version']}: {hole['id']}"
        + (f", mended in {', '.join(hole['fix_versions'])}" if hole["fix_versions"] else "")
        for one in told
        for hole in one.get("vulns", ())
    ]
    skipped = [one["name"] for one in told if "skip_reason" in one]
    checked = len(told) - len(skipped)
    beside = f"; {len(skipped)} are not on the index and have no advisories" if skipped else ""
    if findings:
        return Part(name, FOUND, f"{len(findings)} in {checked} packages{beside}", findings)
    if not checked:
        return Part(name, NOT_CHECKED, f"no package could be looked up{beside}")
    return Part(name, PASSED, f"{checked} packages, none known to be vulnerable{beside}")


def bandit(programs: Path, root: Path) -> Part:
    """Insecure patterns in our own Python source."""
    name = "bandit"
    folders = [str(path) for path in sorted((root / "src").glob("*/*")) if _is_package(path)]
    folders += [str(root / "compat"), str(root / "scripts" / "python")]
    done = _run(
        [
            str(programs / "bandit"),
            *("--quiet", "--format", "json", "--recursive", "--severity-level", "medium"),
            *("--exclude", "*/test/*,*/node_modules/*", *folders),
        ],
        cwd=root,
    )
    try:
        told = json.loads(done.stdout)
        open_ = [one for one in told["results"] if not _reviewed(one)]
        findings = [
            f"{Path(one['filename']).relative_to(root)}:{one['line_number']}: {one['test_id']} "
            f"{one['issue_text']}"
            for one in open_
        ]
        reviewed = len(told["results"]) - len(open_)
        lines = int(told["metrics"]["_totals"]["loc"])
        unread = [str(one["filename"]) for one in told["errors"]]
    except (ValueError, KeyError, TypeError):
        return Part(name, NOT_CHECKED, f"bandit did not run: {_last(done.stderr)}")
    if unread or not lines:
        return Part(name, NOT_CHECKED, f"cannot read {', '.join(unread) or 'any source'}")
    if findings:
        return Part(name, FOUND, f"{len(findings)} in {lines} lines", findings)
    beside = f", beside {reviewed} that were reviewed in place" if reviewed else ""
    return Part(name, PASSED, f"{lines} lines, nothing of medium severity or more{beside}")


def _reviewed(finding: dict[str, Any]) -> bool:
    """Whether somebody looked: ruff has bandit's rules too, its exceptions are in the source."""
    source = Path(finding["filename"]).read_text(encoding="utf-8").splitlines()
    first, last = min(finding["line_range"]), max(finding["line_range"])
    number = finding["test_id"][1:]
    return any(
        re.search(rf"noqa:[^#]*\bS{number}\b", line) for line in source[first - 1 : last + 1]
    )


def _is_package(path: Path) -> bool:
    return (path / "__init__.py").is_file() and path.name != "test"


def npm_audit(programs: Path, root: Path) -> Part:
    """Known vulnerabilities of the panel's JavaScript packages."""
    name = "npm-audit"
    panel = root / "src" / "thebox_webui" / "panel"
    npm = shutil.which("npm")
    if npm is None or not (panel / "package-lock.json").is_file():
        return Part(name, NOT_CHECKED, "npm or the panel's lock file is not here")
    done = _run([npm, "audit", "--json", "--package-lock-only"], cwd=panel)
    try:
        told = json.loads(done.stdout)
        counted = told["metadata"]["dependencies"]["total"]
        findings = [
            f"{package}: {one['severity']} ({one['range']})"
            for package, one in told["vulnerabilities"].items()
        ]
    except (ValueError, KeyError, TypeError):
        said = ""
        try:
            said = str(json.loads(done.stdout).get("message", ""))
        except ValueError:
            said = _last(done.stderr)
        return Part(
            name, NOT_CHECKED, f"the advisories cannot be read: {said or 'no reason given'}"
        )
    if findings:
        return Part(name, FOUND, f"{len(findings)} of {counted} packages", findings)
    return Part(name, PASSED, f"{counted} packages, none known to be vulnerable")


def sbom(programs: Path, root: Path, target: Path) -> Part:
    """Write the bill of materials of the environment that runs here."""
    name = "sbom"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "sbom.json"
        done = _run(
            [
                str(programs / "cyclonedx-py"),
                *("environment", "--output-format", "JSON", "--output-file", str(made)),
                sys.executable,
            ],
            cwd=root,
        )
        try:
            text = made.read_text(encoding="utf-8")
            count = len(json.loads(text)["components"])
        except (OSError, ValueError, KeyError):
            return Part(name, NOT_CHECKED, f"cyclonedx-py did not run: {_last(done.stderr)}")
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        return Part(name, NOT_CHECKED, f"cannot write {target}: {error.strerror}")
    return Part(name, PASSED, f"{count} components in {target}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)
    wanted = [part.strip() for part in options.only.split(",") if part.strip()]
    unknown = [part for part in wanted if part not in PARTS]
    if unknown or not wanted:
        parser().error(f"--only {options.only}: the parts are {', '.join(PARTS)}")
    root = workspace()
    target = options.sbom.absolute()
    checks: dict[str, Callable[[Path], Part]] = {
        "pip-audit": lambda programs: pip_audit(programs, root),
        "bandit": lambda programs: bandit(programs, root),
        "npm-audit": lambda programs: npm_audit(programs, root),
        "sbom": lambda programs: sbom(programs, root, target),
    }
    try:
        programs = tools(root)
        lacking = ""
    except (OSError, subprocess.SubprocessError) as error:
        programs, lacking = Path(), str(error)
    parts = [
        Part(name, NOT_CHECKED, lacking)
        if lacking and name != "npm-audit"
        else checks[name](programs)
        for name in wanted
    ]
    outcomes = {part.outcome for part in parts}
    status = 1 if FOUND in outcomes else 3 if NOT_CHECKED in outcomes else 0
    if options.json:
        print(json.dumps({"status": status, "parts": [asdict(part) for part in parts]}, indent=1))
        return status
    for part in parts:
        print(f"  {part.outcome:<12}{part.name}: {part.summary}")
        for finding in part.findings:
            print(f"                {finding}")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
