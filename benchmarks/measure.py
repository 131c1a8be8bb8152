"""Ways to measure a process: instructions, counted by valgrind, and seconds of CPU, as the system sees them."""

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
from typing import Any, NamedTuple

from .server import ROOT, Running

HAS_VALGRIND = shutil.which("valgrind") is not None


class Slope(NamedTuple):
    """A figure per piece: what the longer task took above the shorter, over the pieces it had above it."""

    short: str
    long: str
    pieces: int


CHUNK = {
    "chunk, paced": Slope("stream:paced-50:1", "stream:paced-350:1", 300),
    "chunk, coalesced": Slope("stream:coalesced-200:1", "stream:coalesced-1000:1", 800),
}
REQUEST = {
    "stream of one chunk": Slope("stream:coalesced-1:5", "stream:coalesced-1:25", 20),
    "request": Slope("request:whole:5", "request:whole:25", 20),
}
ACKNOWLEDGED = Slope("acknowledge:paced-1:100", "acknowledge:paced-1:600", 500)
TIMED = {  # what is timed in place of the longer tasks, and the pieces in it
    "chunk, paced": ("stream:paced-500:4", 2000),
    "chunk, coalesced": ("stream:coalesced-2500:4", 10_000),
    "stream of one chunk": ("stream:coalesced-1:100", 100),
    "request": ("request:whole:100", 100),
}


def counted(command: Sequence[str], *, pipe: int | None = None) -> list[int]:
    """Instructions in user space between the marks that a command sets in pairs; see `marks.mark`.

    Callgrind counts what cachegrind counts; but it can tell parts of a run from each other, so that start-up, which is
    nearly all of a run under valgrind, is paid once for all of them.

    Raises:
        CalledProcessError: the command failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        valgrind = ["valgrind", "--tool=callgrind", "--dump-before=getsid", f"--callgrind-out-file={out}", "--quiet"]
        run([*valgrind, *command], pipe=pipe)
        parts = sorted((int(path.suffix[1:]), path) for path in Path(folder).glob("out.*"))
        totals = [re.search(r"^totals: (\d+)", path.read_text(), re.MULTILINE) for _, path in parts]
    return [int(total[1]) for total in totals[1::2] if total]


def run(command: Sequence[str], *, pipe: int | None = None) -> str:
    """What a command prints; the end of a pipe goes along.

    Raises:
        CalledProcessError: it failed.
    """
    # The same hashes each time, for the collisions of dicts and the order of sets follow them.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each import would compile what its author changed last
    fds = [] if pipe is None else [pipe]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment, pass_fds=fds, cwd=ROOT, check=False
    )
    if ended.returncode:
        sys.stderr.write(ended.stderr[-2000:])
        ended.check_returncode()
    return ended.stdout


def run_json(command: Sequence[str], *, pipe: int | None = None) -> Any:
    """What the last line that a command prints says."""
    return json.loads(run(command, pipe=pipe).splitlines()[-1])


def _measured(client: str, server: Running, tasks: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "benchmarks.measured", client, server.url, str(server.pipe), *tasks]


def instructions(client: str, server: Running, slopes: dict[str, Slope]) -> dict[str, int]:
    """Instructions of a client per chunk, stream or request; the acknowledgement of a paced chunk is taken off."""
    asked = [*slopes.values(), ACKNOWLEDGED]
    parts = counted(_measured(client, server, [task for slope in asked for task in slope[:2]]), pipe=server.pipe)
    pairs = zip(asked, parts[::2], parts[1::2], strict=True)
    *found, acknowledged = [(long - short) / slope.pieces for slope, short, long in pairs]
    return {
        name: round(figure - acknowledged if name == "chunk, paced" else figure)
        for name, figure in zip(slopes, found, strict=True)
    }


def microseconds(client: str, server: Running, names: Sequence[str]) -> dict[str, float]:
    """Microseconds of CPU of a client per chunk, per stream, per request."""
    tasks = [TIMED[name][0] for name in names]
    taken = run_json(_measured(client, server, tasks), pipe=server.pipe)
    return {name: cpu / TIMED[name][1] * 1e6 for name, (cpu, _) in zip(names, taken, strict=True)}


def _pure(tasks: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "benchmarks.pure", *tasks]


def pure_instructions(jobs: Sequence[tuple[str, int, int]]) -> list[float]:
    """Instructions of jobs of the pure rooms per piece: of each, from a smaller and a larger number of pieces."""
    parts = counted(_pure([f"{name}:{count}" for name, *counts in jobs for count in counts]))
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return [(long - short) / (large - small) for (_, small, large), (short, long) in zip(jobs, pairs, strict=True)]


def pure_seconds(jobs: Sequence[tuple[str, int]]) -> list[float]:
    """Seconds of CPU of jobs of the pure rooms."""
    taken: list[float] = run_json(_pure([f"{name}:{count}" for name, count in jobs]))
    return taken
