"""What a run of mutation tests comes to: `python tests/mutation/verdict.py [part ...]`, after `mutmut run`.

A mutant that known.toml names, with the reason why no test need kill it, does not count. It is named by its function
and by the line it changes, before and after: so a reason goes with the line it was given for. Fails below a goal.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).parent
PACKAGE: Final = "inference_async"
ALIVE: Final = {0: "survived", 5: "met no test", 33: "met no test", None: "was not run"}
"""The exit codes of mutmut's that are no kill."""


class Mutant(NamedTuple):
    """One that lived: where it is, and the line it changes."""

    function: str
    was: str
    now: str


def verdicts() -> dict[str, int | None]:
    """Every mutant of the last run, and how its tests ended."""
    found: dict[str, int | None] = {}
    for path in sorted(Path("mutants", PACKAGE).rglob("*.meta")):
        found |= json.loads(path.read_text())["exit_code_by_key"]
    return found


def described(name: str) -> Mutant:
    shown = subprocess.run(["mutmut", "show", name], check=True, capture_output=True, text=True).stdout.splitlines()
    was, now = (
        " ".join(line[1:].strip() for line in shown if line.startswith(sign) and not line.startswith(3 * sign))
        for sign in "-+"
    )
    module, _, mangled = name.removeprefix(f"{PACKAGE}.").rpartition(".")
    function = mangled.rpartition("__mutmut_")[0].removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    return Mutant(f"{module}.{function}", was, now)


def known_mutants() -> set[Mutant]:
    rows: list[dict[str, str]] = tomllib.loads((HERE / "known.toml").read_text()).get("mutant", [])
    assert all(row["why"] for row in rows)
    return {Mutant(row["function"], row["was"], row["now"]) for row in rows}


def reached(part: str, rule: dict[str, Any], found: dict[str, int | None], known: set[Mutant]) -> Iterator[str]:
    """What is to be said of a part; the last line begins with "not" where it misses its goal."""
    globs = [f"{PACKAGE}.{glob}" for glob in rule["mutants"]]
    mine = {name: code for name, code in found.items() if any(fnmatch(name, glob) for glob in globs)}
    alive = {name: described(name) for name, code in mine.items() if code in ALIVE}
    open_ones = {name: mutant for name, mutant in alive.items() if mutant not in known}
    for name, mutant in open_ones.items():
        yield f"  {name} {ALIVE[mine[name]]}\n    - {mutant.was}\n    + {mutant.now}"
    counted = len(mine) - len(alive) + len(open_ones)
    percent = 100 * (counted - len(open_ones)) / counted if counted else 0.0
    yield (
        f"{'' if percent >= rule['goal'] else 'not '}reached: {part}, {len(mine)} mutants, "
        f"{len(mine) - len(alive)} killed, {len(alive) - len(open_ones)} known, {len(open_ones)} survived: "
        f"{percent:.1f} %, goal {rule['goal']} %"
    )


def main() -> int:
    parts: dict[str, dict[str, Any]] = tomllib.loads((HERE / "parts.toml").read_text())
    found, known = verdicts(), known_mutants()
    missed = False
    for part in sys.argv[1:] or parts:
        for line in reached(part, parts[part], found, known):
            print(line)
            missed |= line.startswith("not ")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
