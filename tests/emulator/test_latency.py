"""How long answers take: the delays as numbers, and once over HTTP."""

from __future__ import annotations

import math
from typing import Any

import aiohttp
import pytest

from inference_async import ConfigurationError
from inference_async.emulator import Emulator, Latency, Script
from inference_async.emulator.script import Pace
from tests.emulator.asking import ask, user


@pytest.mark.parametrize(
    ("text", "jitter", "expected"),
    [
        ("first=400ms,token=25ms", "20%", Latency(first=0.4, token=0.025, jitter=0.2, seed=7)),
        ("token=1s", "", Latency(token=1.0, seed=7)),
        ("", "5%", Latency(jitter=0.05, seed=7)),
    ],
)
def test_as_it_is_written(text: str, jitter: str, expected: Latency) -> None:
    assert Latency.parse(text, jitter=jitter, seed=7) == expected


@pytest.mark.parametrize(
    ("text", "jitter", "words"),
    [
        ("400ms", "", "expected the form first=400ms,token=25ms"),
        ("first=400", "", "got '400', expected a duration with its unit"),
        ("last=1s", "", "got 'last=1s', expected the form"),
        ("", "20", "got '20', expected a percentage"),
        ("", "101%", "got a jitter of 1.01, expected a share from 0 to 1"),
    ],
)
def test_what_is_written_otherwise(text: str, jitter: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Latency.parse(text, jitter=jitter)
    assert words in str(caught.value)


@pytest.mark.parametrize("values", [{"first": -1}, {"token": math.inf}, {"first": math.nan}, {"jitter": math.nan}])
def test_values_that_are_none(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Latency(**values)


def test_what_it_does_not_say_stays_as_the_script_has_it() -> None:
    script = Script(pace=Pace(first=1, token=2))
    assert Latency().over(script) == script
    assert Latency(first=0).over(script).pace == Pace(first=0, token=2)
    assert Latency(token=5).over(script).pace == Pace(first=1, token=5)
    assert script.pace == Pace(first=1, token=2)


def test_without_jitter_a_delay_stays_as_it_is() -> None:
    assert [Latency(seed=1).dice(n)(0.4) for n in range(3)] == [0.4] * 3


def test_jitter_goes_both_ways_and_not_too_far() -> None:
    dice = Latency(jitter=0.2, seed=1).dice(1)
    drawn = [dice(10) for _ in range(200)]
    assert 8 <= min(drawn) < 8.5 < 11.5 < max(drawn) <= 12


def test_with_a_seed_runs_repeat_request_by_request() -> None:
    def run(seed: int | None, numbers: list[int]) -> dict[int, float]:
        latency = Latency(jitter=0.5, seed=seed)
        return {number: latency.dice(number)(1) for number in numbers}

    assert run(3, [1, 2, 3]) == run(3, [3, 1, 2]), "whatever comes in between"
    assert len(set(run(3, [1, 2, 3]).values())) == 3
    assert run(3, [1]) != run(4, [1])
    assert run(None, [1]) != run(None, [1])


async def test_the_emulator_waits_so_long(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    script = Script.from_json(
        b'{"pace": {"first": 9}, "rules": [{"match": {"content": "slow"}, "answer": '
        b'{"content": "a", "pace": {"first": 6}}}]}'
    )
    async with Emulator(script, pace=0.5, latency=Latency(first=0.4, token=0.02)) as emulator:
        monkeypatch.setattr("inference_async.emulator.server.asyncio.sleep", sleep)
        await ask(http, emulator, user("one two", stream=True))
        assert waits == [0.2, 0.01, 0.01, 0.01], "the role, two tokens, the end"
        waits.clear()
        await ask(http, emulator, user("one two"))
        assert waits == [pytest.approx(0.23)]
        waits.clear()
        await ask(http, emulator, user("slow"))
        assert waits == [3.0], "an answer with a pace of its own keeps it"
        waits.clear()
        await ask(http, emulator, {"model": "m", "input": ["x"]}, operation="embeddings")
        assert waits == [0.2]
