# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Range from what falls with range: laws learned, sigmas that cover, nothing made up."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from thebox_fusion.ranging import (
    Cue,
    RangeEstimate,
    Ranger,
    RangingParameters,
    Reading,
    Sighting,
    normalised_power,
)

EXPONENT, REFERENCE, NOISE = 2.4, -22.0, 2.0
WIDE = Sighting("a", 0.0, 1.0, 0.1, 800.0, 1100.0, False, False, ("rf:1",), ("rf",))


def power(slant: float, offset: float = 0.0) -> float:
    return REFERENCE + offset - 10.0 * EXPONENT * math.log10(slant)


def heard(time: float, value: float, source: str = "rf:1", bearing: float = 1.0) -> Reading:
    return Reading(time, source, Cue.POWER, value, bearing, 0.1)


def seen(time: float, slant: float, name: str = "r", source: str = "rf:9") -> Sighting:
    return Sighting(
        name, time, 2.0, 0.01, slant, 0.01 * slant, True, False, (source,), ("radar", "rf")
    )


def teach(ranger: Ranger, rng: np.random.Generator, sources: int = 12) -> None:
    """Fly emitters through the radar's range."""
    offsets = rng.normal(0.0, 3.0, sources)
    for step in range(80):
        sightings = []
        for k in range(sources):
            slant = 150.0 + 40.0 * ((step * (k + 1)) % 70)
            value = power(slant, offsets[k]) + rng.normal(0, NOISE)
            ranger.read(heard(2.0 * step, value, f"rf:{100 + k}"))
            sightings.append(seen(2.0 * step, slant, f"r{k}", f"rf:{100 + k}"))
        ranger.update(sightings)


def test_a_measured_range_is_passed_on_as_it_is() -> None:
    (estimate,) = Ranger().update([seen(1.0, 1234.0)])
    assert estimate == RangeEstimate(1234.0, 12.34, ("measured",), True)


def test_without_a_reading_the_trackers_own_range_stands_unobserved() -> None:
    (estimate,) = Ranger().update([WIDE])
    assert estimate.methods == () and not estimate.observed
    assert estimate.range == pytest.approx(800.0)
    assert estimate.sigma == pytest.approx(1100.0)
    (nothing,) = Ranger().update([replace(WIDE, range=math.nan, range_sigma=math.nan)])
    assert math.isnan(nothing.range) and nothing.methods == ()


def test_path_loss_is_learned_from_emitters_that_the_radar_sees() -> None:
    ranger = Ranger()
    teach(ranger, np.random.default_rng(1))
    law = ranger.laws[Cue.POWER]
    assert float(law.mean[1]) * math.log(10.0) / 10.0 == pytest.approx(EXPONENT, abs=0.15)
    expected, _ = law.predict(math.log(1000.0))
    assert expected == pytest.approx(power(1000.0), abs=2.5)
    assert law.spread < 6.0


def test_the_claimed_sigma_covers_the_error_of_an_unknown_emitter() -> None:
    rng = np.random.default_rng(2)
    ranger = Ranger()
    teach(ranger, rng)
    score = []
    for trial in range(200):
        slant = float(np.exp(rng.uniform(np.log(300.0), np.log(5000.0))))
        offset = rng.normal(0.0, 3.0)
        name = f"rf:u{trial}"
        for step in range(10):
            ranger.read(heard(2.0 * step, power(slant, offset) + rng.normal(0, NOISE), name))
        (estimate,) = ranger.update([replace(WIDE, id=name, time=20.0, sources=(name,))])
        assert estimate.methods == ("received power",)
        score.append(math.log(estimate.range / slant) * estimate.range / estimate.sigma)
    assert 0.5 < float(np.sqrt(np.mean(np.square(score)))) < 1.3
    assert float(np.mean(np.abs(score) < 2.0)) > 0.9


def test_an_emitter_that_leaves_the_radar_is_ranged_by_its_own_power() -> None:
    rng = np.random.default_rng(3)
    ranger = Ranger()
    teach(ranger, rng)
    loud = 9.0
    for step in range(60):
        slant = 500.0 + 30.0 * step
        ranger.read(heard(2.0 * step, power(slant, loud) + rng.normal(0, NOISE)))
        ranger.update([seen(2.0 * step, slant, "r", "rf:1")])
    for step in range(60, 75):
        slant = 500.0 + 30.0 * step
        ranger.read(heard(2.0 * step, power(slant, loud) + rng.normal(0, NOISE)))
        (estimate,) = ranger.update([replace(WIDE, time=2.0 * step, range=900.0)])
    assert abs(estimate.range - slant) < 2.0 * estimate.sigma
    assert estimate.sigma < 0.35 * estimate.range
    assert estimate.observed


