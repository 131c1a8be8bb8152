"""The parts of a run: each measures the clients in turn, and returns what it found as plain data for JSON.

Where a figure is three numbers they are the median, the least and the most of all rounds.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import crowd, measure
from .measure import HAS_VALGRIND, Slope
from .pure import ANSWERS, DRIPS, SHAPES, STAGES
from .server import running

STREAMS, CHUNKS, SECONDS = 1000, 100, 10.0  # of a crowd
IDLE = (100, 1000)  # streams
SCALES = (100, 1000, 10_000)
TOO_SLOW = {"litellm"}  # for a crowd: it would take minutes

MIB = 2**20
EVENTS = 20_000
GROWTH = {  # a small and a large slope of each, by the number of pieces
    "dripped, 64 KiB": ((MIB, 2 * MIB), (15 * MIB, 16 * MIB)),
    "dripped, 1 KiB": ((MIB, 2 * MIB), (15 * MIB, 16 * MIB)),
    "dripped, 1 byte": ((2**13, 2**14), (7 * 2**13, 2**16)),
    "accumulate, data only": ((1000, 2000), (19_000, 20_000)),
    "accumulate, tool arguments": ((1000, 2000), (7500, 8500)),
}
DELTAS = {
    "100,000 deltas": ("accumulate, data only", 100_000),
    "34 kB of arguments": ("accumulate, tool arguments", 8500),
}

Found = dict[str, Any]


def spread(figures: Sequence[float]) -> list[float]:
    return [statistics.median(figures), min(figures), max(figures)]


def in_turn(clients: Sequence[str], rounds: int, work: Callable[[str], dict[str, float]]) -> Found:
    """Do it with each client, and with each again, so that what else the machine does strikes all alike.

    A client that fails is left out from then on.
    """
    taken: dict[str, dict[str, list[float]]] = {client: {} for client in clients}
    for _ in range(rounds):
        for client in list(taken):
            try:
                found = work(client)
            except subprocess.CalledProcessError as error:
                print(f"{client} failed, and is left out: {error}")
                del taken[client]
                continue
            for name, figure in found.items():
                taken[client].setdefault(name, []).append(figure)
    return {client: {name: spread(figures) for name, figures in measures.items()} for client, measures in taken.items()}


def counts(clients: Sequence[str], slopes: dict[str, Slope]) -> Found:
    """Instructions per chunk, per stream, per request; they do not mind what else runs, so a client runs per core."""

    def one(client: str) -> dict[str, int]:
        with running() as server:
            return measure.instructions(client, server, slopes)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(clients, pool.map(one, clients), strict=True))


def times(clients: Sequence[str], rounds: int, slopes: dict[str, Slope]) -> Found:
    """Microseconds of CPU of the same."""
    with running() as server:
        return in_turn(clients, rounds, lambda client: measure.microseconds(client, server, list(slopes)))


def crowds(clients: Sequence[str], rounds: int) -> Found:
    """A thousand streams at once."""
    able = [client for client in clients if client not in TOO_SLOW]
    with running() as server:
        return in_turn(able, rounds, lambda client: crowd.figures(client, server, STREAMS, CHUNKS, SECONDS))


def memory(clients: Sequence[str], rounds: int) -> Found:
    """KiB of each stream that is open, and has nothing to read."""

    def idle(client: str) -> dict[str, float]:
        return {str(streams): crowd.figures(client, server, streams, 2, 0.5)["KiB per stream"] for streams in IDLE}

    with running() as server:
        return in_turn([client for client in clients if client not in TOO_SLOW], rounds, idle)


def scale() -> Found:
    """What a stream costs and holds among few others and among many: `benchmarks.scale`, run as it is."""
    found: Found = {}
    for streams in SCALES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "scale.json")
            command = [sys.executable, "-m", "benchmarks.scale", "--streams", str(streams), "--json", str(path)]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # it fails where one of its goals is missed
            found[str(streams)] = json.loads(path.read_text())["found"]
    return found


def pure(rounds: int) -> Found:
    """The pure rooms: speed, instructions, and whether they grow with the size of what they are fed."""
    streams = [f"{stage}, {shape}" for shape in SHAPES for stage in STAGES]
    answers = [*(f"decode, {name}" for name in ANSWERS), "encode, a request"]
    drips = [(f"dripped, {name}", MIB // 4 if name == "1 byte" else 16 * MIB) for name in DRIPS]
    sizes = {f"{stage}, {name}": len(shape.encode()) for name, shape in SHAPES.items() for stage in ("split", "sse")}
    jobs = [*((name, EVENTS) for name in streams), *drips, *((name, 500) for name in answers), *DELTAS.values()]
    found: Found = {"MB/s": {}, "us": {}}
    if rounds:
        taken = zip(*(measure.pure_seconds(jobs) for _ in range(rounds)), strict=True)
        labels = [*(name for name, _ in jobs[: -len(DELTAS)]), *DELTAS]
        for label, (name, count), seconds in zip(labels, jobs, taken, strict=True):
            found["us"][label] = spread([each / count * 1e6 for each in seconds])
            if name in sizes or name.startswith("dripped"):
                found["MB/s"][label] = spread([count * sizes.get(name, 1) / each / 1e6 for each in seconds])
    if HAS_VALGRIND:
        small = [(name, 200, 1000) for name in (*streams, "single, data only")]
        small += [(name, 20, 100) for name in answers]
        both = [(name, *pieces) for name, pairs in GROWTH.items() for pieces in pairs]
        figures = measure.pure_instructions([*small, *both])
        found["instructions"] = {name: figure for (name, *_), figure in zip(small, figures, strict=False)}
        grown = figures[len(small) :]
        found["growth"] = {
            name: large / little for name, little, large in zip(GROWTH, grown[::2], grown[1::2], strict=True)
        }
    return found
