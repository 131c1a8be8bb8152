"""What the client is held to, as data: each goal, where its figure is found, and where its bound lies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from .clients import FLOOR, OPENAI, OURS
from .imports import BELOW, CLIENT, FACE

Results = dict[str, Any]


class Goal(NamedTuple):
    """One goal.

    Attributes:
        row: what it is about.
        words: the goal in words.
        figure: the figure in the results of a run; a KeyError where it was not measured.
        bound: what it is compared with.
        shown: how the figure is written.
        is_least: whether the bound is the least, and not the most.
    """

    row: str
    words: str
    figure: Callable[[Results], float]
    bound: float
    shown: str = "{:.2f} x"
    is_least: bool = False

    def reached(self, figure: float) -> bool:
        return figure >= self.bound if self.is_least else figure <= self.bound


def above_floor(measure: str) -> Callable[[Results], float]:
    return lambda results: results["instructions"][OURS][measure] / results["instructions"][FLOOR][measure]


def below_openai(measure: str) -> Callable[[Results], float]:
    return lambda results: results["instructions"][OPENAI][measure] / results["instructions"][OURS][measure]


def floor_and_openai(row: str, measure: str, floor: str, most: float, least: float) -> list[Goal]:
    return [
        Goal(row, f"<= {most:.2f} x {floor}", above_floor(measure), most),
        Goal(row, f"<= 1/{least:g} of openai", below_openai(measure), least, "1/{:.1f}", is_least=True),
    ]


def grows(job: str) -> Callable[[Results], float]:
    """Instructions per piece of a large piece of work, over those of a small one."""
    return lambda results: results["pure"]["growth"][job]


CROWD = "1,000 streams of 100 chunks"
LONG = "100,000 deltas; 34 kB of arguments in 4-byte deltas"
DECODING = "decoding events in memory"
GOALS = [
    *floor_and_openai("chunk, paced", "chunk, paced", "aiohttp's bytes", 1.35, 12),
    *floor_and_openai("chunk, coalesced", "chunk, coalesced", "aiohttp's bytes", 2.0, 25),
    *floor_and_openai("request, whole answer", "request", "aiohttp and msgspec", 1.2, 15),
    *floor_and_openai("stream of one chunk", "stream of one chunk", "aiohttp's bytes", 1.25, 15),
    Goal(
        CROWD,
        "CPU <= 1/8 of openai",
        lambda results: results["crowd"][OPENAI]["CPU us per chunk"][0] / results["crowd"][OURS]["CPU us per chunk"][0],
        8,
        "1/{:.1f}",
        is_least=True,
    ),
    Goal(
        CROWD,
        "99 % of chunks less than 5 ms late",
        lambda results: results["crowd"][OURS]["late ms, p99"][0],
        5,
        "{:.1f} ms",
    ),
    Goal(CROWD, "none lost", lambda results: results["crowd"][OURS]["chunks lost"][2], 0, "{:.0f}"),
    Goal(
        "memory of an open, idle stream",
        "<= 20 KiB above aiohttp",
        lambda results: results["memory"][OURS]["1000"][0] - results["memory"][FLOOR]["1000"][0],
        20,
        "{:.1f} KiB",
    ),
    Goal(
        "`import inference_async`", "<= 25 ms", lambda results: results["imports"][FACE]["CPU ms"][0], 25, "{:.1f} ms"
    ),
    Goal(
        "import, and a client made",
        "<= 1.15 x `import aiohttp, msgspec, anyio`",
        lambda results: results["imports"][CLIENT]["instructions"] / results["imports"][BELOW]["instructions"],
        1.15,
    ),
    Goal(
        DECODING, ">= 400 MB/s", lambda results: results["pure"]["MB/s"]["sse, data only"][0], 400, "{:.0f} MB/s", True
    ),
    Goal(DECODING, "linear to events of 16 MiB", grows("dripped, 1 KiB"), 1.1),
    Goal(DECODING, "linear in reads of 1 byte", grows("dripped, 1 byte"), 1.1),
    Goal(LONG, "linear", grows("accumulate, data only"), 1.1),
    Goal(LONG, "arguments: linear", grows("accumulate, tool arguments"), 1.1),
    Goal(LONG, "< 1 us a delta", lambda results: results["pure"]["us"]["100,000 deltas"][0], 1, "{:.2f} us"),
    Goal(
        LONG,
        "arguments: < 1 us a delta",
        lambda results: results["pure"]["us"]["34 kB of arguments"][0],
        1,
        "{:.2f} us",
    ),
]


class Verdict(NamedTuple):
    goal: Goal
    figure: float

    @property
    def words(self) -> str:
        shown = self.goal.shown.format(self.figure)
        return shown if self.goal.reached(self.figure) else f"**{shown}, missed**"


def verdicts(results: Results) -> list[Verdict]:
    """What was measured of each goal; those that were not are left out."""
    found: list[Verdict] = []
    for goal in GOALS:
        with contextlib.suppress(KeyError):
            found.append(Verdict(goal, goal.figure(results)))
    return found
