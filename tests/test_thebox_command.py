# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""`./thebox` itself, run for real in a copy of the repository's command and scripts.

The set-up itself is run against a distribution made of the ROS that these tests run on and lock
files of two small packages written here, so that a whole set-up takes seconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BOUND = 100.0  # seconds for one ./thebox; a set-up here takes about ten
COMMANDS = ("up", "down", "test", "build", "shell", "run", "doctor")
CLOSED_PORT_INDEX = "http://127.0.0.1:9/simple"


def base_python() -> str:
    """Return the interpreter behind the environment that these tests run in."""
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def plain_environment() -> dict[str, str]:
    """Return the variables of a shell in which no ROS and no ./thebox is known."""
    dropped = ("THEBOX", "ROS_", "AMENT", "CMAKE_", "COLCON", "PIP_", "PYTHON", "_ROS_", "RMW_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    for name in ("VIRTUAL_ENV", "LD_LIBRARY_PATH", "MAKEFLAGS"):
        kept.pop(name, None)
    ours = {str(Path(sys.prefix) / "bin"), str(ROOT / "install")}
    kept["PATH"] = os.pathsep.join(
        entry for entry in os.environ["PATH"].split(os.pathsep) if entry not in ours
    )
    kept["PIP_CONFIG_FILE"] = os.devnull
    kept["PIP_NO_CACHE_DIR"] = "1"
    kept["THEBOX_PIP_RETRIES"] = "1"
    kept["THEBOX_PYTHON"] = base_python()
    return kept


@dataclass
class Box:
    """A copy of the command, with the environment it is run in."""

    root: Path
    env: dict[str, str]

    def start(self, *arguments: str, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.root / "thebox"), *arguments],
            env={**self.env, **changes},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=self.root,
        )

    def __call__(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **changes)
        try:
            out, err = process.communicate(timeout=BOUND)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def copy_of_the_command(root: Path) -> Path:
    """Copy what ./thebox consists of."""
    root.mkdir(parents=True, exist_ok=True)
    for name in ("thebox", "colcon.meta"):
        shutil.copy2(ROOT / name, root / name)
    for name in ("scripts", "locks"):
        shutil.copytree(ROOT / name, root / name)
    return root


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """Return a copy that finds no distribution: it would set up from the wheels."""
    env = plain_environment()
    env["THEBOX_ROS_ROOT"] = str(tmp_path / "no-distribution")
    return Box(copy_of_the_command(tmp_path / "box"), env)


