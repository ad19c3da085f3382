# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Scenarios: YAML files that say what is in the sky and which sensors look at it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from thebox_sim.config import ScenarioError, Section, read_settings, setting
from thebox_sim.flight import BODIES
from thebox_sim.geometry import Datum
from thebox_sim.radio import EmitterSpec, Propagation
from thebox_sim.sensors import SETTINGS
from thebox_sim.world import MotionSpec, ObjectSpec, OwnShipSpec, WorldSpec

__all__ = ["Scenario", "ScenarioError", "find_scenario", "load_scenario", "scenario_names"]


@dataclass(frozen=True)
class _DatumSettings:
    latitude_deg: float = setting(
        doc="WGS-84 latitude of the map's origin, degrees", minimum=-89.9, maximum=89.9
    )
    longitude_deg: float = setting(
        doc="WGS-84 longitude of the map's origin, degrees", minimum=-180.0, maximum=180.0
    )
    altitude_m: float = setting(
        0.0, doc="ellipsoidal height of the map's origin", minimum=-500.0, maximum=9000.0
    )


@dataclass(frozen=True)
class _TopSettings:
    name: str = setting(doc="name of the scenario, as its file's")
    description: str = setting(doc="what happens, for people")
    step_s: float = setting(0.05, doc="step of the world in seconds", minimum=0.005, maximum=0.2)
    duration_s: float = setting(
        300.0, doc="how long the story is; the sky itself goes on", minimum=1.0, maximum=86400.0
    )


@dataclass(frozen=True)
class Scenario:
    """A sky: its world and its sensors' settings by name (only those that are enabled)."""

    name: str
    description: str
    duration_s: float
    world: WorldSpec
    sensors: dict[str, Any] = field(default_factory=dict)

    def with_datum(self, datum: Datum) -> Scenario:
        """Return the same scenario played around another place."""
        return dataclasses.replace(self, world=dataclasses.replace(self.world, datum=datum))


def scenario_folder() -> Path:
    """Return the folder of the scenarios that come with the package.

    The source tree has it beside the module; an installed package in its ament share folder.
    """
    beside = Path(__file__).resolve().parent.parent / "scenarios"
    if beside.is_dir():
        return beside
    try:
        from ament_index_python.packages import (  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415
            PackageNotFoundError,
            get_package_share_directory,
        )
    except ImportError as error:
        raise ScenarioError(
            "the scenario files are not beside the module and there is no ament index to find "
            "them in; source the workspace's install/setup.bash or give the path of a file"
        ) from error
    try:
        return Path(get_package_share_directory("thebox_sim")) / "scenarios"
    except PackageNotFoundError as error:
        raise ScenarioError(
            "package thebox_sim is not in the ament index; source the workspace's "
            "install/setup.bash or give the path of a scenario file"
        ) from error


def scenario_names() -> list[str]:
    """Return the names of the scenarios that come with the package."""
    return sorted(path.stem for path in scenario_folder().glob("*.yaml"))


def find_scenario(name_or_path: str) -> Path:
    """Return the file of a scenario, given by name or by path.

    :raises ScenarioError: when there is none; lists those that there are.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.parent != Path():
        if path.is_file():
            return path
        raise ScenarioError(f"{name_or_path}: no such scenario file")
    found = scenario_folder() / f"{name_or_path}.yaml"
    if found.is_file():
        return found
    raise ScenarioError(
        f"no scenario '{name_or_path}'; there are: {', '.join(scenario_names())}; "
        "or give the path of a .yaml file"
    )


def load_scenario(name_or_path: str) -> Scenario:
    """Read and check a scenario, given by name or by path.

    :raises ScenarioError: names the file, the key and what is wrong with it.
    """
    path = find_scenario(name_or_path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path.name}: is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ScenarioError(f"{path.name}: must be a mapping with at least 'name' and 'datum'")
    return parse_scenario(content, path.name)


def parse_scenario(content: dict[str, Any], file: str) -> Scenario:
    """Check the content of a scenario file.

    :param file: its name, for error messages.
    :raises ScenarioError: names the file, the key and what is wrong with it.
    """
    top = Section(file, "", content)
    parts = ("datum", "own_ship", "objects", "propagation", "sensors")
    settings = read_settings(_TopSettings, top, ignore=parts)
    datum = read_settings(_DatumSettings, top.section("datum", required=True))
    world = WorldSpec(
        datum=Datum(datum.latitude_deg, datum.longitude_deg, datum.altitude_m),
        own_ship=_own_ship(top.section("own_ship")),
        objects=_objects(top),
        propagation=read_settings(Propagation, top.section("propagation")),
        step_s=settings.step_s,
    )
    sensors_section = top.section("sensors")
    sensors_section.check_keys(SETTINGS)
    sensors = {}
    for name, cls in SETTINGS.items():
        if name in sensors_section.content:
            sensor: Any = read_settings(cls, sensors_section.section(name))
            if sensor.enabled:
                sensors[name] = sensor
    return Scenario(settings.name, settings.description, settings.duration_s, world, sensors)


def _own_ship(section: Section) -> OwnShipSpec:
    spec = read_settings(OwnShipSpec, section)
    if spec.type == "waypoints" and len(spec.points) < 2:
        raise section.error("points", "a moving own-ship needs at least two waypoints")
    return spec


def _objects(top: Section) -> tuple[ObjectSpec, ...]:
    specs: list[ObjectSpec] = []
    seen: set[str] = set()
    for section in top.sections("objects"):
        spec = read_settings(ObjectSpec, section, ignore=("motion", "emitters"))
        if spec.id in seen:
            raise section.error("id", f"'{spec.id}' is there twice")
        seen.add(spec.id)
        if spec.leaves_s <= spec.appears_s:
            raise section.error("leaves_s", "must be later than appears_s")
        motion = _motion(section.section("motion", required=True), BODIES[spec.body].hovers)
        emitters = []
        for part in section.sections("emitters"):
            emitter = read_settings(EmitterSpec, part)
            if emitter.key and spec.count > 1:
                raise part.error("key", "the members of a group cannot share one key; leave it out")
            if emitter.stops_s <= emitter.starts_s:
                raise part.error("stops_s", "must be later than starts_s")
            emitters.append(emitter)
        specs.append(dataclasses.replace(spec, motion=motion, emitters=tuple(emitters)))
    return tuple(specs)


def _motion(section: Section, hovers: bool) -> MotionSpec:
    spec = read_settings(MotionSpec, section)
    if spec.type == "waypoints":
        if not spec.points:
            raise section.error("points", "a waypoint motion needs a list of [east, north, up]")
        for first, second in itertools.pairwise(spec.points):
            if math.dist(first, second) < 1.0:
                raise section.error("points", f"{list(first)} is there twice in a row")
    elif not spec.centre:
        raise section.error("centre", f"a motion of type '{spec.type}' needs [east, north, up]")
    if spec.type == "flapping" and hovers:
        raise section.error("type", "a body that hovers cannot flap; choose gull or goose as body")
    return spec
