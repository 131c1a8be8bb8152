"""Ways to measure a process: instructions, counted by valgrind, and what the system says of its CPU."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .server import Running

HAS_VALGRIND = shutil.which("valgrind") is not None


class Slope(NamedTuple):
    """A figure per piece: what the longer task took above the shorter, over the pieces it had above it."""

    short: str
    long: str
    pieces: int


MEASURES = {
    "chunk, paced": Slope("stream:paced-100:1", "stream:paced-600:1", 500),
    "chunk, coalesced": Slope("stream:coalesced-500:1", "stream:coalesced-2500:1", 2000),
    "stream of one chunk": Slope("stream:coalesced-1:5", "stream:coalesced-1:25", 20),
    "request": Slope("request:whole:5", "request:whole:25", 20),
}

REPEATS = 4  # of the longer task, where it is timed


def pieces_of(task: str) -> int:
    """Chunks, or streams of one chunk, or requests."""
    _, model, times = task.split(":")
    return int(times) * int(model.partition("-")[2] or 1)


def environment() -> dict[str, str]:
    """Of what is measured: the same hashes each time, for the collisions of dicts and the order of sets follow them."""
    return {**os.environ, "PYTHONHASHSEED": "0", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}


def counted(command: Sequence[str], *, pipe: int | None = None) -> list[int]:
    """Instructions in user space between the marks that a command sets; see `measured.mark`.

    Raises:
        CalledProcessError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        valgrind = ["valgrind", "--tool=callgrind", "--dump-before=getsid", f"--callgrind-out-file={out}", "--quiet"]
        run([*valgrind, *command], pipe)
        parts = sorted((int(path.suffix[1:]), path) for path in Path(folder).glob("out.*"))
        totals = [re.search(r"^totals: (\d+)", path.read_text(), re.MULTILINE) for _, path in parts]
    return [int(total[1]) for total in totals[1:] if total]  # without start-up, and what came after the last mark


def run(command: Sequence[str], pipe: int | None = None) -> str:
    """What a command prints; the end of a pipe goes along."""
    fds = [] if pipe is None else [pipe]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment(), pass_fds=fds, stdin=subprocess.DEVNULL, check=False
    )
    if ended.returncode:
        sys.stderr.write(ended.stderr[-2000:])
        ended.check_returncode()
    return ended.stdout


def measured(client: str, server: Running, tasks: Sequence[str]) -> list[str]:
    """The command that does these tasks; see `measured`."""
    return [sys.executable, "-m", "benchmarks.measured", client, server.url, str(server.pipe), *tasks]


def instructions(client: str, server: Running, measures: Sequence[str] = tuple(MEASURES)) -> dict[str, int]:
    """Instructions of a client per chunk, per stream, per request."""
    tasks = [task for name in measures for task in MEASURES[name][:2]]
    parts = counted(measured(client, server, tasks), pipe=server.pipe)
    return {
        name: round((parts[2 * at + 1] - parts[2 * at]) / MEASURES[name].pieces) for at, name in enumerate(measures)
    }


def microseconds(client: str, server: Running, measures: Sequence[str] = tuple(MEASURES)) -> dict[str, float]:
    """Microseconds of CPU of a client, in the system too, per piece of the longer tasks; each is done a few times."""
    tasks = [re.sub(r"\d+$", lambda times: str(int(times[0]) * REPEATS), MEASURES[name].long) for name in measures]
    taken: list[tuple[float, float]] = json.loads(run(measured(client, server, tasks), server.pipe))
    return {
        name: cpu / REPEATS / pieces_of(MEASURES[name].long) * 1e6
        for name, (cpu, _) in zip(measures, taken, strict=True)
    }