def make_wheel(
    folder: Path, name: str, content: bytes = b"LOADED = True\n", copies: int = 1
) -> str:
    """Write a wheel of one package and return the lock line that pins it with its hash."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    members = {f"{name}/__init__.py": content}
    members |= {f"{name}/part_{n}.bin": content for n in range(1, copies)}
    members[f"{name}-1.0.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
    )
    members[f"{name}-1.0.dist-info/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = f"{name}-1.0.dist-info/RECORD"
    listing = "".join(f"{member},,\n" for member in [*members, record])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, data in members.items():
            wheel.writestr(member, data)
        wheel.writestr(record, listing)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{name}==1.0 --hash=sha256:{digest}\n"


def add_python_package(folder: Path, name: str, setup: str = "") -> Path:
    """Write a small ament_python package with one data file."""
    package = folder / name
    (package / name).mkdir(parents=True)
    (package / "resource").mkdir()
    (package / "resource" / name).write_text("")
    (package / name / "__init__.py").write_text("ANSWER = 1\n")
    (package / "settings.yaml").write_text("a: 1\n")
    (package / "package.xml").write_text(
        textwrap.dedent(f"""\
        <?xml version="1.0"?>
        <package format="3">
          <name>{name}</name>
          <version>0.1.0</version>
          <description>For a test.</description>
          <maintainer email="test@thebox.example">test</maintainer>
          <license>Apache-2.0</license>
          <export><build_type>ament_python</build_type></export>
        </package>
        """)
    )
    (package / "setup.cfg").write_text(
        f"[develop]\nscript_dir=$base/lib/{name}\n[install]\ninstall_scripts=$base/lib/{name}\n"
    )
    (package / "setup.py").write_text(
        setup
        + textwrap.dedent(f"""\
        from setuptools import setup
        setup(
            name="{name}",
            version="0.1.0",
            packages=["{name}"],
            data_files=[
                ("share/ament_index/resource_index/packages", ["resource/{name}"]),
                ("share/{name}", ["package.xml", "settings.yaml"]),
            ],
        )
        """)
    )
    return package


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder like /opt/ros whose one release is the ROS that these tests run on."""
    rclpy = pytest.importorskip("rclpy", reason="a set-up for real needs ROS: use ./thebox test")
    release = os.environ.get("ROS_DISTRO", "jazzy")
    site = Path(rclpy.__file__).parents[1]
    prefix = Path(sys.prefix) if (Path(sys.prefix) / "share/rclpy").is_dir() else site.parents[2]
    folder = tmp_path_factory.mktemp("opt-ros")
    (folder / release).mkdir()
    lines = {
        "ROS_DISTRO": release,
        "ROS_VERSION": "2",
        "ROS_PYTHON_VERSION": "3",
        "AMENT_PREFIX_PATH": str(prefix),
        "CMAKE_PREFIX_PATH": str(prefix),
        "PYTHONPATH": str(site),
        "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
        "PATH": f"$PATH:{prefix / 'bin'}",
    }
    setup = "".join(f'export {name}="{value}"\n' for name, value in lines.items())
    # As the real ones do, it reads a variable that is not set: `set -u` must not end ./thebox.
    (folder / release / "setup.bash").write_text(setup + 'true "$AMENT_SHELL_UNSET"\n')
    (folder / release / "share/rclpy").mkdir(parents=True)
    return folder


def box_on(distribution: Path, root: Path, copies: int = 1) -> Box:
    """Return a copy set on the distribution, with lock files of two small wheels."""
    copy_of_the_command(root)
    wheels = root.parent / f"{root.name}-wheels"
    wheels.mkdir()
    product = make_wheel(wheels, "boxproduct", copies=copies)
    extra = make_wheel(wheels, "boxtest")
    (root / "locks/distribution-product.txt").write_text(product)
    (root / "locks/distribution-test.txt").write_text(extra)
    (root / "locks/distribution-bench.txt").write_text("")
    env = plain_environment()
    env |= {
        "THEBOX_ROS_ROOT": str(distribution),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "THEBOX_SPACE_NEEDED_MB": "1",
    }
    return Box(root, env)


def environment_of(box: Box) -> Path:
    """Return the environment's folder, which differs between the releases."""
    found = [box.root / ".venv", *box.root.glob(".thebox/*/venv")]
    return next(path for path in found if path.is_dir())


@pytest.fixture(scope="module")
def ready(distribution: Path, tmp_path_factory: pytest.TempPathFactory) -> Box:
    """Return a copy that was set up and built once: one package, one stand-in, one surplus one."""
    box = box_on(distribution, tmp_path_factory.mktemp("ready") / "box")
    add_python_package(box.root / "src", "box_package")
    add_python_package(box.root / "compat", "box_standin")
    add_python_package(box.root / "compat", "std_msgs")  # the distribution has the real one
    done = box("build")
    assert done.returncode == 0, done.stderr
    assert "set-up done" in done.stderr
    return box


# ---- the command line ------------------------------------------------------------------------


