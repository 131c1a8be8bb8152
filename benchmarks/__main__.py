"""`python -m benchmarks PART...`: what the client costs, beside the floor and other clients in the same run."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence

from . import measure, pure
from .clients import CLIENTS, is_installed
from .server import Running, running

CHUNK = ("chunk, paced", "chunk, coalesced")
REQUEST = ("stream of one chunk", "request")


def count(server: Running, clients: Sequence[str], names: Sequence[str]) -> None:
    """Instructions, and how many times the first client's."""
    base: dict[str, int] = {}
    print(f"{'instructions':26}" + "".join(f"{name:>28}" for name in names))
    for client in clients:
        found = measure.instructions(client, server, names)
        base = base or found
        cells = (f"{found[name]:,} {found[name] / base[name]:7.2f} x" for name in names)
        print(f"{client:26}" + "".join(f"{cell:>28}" for cell in cells), flush=True)


def time(server: Running, clients: Sequence[str], names: Sequence[str], rounds: int) -> None:
    """Microseconds of CPU, the clients in turn: the median, and the least and the most."""
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for client in clients:
            for name, figure in measure.microseconds(client, server, names).items():
                taken.setdefault((client, name), []).append(figure)
    print(f"{'CPU us':26}" + "".join(f"{name:>28}" for name in names))
    for client in clients:
        rows = [taken[client, name] for name in names]
        cells = (f"{statistics.median(row):.1f} ({min(row):.1f} to {max(row):.1f})" for row in rows)
        print(f"{client:26}" + "".join(f"{cell:>28}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="+", choices=("pure", "chunk", "request"))
    parser.add_argument("--only", action="append", choices=list(CLIENTS), help="one client; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="of measuring CPU; 0 to count instructions only")
    given = parser.parse_args()
    clients = [name for name in given.only or CLIENTS if is_installed(name)]
    for name in set(given.only or CLIENTS) - set(clients):
        print(f"{name} is not installed, and left out")
    if not measure.HAS_VALGRIND:
        print("valgrind is not installed: no instructions are counted")
    if "pure" in given.parts:
        pure.main()
    names = (*CHUNK * ("chunk" in given.parts), *REQUEST * ("request" in given.parts))
    if names:
        with running() as server:
            if measure.HAS_VALGRIND:
                count(server, clients, names)
            if given.rounds:
                time(server, clients, names, given.rounds)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
