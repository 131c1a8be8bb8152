"""`python -m tests.mutation [part ...]`: whether tests notice changes of the code, part by part of parts.toml.

A mutant that known.toml names, with the reason why no test need kill it, does not count. It is named by its function
and by the lines it changes, before and after: so a reason goes with the line it was given for. Fails below a goal,
where a mutant ended neither killed nor alive, and over a known mutant that is not alive.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.mutation.mutants import PACKAGE, Mutant, planted
from tests.mutation.running import KILLED, SURVIVED, from_child, outcomes

HERE: Final = Path(__file__).parent
TESTS: Final = ["tests/test_errors.py", "tests/policy", "tests/wire", "tests/conformance"]
LEFT_OUT: Final = [
    "-m", "not hypothesis",  # slow, and what they find belongs into a table
    "--deselect=tests/wire/test_endpoints.py::test_a_warning_points_at_the_caller",  # counts stack frames
    "--deselect=tests/wire/test_sse.py::test_event_of_four_mebibytes_in_single_bytes",  # slow, as is the next
    "--deselect=tests/wire/test_sse.py::test_peak_memory_of_a_long_line",
]  # fmt: skip


def module_of(glob: str) -> str:
    """The module that a function, or a glob of some, is in."""
    names = glob.split(".")
    candidates = (names[:size] for size in range(len(names) - 1, 0, -1))
    return next(".".join(found) for found in candidates if Path(PACKAGE, *found).with_suffix(".py").exists())


def verdict(part: str, goal: float, found: dict[Mutant, str], known: dict[tuple[str, str, str], str]) -> Iterator[str]:
    """What is to be said of a part; the last line begins with "not" where it misses its goal."""
    alive = [mutant for mutant, outcome in found.items() if outcome != KILLED]
    unknown = [mutant for mutant in alive if found[mutant] != SURVIVED or mutant[2:] not in known]
    for mutant in unknown:
        yield f"  {mutant.function} {found[mutant]}\n    - {mutant.was}\n    + {mutant.now}"
    counted = len(found) - (len(alive) - len(unknown))
    percent = 100 * (counted - len(unknown)) / counted if counted else 0.0
    untold = Counter(found[mutant] for mutant in unknown if found[mutant] != SURVIVED)
    stale = set(known) - {mutant[2:] for mutant in alive}
    for function, was, now in sorted(stale):
        yield f"  {function} is known to survive, and does not\n    - {was}\n    + {now}"
    reached = percent >= goal and not stale and set(untold) <= {"met no test"}
    yield (
        f"{'' if reached else 'not '}reached: {part}, {len(found)} mutants, {len(found) - len(alive)} killed, "
        f"{len(alive) - len(unknown)} known, {len(unknown)} survived: {percent:.1f} %, goal {goal} %"
    )


def main() -> int:
    parts: dict[str, dict[str, Any]] = tomllib.loads((HERE / "parts.toml").read_text())
    known: list[dict[str, str]] = tomllib.loads((HERE / "known.toml").read_text()).get("mutant", [])
    asked = sys.argv[1:] or list(parts)
    if unknown := set(asked) - set(parts):
        sys.exit(f"got {', '.join(sorted(unknown))}, expected some of {', '.join(parts)}")
    missed = False
    for part in asked:
        began = time.monotonic()
        rule = parts[part]
        globs: list[str] = rule.get("functions", [f"{part}.*"])
        with tempfile.TemporaryDirectory(prefix="mutants-") as root:
            every = planted(sorted({module_of(glob) for glob in globs}), Path(root))
            mutants = [mutant for mutant in every if any(fnmatch(mutant.function, glob) for glob in globs)]
            arguments = [*TESTS, *rule.get("tests", []), *LEFT_OUT]
            found = from_child(partial(outcomes, mutants, Path(root), arguments))
        reasons = {
            (row["function"], row["was"], row["now"]): row["why"]
            for row in known
            if any(fnmatch(row["function"], glob) for glob in globs)
        }
        for line in verdict(part, rule["goal"], found, reasons):
            print(line, flush=True)
            missed |= line.startswith("not ")
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
