# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The vision node's parameters, and the rules made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from thebox_core.parameters import Parameter
from thebox_vision.cueing import CueRules
from thebox_vision.verification import Rules

__all__ = ["VISION_PARAMETERS", "cue_rules", "rules"]


def _number(  # noqa: PLR0917 - the columns of a table
    name: str, default: float, low: float, high: float, unit: str, description: str
) -> Parameter:
    return Parameter(name, default, description, minimum=low, maximum=high, unit=unit)


VISION_PARAMETERS = (
    Parameter(
        "model.path",
        "",
        "Detector: an ONNX file, or .pt or .engine for ultralytics; empty: the shipped model.",
    ),
    Parameter(
        "model.provider",
        "cpu",
        "What runs the model.",
        choices=("cpu", "cuda", "tensorrt"),
    ),
    _number("model.threads", 1, 1, 64, "threads", "CPU threads of one inference."),
    _number("model.size", 640, 64, 2048, "pixels", "Longer side of a picture in the network."),
    _number("model.score", 0.25, 0.01, 1.0, "", "Boxes below this score are not told."),
    _number("model.batch", 1, 1, 32, "pictures", "Parts of a picture that go through together."),
    _number(
        "model.rate_max",
        10.0,
        0.1,
        60.0,
        "Hz",
        "Pictures that are looked at a second; the rest is dropped and counted.",
    ),
    Parameter("tiles.enabled", False, "Look at large pictures in overlapping squares."),
    _number("tiles.side", 640, 128, 2048, "pixels", "Side of such a square."),
    _number("tiles.overlap", 0.2, 0.0, 0.8, "", "Share that neighbouring squares have in common."),
    _number(
        "roi.side",
        0,
        0,
        2048,
        "pixels",
        "Also look, enlarged, at a square of this side around the cued track; 0: do not.",
    ),
    Parameter(
        "camera.transport",
        "raw",
        "Where pictures come from: camera/image_raw or camera/image_raw/compressed.",
        choices=("raw", "compressed"),
    ),
    Parameter("camera.infrared", False, "The camera sees infrared."),
    _number(
        "camera.field_of_view",
        0.0,
        0.0,
        3.0,
        "rad",
        "Horizontal field of view where the gimbal does not tell it; 0: not known.",
    ),
    _number(
        "camera.silent_after", 3.0, 0.2, 600.0, "s", "A camera silent for this long is a warning."
    ),
    _number(
        "camera.exposure",
        0.005,
        0.0,
        0.1,
        "s",
        "How long a picture is exposed: what moves meanwhile is smeared.",
    ),
    _number(
        "camera.smear_max",
        8.0,
        0.5,
        200.0,
        "pixels",
        "A picture in which the cued track (without one, the sky) is smeared further is no look.",
    ),
    _number("sigma.angle", 0.002, 1e-5, 0.5, "rad", "Uncertainty of the camera's own angles."),
    _number(
        "sigma.registration",
        0.005,
        0.0,
        0.5,
        "rad",
        "Slow error of the camera's bearings against those of other sensors: compass, mounting.",
    ),
    _number(
        "sigma.latency",
        0.05,
        0.0,
        1.0,
        "s",
        "Uncertainty of a picture's time, for a turning camera.",
    ),
    _number("verify.looks", 4, 1, 100, "looks", "Consecutive looks that must agree."),
    _number(
        "verify.empty_looks", 20, 1, 1000, "looks", "Consecutive empty looks that refute a track."
    ),
    _number("verify.spacing", 0.08, 0.0, 5.0, "s", "Least time between two looks."),
    _number("verify.score", 0.35, 0.01, 1.0, "", "Boxes below this score verify nothing."),
    Parameter("verify.wanted", ["drone"], "Classes that confirm a track; others refute it."),
    _number("verify.gate", 3.0, 0.5, 10.0, "sigma", "A box this near a track is taken for it."),
    _number("verify.gate_least", 0.004, 1e-4, 0.5, "rad", "And at least this near."),
    _number("object.size", 0.4, 0.05, 20.0, "m", "Width of the smallest object looked for."),
    _number("object.pixels", 10.0, 2.0, 500.0, "pixels", "Width at which it must be found."),
    Parameter("cue.enabled", True, "Point the camera at tracks in doubt."),
    _number("cue.confidence", 0.3, 0.0, 1.0, "", "Tracks below it are not worth the camera."),
    _number("cue.timeout", 20.0, 1.0, 600.0, "s", "Time for one track."),
    _number("cue.relook", 60.0, 0.0, 86400.0, "s", "A verdict is checked after this; 0: never."),
    _number("cue.retry", 10.0, 0.0, 3600.0, "s", "A track without verdict is tried again after."),
    _number("cue.dead_zone", 0.2, 0.01, 0.5, "", "Share of the field of view without a move."),
    _number("cue.sigmas", 2.0, 0.5, 5.0, "sigma", "Uncertainty that the search covers."),
    _number("cue.field_least", 0.018, 0.001, 1.0, "rad", "Narrowest field of view asked for."),
    _number("cue.field_most", 0.5, 0.01, 2.0, "rad", "Widest field of view asked for."),
    _number("cue.pixels", 48.0, 4.0, 500.0, "pixels", "Width of the object to be judged by."),
    _number("cue.search_pixels", 20.0, 2.0, 500.0, "pixels", "Width at which it is searched for."),
    _number(
        "cue.altitude", 120.0, 10.0, 5000.0, "m", "Search ceiling for tracks without elevation."
    ),
    Parameter("cue.node", "trakka", "Node that turns and zooms the camera."),
    Parameter(
        "snapshots.folder",
        "",
        "Folder of the pictures that verdicts rest on; empty: in the user's own data.",
    ),
    _number("snapshots.keep", 500, 1, 100000, "files", "Snapshots kept; the oldest go first."),
    _number("annotated.quality", 75, 10, 100, "", "JPEG quality of the annotated pictures."),
)


def rules(values: Mapping[str, Any]) -> Rules:
    """The rules of verification."""
    return Rules(
        looks=values["verify.looks"],
        empty_looks=values["verify.empty_looks"],
        spacing=values["verify.spacing"],
        score=values["verify.score"],
        wanted=tuple(values["verify.wanted"]),
        gate=values["verify.gate"],
        gate_least=values["verify.gate_least"],
        registration=values["sigma.registration"],
        object_size=values["object.size"],
        pixels=values["object.pixels"],
    )


def cue_rules(values: Mapping[str, Any], picture_width: int) -> CueRules:
    """The rules of cueing for pictures of a width."""
    return CueRules(
        confidence=values["cue.confidence"],
        timeout=values["cue.timeout"],
        relook=values["cue.relook"],
        retry=values["cue.retry"],
        dead_zone=values["cue.dead_zone"],
        sigmas=values["cue.sigmas"],
        field_least=values["cue.field_least"],
        field_most=max(values["cue.field_most"], values["cue.field_least"]),
        object_size=values["object.size"],
        pixels=values["cue.pixels"],
        search_pixels=min(values["cue.search_pixels"], values["cue.pixels"]),
        picture_width=picture_width if picture_width > 0 else math.ceil(960),
        altitude=values["cue.altitude"],
        registration=values["sigma.registration"],
    )
