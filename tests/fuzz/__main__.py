"""`python -m tests.fuzz TARGET [--seconds N]`: feed a target what atheris makes up; what it finds is kept.

New inputs that reach new code go to the directory of ``--found`` (by default a temporary one); an input that fails is
written to ``crash-...`` there. `--minimise` puts the smallest set of inputs with the same reach into the corpus.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

atheris: Any = importlib.import_module("atheris")  # has no types, and is not installed but for fuzzing

with atheris.instrument_imports(include=["inference_async.wire", "inference_async.types"]):
    from tests.fuzz.targets import TARGETS, run

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 2048


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--found", type=Path, default=None)
    parser.add_argument("--minimise", action="store_true")
    given = parser.parse_args()
    kept = CORPUS / given.target
    kept.mkdir(parents=True, exist_ok=True)
    found = given.found or Path(tempfile.mkdtemp(prefix="fuzz-"))
    found.mkdir(parents=True, exist_ok=True)
    options = [f"-max_len={LONGEST}", f"-artifact_prefix={found}/", "-timeout=10"]
    if given.minimise:
        options += ["-merge=1", str(kept), str(found)]
    else:
        options += [f"-max_total_time={given.seconds}", "-print_final_stats=1", str(found), str(kept)]
    target = TARGETS[given.target]
    atheris.Setup([sys.argv[0], *options], lambda data: run(target, data))
    atheris.Fuzz()


main()
