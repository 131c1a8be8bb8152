"""The guard against getting slower: instructions of a handful of things, against a baseline that is checked in.

Instructions are the same each time on the same interpreter and libraries, and on no other: the baseline has an entry
for each surrounding that it knows, and says nothing of others.
"""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path

from .clients import OURS
from .measure import CHUNK, REQUEST, instructions, pure_instructions
from .pure import SHAPES
from .server import running

SLACK = 0.05
BASELINE = Path(__file__).parent / "baseline.json"
SMALL, LARGE = 200, 1000  # events


def surrounding() -> str:
    """What instructions depend on, beside the code."""
    libraries = [f"{name} {version(name)}" for name in ("aiohttp", "anyio", "msgspec")]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return ", ".join(
        [python, platform.machine(), " ".join(platform.libc_ver()), platform.python_compiler(), *libraries]
    )


def baseline() -> dict[str, int] | None:
    """The figures of these surroundings; None where there are none."""
    return known().get(surrounding())


def known() -> dict[str, dict[str, int]]:
    """The figures of all surroundings that have some."""
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}


def measure() -> dict[str, int]:
    """Instructions per event of a stream, by its shape, without a socket; per chunk and per call of the client."""
    found = pure_instructions([(f"all, {shape}", SMALL, LARGE) for shape in SHAPES])
    events = {f"event, {shape}": round(figure) for shape, figure in zip(SHAPES, found, strict=True)}
    with running() as server:
        return events | instructions(OURS, server, CHUNK | REQUEST)


def write(figures: dict[str, int]) -> None:
    """Make these the baseline here, and leave those of other surroundings as they are."""
    BASELINE.write_text(json.dumps(known() | {surrounding(): figures}, indent=2) + "\n")


def complaint(name: str, expected: int, got: int) -> str | None:
    """What is wrong with a figure, and what to do about it; None if it is within the slack."""
    change = got / expected - 1
    if abs(change) <= SLACK:
        return None
    return (
        f"{name}: the baseline says {expected:,} instructions, got {got:,}: {change:+.0%}; "
        "if this is meant, run `python -m benchmarks guard --write`"
    )
