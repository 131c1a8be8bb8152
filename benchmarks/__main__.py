"""`python -m benchmarks PART...`: what the client costs, beside the floor and other clients in the same run.

Instructions are counted where valgrind is installed, and are the same each time; CPU is measured in rounds in which the
clients take turns. Clients that are not installed are left out: ``pip install --group bench`` brings them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from . import guard, imports, parts, report
from .clients import CLIENTS, is_installed
from .goals import Results
from .measure import CHUNK, HAS_VALGRIND, REQUEST

PARTS = ("pure", "chunk", "request", "concurrent", "memory", "imports", "scale")


def guarded(*, write: bool) -> int:
    """Compare instructions with the baseline, or make them the baseline; the status to exit with."""
    if not HAS_VALGRIND:
        print("valgrind is not installed: nothing is counted")
        return 0
    found = guard.measure()
    known = guard.baseline()
    for name, figure in found.items():
        before = f"{figure / known[name] - 1:+8.1%}" if known and name in known else "new"
        print(f"{name:32}{figure:>12,}{before:>12}")
    if write:
        guard.write(found)
        return 0
    if known is None:
        print(f"the baseline knows nothing of {guard.surrounding()}; `python -m benchmarks guard --write` adds it")
        return 0
    complaints = [said for name, figure in found.items() if (said := guard.complaint(name, known[name], figure))]
    print(*complaints, sep="\n")
    return 1 if complaints else 0


def measured(asked: list[str], clients: list[str], rounds: int) -> Iterator[Results]:
    """The results of each part, as soon as they are there."""
    slopes = {**(CHUNK if "chunk" in asked else {}), **(REQUEST if "request" in asked else {})}
    if slopes and HAS_VALGRIND:
        yield {"instructions": parts.counts(clients, slopes)}
    if slopes and rounds:
        yield {"microseconds": parts.times(clients, rounds, slopes)}
    if "concurrent" in asked:
        yield {"crowd": parts.crowds(clients, max(1, rounds // 2))}
    if "memory" in asked:
        yield {"memory": parts.memory(clients, max(1, rounds // 2))}
    if "imports" in asked:
        yield {"imports": imports.measure(max(1, 2 * rounds))}
    if "scale" in asked:
        yield {"scale": parts.scale()}
    if "pure" in asked:
        yield {"pure": parts.pure(rounds)}


def merged(old: Any, new: Any) -> Any:
    """The new results, and of the old what was not measured anew."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {key: merged(old.get(key), new[key]) if key in new else old[key] for key in {**old, **new}}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the client costs.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}, or guard, or report; all")
    parser.add_argument("--only", action="append", choices=list(CLIENTS), help="this client; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="of what is timed; 0 to count instructions only")
    parser.add_argument("--write", action="store_true", help="into benchmarks/results and the docs; or the baseline")
    given = parser.parse_args()
    if given.parts == ["guard"]:
        return guarded(write=given.write)
    if given.parts == ["report"]:
        report.write(report.load())
        return 0
    if unknown := set(given.parts) - {*PARTS}:
        parser.error(f"got {', '.join(sorted(unknown))}, expected guard, or report, or some of {', '.join(PARTS)}")
    asked = given.only or list(CLIENTS)
    clients = [name for name in asked if is_installed(name)]
    for name in asked:
        if name not in clients:
            print(f"{name} is not installed, and left out")
    if not HAS_VALGRIND:
        print("valgrind is not installed: no instructions are counted")
    found: Results = {}
    for part in measured(given.parts or list(PARTS), clients, given.rounds):
        found |= part
        for table in report.tables(part):
            print(f"\n{table.title}\n\n{table}", flush=True)
        if given.write:
            report.write(merged(report.load(), {"machine": report.machine(), **part}))
    print(f"\n{report.goals_table(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
