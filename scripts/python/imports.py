# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Who imports whom under src/: the rules of the house, checked from the source itself.

``imports.py list``   the modules that need no ROS, directly or through what they import; these are
                      the ones that `mypy --strict` covers
``imports.py check``  exit code 1 when a module breaks a rule:

- protocol and algorithm code (``protocol*.py``, ``tracker/``, ``metrics/``) imports no ROS;
- the arrows between the packages point one way.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ROS_PACKAGES = frozenset(
    {
        "ament_index_python",
        "cv_bridge",
        "diagnostic_updater",
        "launch",
        "launch_ros",
        "rclpy",
        "ros2cli",
        "rosbag2_py",
        "rosidl_runtime_py",
        "tf2_ros",
        "thebox_interfaces",
    }
)
ROS_SUFFIXES = ("_msgs", "_interfaces", "_srvs")

# What a package of the workspace may import of the others.
MAY_IMPORT = {
    "thebox_core": frozenset[str](),
    "thebox_sensors": frozenset({"thebox_core"}),
    "thebox_fusion": frozenset({"thebox_core"}),
    "thebox_vision": frozenset({"thebox_core"}),
    "thebox_webui": frozenset({"thebox_core"}),
    "thebox_sim": frozenset({"thebox_core"}),
    "thebox_bringup": frozenset(
        {"thebox_core", "thebox_sensors", "thebox_fusion", "thebox_vision", "thebox_webui"}
    ),
}


def is_ros(module: str) -> bool:
    """Tell whether ``module`` belongs to a ROS package."""
    top = module.partition(".")[0]
    return top in ROS_PACKAGES or top.endswith(ROS_SUFFIXES)


def module_name(path: Path) -> str:
    """Return the dotted name of a file at src/PACKAGE/PACKAGE/…/name.py."""
    parts = list(path.relative_to(ROOT / "src").with_suffix("").parts[1:])
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def with_parents(module: str) -> set[str]:
    """Return ``module`` and the packages whose __init__ runs when it is imported."""
    parts = module.split(".")
    return {".".join(parts[: n + 1]) for n in range(len(parts))}


def imported_by(path: Path, name: str) -> dict[str, int]:
    """Return each module that a file imports at run time, with its line."""
    found: dict[str, int] = {}
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    only_for_types: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            only_for_types.update(id(inner) for stmt in node.body for inner in ast.walk(stmt))
    for node in ast.walk(tree):
        if id(node) in only_for_types:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            found.setdefault(base, node.lineno)
            for alias in node.names:
                found.setdefault(f"{base}.{alias.name}", node.lineno)
    return found


def modules() -> dict[str, Path]:
    """Return the modules of every Python package under src/."""
    return {
        module_name(path): path
        for setup in sorted((ROOT / "src").glob("*/setup.py"))
        for path in sorted((setup.parent / setup.parent.name).rglob("*.py"))
    }


def needing_ros(files: dict[str, Path], imports: dict[str, dict[str, int]]) -> set[str]:
    """Return the modules that import ROS, directly or through another module of the workspace."""
    tainted = {name for name in files if any(is_ros(module) for module in imports[name])}
    while True:
        more = {
            name
            for name in files
            if name not in tainted
            and any(tainted & with_parents(module) for module in [name, *imports[name]])
        }
        if not more:
            return tainted
        tainted |= more


def is_core_of_the_work(path: Path) -> bool:
    """Tell whether a file is protocol or algorithm code, which has to be free of ROS."""
    return path.name.startswith("protocol") or bool({"tracker", "metrics"} & set(path.parts))


def broken_rules(files: dict[str, Path], imports: dict[str, dict[str, int]]) -> list[str]:
    """Return one line for each broken rule."""
    lines = []
    for name, path in files.items():
        where = path.relative_to(ROOT)
        own = name.partition(".")[0]
        for module, line in imports[name].items():
            top = module.partition(".")[0]
            if is_core_of_the_work(path) and is_ros(module):
                lines.append(f"{where}:{line}: imports {module}: this code must run without ROS")
            if top in MAY_IMPORT and top != own and top not in MAY_IMPORT.get(own, frozenset()):
                lines.append(f"{where}:{line}: {own} must not import {top}")
    tainted = needing_ros(files, imports)
    lines += [
        f"{files[name].relative_to(ROOT)}: needs ROS through another module of the workspace"
        for name in sorted(tainted)
        if is_core_of_the_work(files[name]) and not any(is_ros(m) for m in imports[name])
    ]
    return sorted(set(lines))


def main() -> int:
    """Run the command named on the command line."""
    files = modules()
    imports = {name: imported_by(path, name) for name, path in files.items()}
    command = sys.argv[1:]
    if command == ["list"]:
        free = set(files) - needing_ros(files, imports)
        for path in sorted(files[name] for name in free):
            print(path.relative_to(ROOT))
        for path in sorted((ROOT / "scripts" / "python").glob("*.py")):
            if path.name != "check_environment.py":
                print(path.relative_to(ROOT))
        return 0
    if command == ["check"]:
        lines = broken_rules(files, imports)
        for line in lines:
            print(line, file=sys.stderr)
        print(f"imports: {len(files)} modules, {len(lines)} broken rules")
        return 1 if lines else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
