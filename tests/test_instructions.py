"""The client gets no slower unnoticed: instructions, which valgrind counts alike each time, against a baseline."""

from __future__ import annotations

import pytest

from benchmarks import guard
from benchmarks.measure import HAS_VALGRIND

KNOWN = guard.baseline()
NAMES = sorted({name for figures in guard.known().values() for name in figures})


@pytest.fixture(scope="module")
def figures() -> dict[str, int]:
    if not HAS_VALGRIND:
        pytest.skip("valgrind is not installed: no instructions are counted")
    if KNOWN is None:
        pytest.skip(f"the baseline knows nothing of {guard.surrounding()}")
    return guard.measure()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_it_takes_as_many_instructions_as_the_baseline_says(name: str, figures: dict[str, int]) -> None:
    assert KNOWN is not None
    said = guard.complaint(name, KNOWN[name], figures[name])
    assert said is None, said


@pytest.mark.timeout(300)
def test_nothing_is_counted_that_the_baseline_does_not_know(figures: dict[str, int]) -> None:
    assert sorted(figures) == NAMES


@pytest.mark.parametrize(
    ("got", "said"),
    [
        (12_345, None),
        (12_960, None),
        (11_730, None),
        (14_000, "+13%"),
        (11_000, "-11%"),
    ],
)
def test_a_figure_may_change_by_five_percent_either_way(got: int, said: str | None) -> None:
    complaint = guard.complaint("chunk", 12_345, got)
    if said is None:
        assert complaint is None
    else:
        assert complaint == (
            f"chunk: the baseline says 12,345 instructions, got {got:,}: {said}; "
            "if this is meant, run `python -m benchmarks guard --write`"
        )
