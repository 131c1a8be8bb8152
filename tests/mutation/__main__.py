"""`python -m tests.mutation [part ...]`: whether tests notice changes of the code, part by part of parts.toml.

A mutant that known.toml names, with the reason why no test need kill it, does not count. It is named by its function
and by the lines it changes, before and after: so a reason goes with the line it was given for. Fails below a goal,
where a mutant ended neither killed nor alive, and over a known mutant that is not alive.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.mutation.mutants import PACKAGE, Mutant, planted
from tests.mutation.running import KILLED, SURVIVED, UNMET, Part, run

HERE: Final = Path(__file__).parent
LEFT_OUT: Final = [
    "--deselect=tests/wire/test_endpoints.py::test_a_warning_points_at_the_caller",  # counts stack frames
    "--deselect=tests/wire/test_sse.py::test_event_of_four_mebibytes_in_single_bytes",  # slow, as is the next
    "--deselect=tests/wire/test_sse.py::test_peak_memory_of_a_long_line",
]


def module_of(glob: str) -> str:
    """The module that a function, or a glob of some, is in."""
    names = glob.split(".")
    candidates = (names[:size] for size in range(len(names) - 1, 0, -1))
    return next(".".join(found) for found in candidates if Path(PACKAGE, *found).with_suffix(".py").exists())


def verdict(part: str, goal: float, found: dict[Mutant, str], known: set[tuple[str, str, str]]) -> Iterator[str]:
    """What is to be said of a part; the last line begins with "not" where it misses its goal."""
    alive = {mutant: outcome for mutant, outcome in found.items() if outcome != KILLED}
    unknown = {mutant: outcome for mutant, outcome in alive.items() if outcome != SURVIVED or mutant[2:] not in known}
    for mutant, outcome in unknown.items():
        yield f"  {mutant.function} {outcome}\n    - {mutant.was}\n    + {mutant.now}"
    stale = known - {mutant[2:] for mutant in alive}
    for function, was, now in sorted(stale):
        yield f"  {function} is known to survive, and does not\n    - {was}\n    + {now}"
    killed, excused = len(found) - len(alive), len(alive) - len(unknown)
    percent = 100 * killed / (killed + len(unknown)) if killed else 0.0
    reached = percent >= goal and not stale and {SURVIVED, UNMET}.issuperset(unknown.values())
    yield (
        f"{'' if reached else 'not '}reached: {part}, {len(found)} mutants, {killed} killed, {excused} known, "
        f"{len(unknown)} survived: {percent:.1f} %, goal {goal} %"
    )


def main() -> int:
    rules: dict[str, dict[str, Any]] = tomllib.loads((HERE / "parts.toml").read_text())
    known: list[dict[str, str]] = tomllib.loads((HERE / "known.toml").read_text()).get("mutant", [])
    asked = sys.argv[1:] or list(rules)
    if unknown := set(asked) - set(rules):
        sys.exit(f"got {', '.join(sorted(unknown))}, expected some of {', '.join(rules)}")
    globs: dict[str, list[str]] = {part: rules[part].get("functions", [f"{part}.*"]) for part in asked}
    missed: list[str] = []

    def ended(part: str, found: dict[Mutant, str]) -> None:
        rows = [row for row in known if belongs(row["function"], globs[part])]
        excused = {(row["function"], row["was"], row["now"]) for row in rows if row["why"]}
        for line in verdict(part, rules[part]["goal"], found, excused):
            print(line, flush=True)
            if line.startswith("not "):
                missed.append(part)

    with tempfile.TemporaryDirectory(prefix="mutants-") as root:
        mutants = planted(sorted({module_of(glob) for part in asked for glob in globs[part]}), Path(root))
        parts = [
            Part(
                mutants=[mutant for mutant in mutants if belongs(mutant.function, globs[part])],
                tests=tuple(rules[part]["tests"]),
                ended=partial(ended, part),
            )
            for part in asked
        ]
        run(parts, Path(root), LEFT_OUT)
    return int(bool(missed))


def belongs(function: str, globs: list[str]) -> bool:
    return any(fnmatch(function, glob) for glob in globs)


if __name__ == "__main__":
    sys.exit(main())