def test_more_readings_do_not_average_the_unknown_power_away() -> None:
    ranger = Ranger()
    for step in range(500):
        ranger.read(heard(0.5 * step, -80.0))
    (estimate,) = ranger.update([replace(WIDE, time=250.0)])
    floor = ranger.parameters.reference_power_sigma / float(ranger.laws[Cue.POWER].mean[1])
    alone = 1.0 / (1.0 / floor**2 + (800.0 / 1100.0) ** 2)
    assert (estimate.sigma / estimate.range) ** 2 > 0.9 * alone
    assert not estimate.observed


def test_a_manoeuvre_and_power_are_one_estimate() -> None:
    ranger = Ranger()
    ranger.read(heard(1.0, -80.0))
    told = replace(WIDE, time=1.0, range=1500.0, range_sigma=600.0, triangulated=True)
    (both,) = ranger.update([told])
    (alone,) = Ranger().update([told])
    assert both.sigma / both.range < alone.sigma / alone.range
    assert both.methods[0] == "own-ship manoeuvre"


@pytest.mark.parametrize(
    ("cue", "value", "slant"),
    [(Cue.SIZE, math.log(0.45 / 300.0), 300.0), (Cue.SOUND, 75.0 - 20.0 * 2.0, 100.0)],
)
def test_apparent_size_and_sound_level_tell_range(cue: Cue, value: float, slant: float) -> None:
    ranger = Ranger()
    ranger.read(Reading(0.0, "mara:7", cue, value, 1.0, 0.01))
    sighting = replace(WIDE, sources=("mara:7",), range_sigma=1e5)
    (estimate,) = ranger.update([sighting])
    assert estimate.methods == (cue.value,)
    assert estimate.range == pytest.approx(slant, rel=0.2)
    assert 0.3 < estimate.sigma / estimate.range < 1.5


def test_a_reading_without_identity_belongs_to_the_only_track_there() -> None:
    ranger = Ranger()
    alone = replace(WIDE, sources=(), range_sigma=8e4)
    far = replace(alone, id="b", bearing=3.0)
    ranger.read(heard(0.0, -80.0, "rf", 1.05))
    first, second = ranger.update([alone, far])
    assert first.methods and not second.methods
    near = replace(alone, id="c", bearing=1.1)
    ranger = Ranger()
    ranger.read(heard(0.0, -80.0, "rf", 1.05))
    assert not any(e.methods for e in ranger.update([alone, near]))


def test_readings_wait_for_their_track_and_then_go() -> None:
    ranger = Ranger()
    ranger.read(heard(0.0, -80.0, "rf:5"))
    ranger.update([replace(WIDE, time=1.0)])
    (late,) = ranger.update([replace(WIDE, time=2.0, sources=("rf:5",))])
    assert late.methods == ("received power",)
    ranger.read(heard(2.0, -80.0, "rf:6"))
    ranger.update([replace(WIDE, time=9.0)])
    assert ranger.readings_left == 1


def test_what_is_remembered_is_bounded() -> None:
    ranger = Ranger(RangingParameters(max_sources=10))
    for number in range(100):
        ranger.read(heard(float(number), -70.0, f"rf:{number}"))
        ranger.update(
            [replace(WIDE, id=str(number), time=float(number), sources=(f"rf:{number}",))]
        )
    assert len(ranger._sources) == 10
    assert len(ranger.filters) == 1


def test_odd_readings_are_left_out_and_do_no_harm() -> None:
    ranger = Ranger()
    for value in (math.nan, math.inf):
        ranger.read(heard(0.0, value))
    ranger.read(heard(0.0, 500.0))
    ranger.read(heard(1.0, -9e5))
    (estimate,) = ranger.update([replace(WIDE, time=1.0)])
    assert math.isfinite(estimate.range) and estimate.sigma > 0.0
    assert 20.0 <= estimate.range <= 30000.0


def test_power_is_compared_at_one_frequency() -> None:
    assert normalised_power(-60.0, 2.4e9) == pytest.approx(-60.0)
    assert normalised_power(-60.0, 5.8e9) == pytest.approx(-52.3, abs=0.1)
    assert normalised_power(-60.0, math.nan) == -60.0


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="nearest must be below farthest"):
        RangingParameters(nearest=500.0, farthest=400.0)
    with pytest.raises(ValueError, match="path_loss_exponent"):
        RangingParameters(path_loss_exponent=math.nan)
