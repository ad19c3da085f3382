# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What waits for a panel, and how fast a panel may ask."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("aiohttp")

from thebox_webui.proxy import Pace, Waiting

ANSWER = '{"op": "service_response"}'


def drain(waiting: Waiting, count: int) -> list[bytes | str]:
    async def main() -> list[bytes | str]:
        return [await asyncio.wait_for(waiting.get(), 5.0) for _ in range(count)]

    return asyncio.run(main())


def test_a_panel_that_does_not_keep_up_loses_the_oldest_topics_never_an_answer() -> None:
    waiting = Waiting(most=100)
    assert waiting.put(ANSWER)
    for number in range(50):
        assert waiting.put(bytes([number]) * 10)
    kept = drain(waiting, 8)
    assert kept[0] == ANSWER
    assert kept[1:] == [bytes([number]) * 10 for number in range(43, 50)]
    assert waiting.dropped == 43


@pytest.mark.parametrize("start", ['{"op": "publish"', '{"op":"fragment"'])
def test_topics_as_text_can_be_missed_too(start: str) -> None:
    waiting = Waiting(most=100)
    for number in range(20):
        assert waiting.put(f'{start}, "n": {number:02}}}')
    assert waiting.dropped > 15
    assert drain(waiting, 1) != [f'{start}, "n": 00}}']


def test_answers_that_nobody_takes_end_the_panel() -> None:
    waiting = Waiting(most=100)
    taken = [waiting.put(ANSWER) for _ in range(6)]
    assert taken == [True] * 3 + [False] * 3


def test_a_panel_may_ask_in_a_burst_then_at_its_rate() -> None:
    now = 0.0
    pace = Pace(rate=10.0, burst=5, clock=lambda: now)
    assert [pace.take() for _ in range(5)] == [0.0] * 5
    assert pace.take() == pytest.approx(0.1)
    assert pace.take() == pytest.approx(0.2)
    now = 0.2
    assert pace.take() == pytest.approx(0.1)
    # Rest is not saved up beyond the burst.
    now = 1000.0
    assert [pace.take() for _ in range(6)] == [0.0] * 5 + [pytest.approx(0.1)]