def test_help_names_every_command(box: Box) -> None:
    done = box("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_that_sets_nothing_up(box: Box, command: str) -> None:
    done = box(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: ./thebox {command}")
    assert not (box.root / ".venv").exists()
    assert not (box.root / ".thebox").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "'fly' is not a command"),
        (["up down"], "is not a command"),
        ([], "usage: ./thebox"),
        (["run"], "run needs a command"),
        (["shell", "now"], "shell takes no arguments"),
        (["up", "--replay"], "--replay needs a FILE"),
    ],
)
def test_a_wrong_command_line_ends_with_2(box: Box, arguments: list[str], message: str) -> None:
    done = box(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (box.root / ".venv").exists()


def test_an_unknown_check_is_named(box: Box) -> None:
    done = box("test", THEBOX_CHECKS="spelling")
    assert done.returncode == 2
    assert "'spelling' is not one of" in done.stderr


def test_a_missing_capture_is_named_before_anything_is_set_up(box: Box) -> None:
    done = box("up", "--replay", "not/there.txt")
    assert done.returncode == 1
    assert "not/there.txt: no such file" in done.stderr
    assert not (box.root / ".venv").exists()


# ---- machines on which it cannot work ----------------------------------------------------------


def test_arm_without_a_distribution(box: Box) -> None:
    done = box("build", THEBOX_MACHINE="aarch64")
    assert done.returncode == 1
    assert "this machine is aarch64" in done.stderr
    assert "ros-jazzy-ros-base" in done.stderr
    assert not (box.root / ".venv").exists()


def test_an_unknown_release(box: Box) -> None:
    done = box("build", THEBOX_ROS="humble")
    assert done.returncode == 1
    assert "jazzy and kilted" in done.stderr


def test_another_distribution_that_is_sourced(box: Box) -> None:
    done = box("build", ROS_DISTRO="humble", AMENT_PREFIX_PATH="/opt/ros/humble")
    assert done.returncode == 1
    assert "ROS 2 humble is sourced" in done.stderr
    assert "THEBOX_ROS_FROM=wheels" in done.stderr


def test_wrong_python(box: Box, tmp_path: Path) -> None:
    fake = tmp_path / "python3.9"
    fake.write_text("#!/bin/sh\necho 3.9.18 /usr/bin/python3.9\n")
    fake.chmod(0o755)
    done = box("build", THEBOX_PYTHON=str(fake))
    assert done.returncode == 1
    assert "is Python 3.9.18; TheBox needs 3.10 to 3.13" in done.stderr
    done = box("build", THEBOX_PYTHON=str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "does not run as a Python" in done.stderr
    assert not (box.root / ".venv").exists()


def test_too_little_space(box: Box) -> None:
    done = box("build", THEBOX_SPACE_NEEDED_MB="999999999")
    assert done.returncode == 1
    assert "the environment needs 999999999 MB" in done.stderr
    assert not (box.root / ".venv").exists()


def test_no_network(box: Box) -> None:
    done = box("build", PIP_INDEX_URL=CLOSED_PORT_INDEX)
    assert done.returncode == 1
    assert "package index cannot be reached" in done.stderr
    assert "goes on where it stopped" in done.stderr
    report = json.loads(box("doctor", "--json").stdout)
    assert report["facts"]["workspace"]["jazzy"]["environment"] == "half-made"
    # What is there is not taken for an environment.
    later = box("run", "true", THEBOX_NO_BUILD="1")
    assert later.returncode == 1
    assert "nothing is built yet" in later.stderr


def path_without(folder: Path, hidden: set[str]) -> str:
    """Return a PATH of links to this machine's commands, less the hidden ones."""
    folder.mkdir()
    for place in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for entry in Path(place).iterdir():
            link = folder / entry.name
            if entry.name not in hidden and not link.is_symlink():
                link.symlink_to(entry)
    return str(folder)


def test_missing_compiler_says_the_exact_command(box: Box, tmp_path: Path) -> None:
    path = path_without(tmp_path / "bin", {"cc", "c++", "gcc", "g++"})
    done = box("build", PATH=path, THEBOX_APT="no")
    assert done.returncode == 1
    assert "a C/C++ compiler is missing" in done.stderr
    assert "sudo sh -c 'apt-get update && apt-get install -y build-essential'" in done.stderr
    assert not (box.root / ".venv").exists()


def test_missing_compiler_is_installed_by_root(box: Box, tmp_path: Path) -> None:
    path = Path(path_without(tmp_path / "bin", {"cc", "c++", "apt-get", "id"}))
    for name, text in {
        "id": "echo 0",
        "apt-get": f'echo "$@" >>{tmp_path}/apt\n[ "$1" = update ] || '
        f"{{ ln -s /usr/bin/true {path}/cc; ln -s /usr/bin/true {path}/c++; }}",
    }.items():
        (path / name).write_text(f"#!/bin/sh\n{text}\n")
        (path / name).chmod(0o755)
    done = box("build", PATH=str(path), PIP_INDEX_URL=CLOSED_PORT_INDEX)
    assert "installing build-essential with apt" in done.stderr
    asked = (tmp_path / "apt").read_text().splitlines()
    assert asked[0].startswith("update")
    assert asked[1].endswith("build-essential")
    assert "step 2 of 4" in done.stderr  # it went on


# ---- set-up and build, for real ----------------------------------------------------------------


def test_nothing_changed_does_nothing(ready: Box) -> None:
    done = ready("build")
    assert done.returncode == 0, done.stderr
    assert "step" not in done.stderr
    assert "packages with colcon" not in done.stderr


def test_run_passes_output_and_exit_code_on(ready: Box) -> None:
    done = ready("run", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert done.stderr.endswith("err\n")
    assert ready("run", "no-such-command-here").returncode == 127


def test_run_sees_the_workspace_and_the_locked_packages(ready: Box) -> None:
    code = (
        "import boxproduct, box_package, box_standin, rclpy, sys; "
        "print(box_package.__file__, sys.prefix)"
    )
    done = ready("run", "python", "-c", code)
    assert done.returncode == 0, done.stderr
    module, prefix = done.stdout.split()
    assert Path(module).resolve() == ready.root / "src/box_package/box_package/__init__.py"
    assert Path(prefix) == environment_of(ready)


def test_a_standin_is_built_only_when_the_real_one_is_absent(ready: Box) -> None:
    code = "import os; print(os.environ['AMENT_PREFIX_PATH'])"
    prefixes = ready("run", "python", "-c", code).stdout.strip().split(":")
    assert any(prefix.endswith("/box_standin") for prefix in prefixes)
    assert not any(prefix.endswith("/std_msgs") for prefix in prefixes)


def test_inside_its_own_shell_the_same_environment_is_used(ready: Box) -> None:
    done = ready("run", str(ready.root / "thebox"), "run", "sh", "-c", "echo $VIRTUAL_ENV")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(environment_of(ready))
    assert "step" not in done.stderr


def test_only_what_needs_it_is_built_again(ready: Box) -> None:
    module = ready.root / "src/box_package/box_package/__init__.py"
    module.write_text("ANSWER = 2\n")
    done = ready("run", "python", "-c", "import box_package; print(box_package.ANSWER)")
    assert done.stdout == "2\n"
    assert "packages with colcon" not in done.stderr
    settings = ready.root / "src/box_package/settings.yaml"
    settings.write_text("a: 2\n")
    assert "packages with colcon" in ready("build").stderr
    assert "packages with colcon" not in ready("build").stderr


def test_a_package_that_does_not_build_is_shown(ready: Box) -> None:
    broken = add_python_package(
        ready.root / "src", "box_broken", 'raise RuntimeError("the reason it gave")\n'
    )
    try:
        done = ready("build")
        assert done.returncode == 1
        assert "the build failed" in done.stderr
        assert "box_broken" in done.stderr
        assert "the reason it gave" in done.stderr, done.stderr
    finally:
        shutil.rmtree(broken)
    done = ready("build")
    assert done.returncode == 0, done.stderr


def test_a_second_one_waits_for_the_first(ready: Box) -> None:
    with (ready.root / ".thebox/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = ready.start("run", "echo", "went on")
        assert process.stderr is not None
        assert "waiting for it" in process.stderr.readline()
        assert process.poll() is None
    out, err = process.communicate(timeout=BOUND)
    assert (process.returncode, out) == (0, "went on\n"), err


def test_a_half_unpacked_package_is_mended(ready: Box) -> None:
    environment = environment_of(ready)
    (site,) = environment.glob("lib/python3.*/site-packages")
    # What a kill between unpacking and pip's last file leaves behind.
    (site / "boxproduct/__init__.py").unlink()
    (site / "boxproduct-1.0.dist-info/INSTALLER").unlink()
    (environment / ".thebox/product").unlink()
    done = ready("run", "python", "-c", "import boxproduct; print(boxproduct.LOADED)")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"
    assert "step 2 of 4" in done.stderr


def test_what_left_the_lock_leaves_the_environment(ready: Box) -> None:
    lock = ready.root / "locks/distribution-product.txt"
    before = lock.read_text()
    wheels = Path(ready.env["PIP_FIND_LINKS"])
    lock.write_text(before + make_wheel(wheels, "boxlater"))
    assert ready("run", "python", "-c", "import boxlater").returncode == 0
    lock.write_text(before)
    done = ready("run", "python", "-c", "import boxlater")
    assert "packages with colcon" not in done.stderr  # no compiled code depends on it
    assert "no longer needed: boxlater" in done.stderr
    assert "ModuleNotFoundError" in done.stderr
    assert ready("run", "python", "-c", "import boxproduct").returncode == 0


def test_a_file_that_does_not_match_its_hash_is_refused(ready: Box) -> None:
    lock = ready.root / "locks/distribution-product.txt"
    before = lock.read_text()
    wheels = Path(ready.env["PIP_FIND_LINKS"])
    line = make_wheel(wheels, "boxforged")
    lock.write_text(before + line[:-5] + "0000\n")
    try:
        done = ready("build")
        assert done.returncode == 1
        assert "is not the one that the lock file names" in done.stderr
    finally:
        lock.write_text(before)
    assert ready("build").returncode == 0


def test_an_interrupted_set_up_goes_on(distribution: Path, tmp_path: Path) -> None:
    box = box_on(distribution, tmp_path / "box", copies=3000)
    process = box.start("build")
    ends = time.monotonic() + BOUND
    # In the middle of pip's unpacking: some of the package's files are there.
    while not any(box.root.glob("**/site-packages/boxproduct")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (environment_of(box) / ".thebox/product").exists()
    done = box("run", "python", "-c", "import boxproduct; print(boxproduct.__path__[0])")
    assert done.returncode == 0, done.stderr
    assert "step 2 of 4" in done.stderr
    assert len(list(Path(done.stdout.strip()).glob("part_*.bin"))) == 2999


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 120 MB; skip where that is not allowed."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up(distribution: Path, small_disk: Path) -> None:
    box = box_on(distribution, small_disk / "box")
    wheels = Path(box.env["PIP_FIND_LINKS"])
    large = make_wheel(wheels, "boxlarge", content=b"\0" * (150 << 20))
    lock = box.root / "locks/distribution-product.txt"
    small = lock.read_text()
    lock.write_text(small + large)
    done = box("build")
    assert done.returncode == 1
    assert "the disk filled up" in done.stderr
    assert not list(box.root.glob("**/site-packages"))
    lock.write_text(small)
    done = box("run", "python", "-c", "import boxproduct")
    assert done.returncode == 0, done.stderr


# ---- doctor ------------------------------------------------------------------------------------


def test_doctor_says_that_up_could_work(ready: Box) -> None:
    done = ready("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "./thebox up can work here" in done.stdout
    for subject in ("system", "cores", "memory", "disk", "python", "ros", "ports", "sockets"):
        assert f" {subject} " in done.stdout


def test_doctor_says_when_up_could_not_work(box: Box) -> None:
    done = box("doctor", "--json", THEBOX_MACHINE="aarch64")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["up_could_work"] is False
    stops = [finding for finding in report["findings"] if finding["level"] == "blocking"]
    assert [finding["subject"] for finding in stops] == ["ros"]
    assert "x86-64" in stops[0]["text"]
    assert stops[0]["todo"]


def test_doctor_names_who_holds_a_port(box: Box) -> None:
    ports = json.loads(box("doctor", "--json").stdout)["facts"]["ports"]
    free = next(one for one in ports if one["protocol"] == "udp" and one["owner"] is None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", free["port"]))
        report = json.loads(box("doctor", "--json").stdout)
    now = next(one for one in report["facts"]["ports"] if one["port"] == free["port"])
    assert f"(pid {os.getpid()})" in now["owner"]
    assert any(f"udp {free['port']}" in finding["text"] for finding in report["findings"])


# ---- the Python parts --------------------------------------------------------------------------


def test_the_rules_between_packages_are_enforced(box: Box) -> None:
    for name in ("thebox_fusion", "thebox_sensors", "thebox_core"):
        add_python_package(box.root / "src", name)
    command = [sys.executable, str(box.root / "scripts/python/imports.py")]
    done = subprocess.run([*command, "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    fusion = box.root / "src/thebox_fusion/thebox_fusion"
    (fusion / "node.py").write_text("import rclpy\nfrom thebox_sensors import ANSWER\n")
    (fusion / "tracker").mkdir()
    (fusion / "tracker/__init__.py").write_text("from ..node import rclpy\n")
    (fusion / "maths.py").write_text("from . import ANSWER\n")
    done = subprocess.run([*command, "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "thebox_fusion/node.py:2: thebox_fusion must not import thebox_sensors" in done.stderr
    assert "tracker/__init__.py: needs ROS through another module" in done.stderr
    listed = subprocess.run(
        [*command, "list"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "src/thebox_fusion/thebox_fusion/maths.py" in listed
    assert "src/thebox_fusion/thebox_fusion/node.py" not in listed


def test_this_workspace_keeps_the_rules() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/python/imports.py"), "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_cmake_files_are_pointed_at_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    share = tmp_path / "share/package/cmake"
    share.mkdir(parents=True)
    theirs = "/opt/python/cp311-cp311"
    (share / "a.cmake").write_text(
        f'set(x "{theirs}/include/python3.11;'
        f'{theirs}/lib/python3.11/site-packages/numpy/_core/include;/usr/include")'
    )
    command = [sys.executable, str(ROOT / "scripts/python/relocate_cmake.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folders = (share / "a.cmake").read_text().split('"')[1].split(";")
    assert (Path(folders[0]) / "Python.h").is_file()
    assert (Path(folders[1]) / "numpy/arrayobject.h").is_file()
    assert folders[2] == "/usr/include"

    (share / "b.cmake").write_text(f'set(y "{theirs}/lib/libunknown.so")')
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "b.cmake" in done.stderr


def test_every_lock_line_is_pinned_and_hashed_and_names_no_host() -> None:
    locks = sorted((ROOT / "locks").glob("*.txt"))
    by_release = [
        f"{release}-{kind}"
        for release in ("jazzy", "kilted", "distribution")
        for kind in ("product", "test", "bench")
    ]
    assert [path.stem for path in locks] == sorted(["audit", *by_release])
    for path in locks:
        text = path.read_text()
        assert "://" not in text
        entries = text.replace("\\\n", " ").splitlines()
        pinned = [line for line in entries if line and not line.startswith("#")]
        assert pinned, path
        for line in pinned:
            name, _, rest = line.partition("==")
            assert rest and name.isascii() and " " not in name, line[:80]
            assert "--hash=sha256:" in line, line[:80]
