"""The package with mutants in it: each function that can be mutated becomes a switch between itself and its mutants.

The mutants, and the switch, are those of mutmut. It leaves constants, class bodies and whatever has a decorator
(properties, above all) as they are.
"""

from __future__ import annotations

import difflib
import importlib
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

# Installed for mutation tests only, and so not where types are checked.
mutate: Any = importlib.import_module("mutmut.mutation.file_mutation").mutate_file_contents
switch_on: Any = importlib.import_module("mutmut.mutation.trampoline").set_mutant_under_test
state: Any = importlib.import_module("mutmut.state").state

PACKAGE: Final = "inference_async"

# Two kinds of mutants are none: what `cast` is told means nothing at run time, and capitals name the same codec.
_TOLD: Final = re.compile(r'(?<=\bcast\()("[^"]*"|None), ')
_CODEC: Final = re.compile(r'"UTF-(8|16-BE)"')


class Mutant(NamedTuple):
    """One change to one function.

    Attributes:
        switch: the function's name as mutmut knows it, with its module.
        name: what switches the mutant on.
        function: the function's name as readers know it, such as ``wire.sse.SSEDecoder.feed``.
        was: the lines it changes.
        now: what it makes of them.
    """

    switch: str
    name: str
    function: str
    was: str
    now: str


def planted(modules: Iterable[str], root: Path) -> list[Mutant]:
    """Copy the package to a directory, and mutate these modules of the copy, such as ``wire.sse``."""
    shutil.copytree(PACKAGE, root / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    mutants: list[Mutant] = []
    for module in modules:
        path = root / PACKAGE / f"{module.replace('.', '/')}.py"
        mutated = mutate(str(path), path.read_text())
        path.write_text(mutated.code)
        mutants += _described(module, mutated)
    return mutants


def _described(module: str, mutated: Any) -> Iterator[Mutant]:
    lines = mutated.code.splitlines()
    bodies = {
        name: [line.replace(name, "").strip() for line in lines[span.start - 1 : span.end]]
        for name, span in mutated.line_span_by_function_name.items()
    }
    for name in mutated.mutant_names:
        mangled = name.rpartition("__mutmut_")[0]
        changes = list(difflib.ndiff(bodies[f"{mangled}__mutmut_orig"], bodies[name]))
        was, now = (" ".join(line[2:] for line in changes if line.startswith(sign)) for sign in "-+")
        if _TOLD.sub("", now) == _TOLD.sub("", was) or _CODEC.sub(lambda found: found[0].lower(), now) == was:
            continue
        readable = mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        yield Mutant(f"{PACKAGE}.{module}.{mangled}", f"{PACKAGE}.{module}.{name}", f"{module}.{readable}", was, now)
