"""Every input that was ever interesting to the fuzzer, once more; see `targets.py` for what must hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, run

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(name: str) -> None:
    kept = sorted((CORPUS / name).iterdir())
    assert kept, f"no input is kept for {name}"
    for path in kept:
        try:
            run(TARGETS[name], path.read_bytes())
        except AssertionError as error:
            raise AssertionError(f"{path.name}: {error}") from error


def test_every_input_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
