"""Every fault, asked for the whole and for a stream: one answer or one error, what it says, and nothing left.

The calls of a group of the catalogue are made at once, when its first row is asked for; each row is a test of its own.
"""

from __future__ import annotations

import asyncio
from functools import cache

import pytest

from inference_async.emulator import FAULTS

from .expected import EXPECTED, KINDS, Kind, Right, acceptable
from .running import HUNG, KEY, LONG, PROMPT, Ended, Remains, batch, mismatch, one_call, remains, sightings

GROUPS = list(dict.fromkeys(fault.group for fault in FAULTS.values()))


@cache
def outcomes(group: str) -> tuple[dict[tuple[str, Kind], Ended], Remains]:
    async def run() -> tuple[dict[tuple[str, Kind], Ended], Remains]:
        with remains() as left:
            ended = await batch((name, kind) for name, kind in EXPECTED if FAULTS[name].group == group)
        return ended, left

    return asyncio.run(run())


def test_every_fault_has_a_row_and_every_row_a_fault() -> None:
    assert sorted(EXPECTED) == sorted((name, kind) for name in FAULTS for kind in KINDS)


def test_a_fault_of_one_kind_of_answer_leaves_the_other_alone() -> None:
    for name, fault in FAULTS.items():
        if fault.kind != "both":
            assert EXPECTED[name, "complete" if fault.kind == "stream" else "stream"] == Right(), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_call_ends_as_it_should(name: str, kind: Kind) -> None:
    ended = outcomes(FAULTS[name].group)[0][name, kind]
    problem = mismatch(ended, EXPECTED[name, kind])
    assert problem is None, problem
    assert ended.left == 0, "a connection was open when the client was closed"
    assert ended.seconds < ended.limit + HUNG - LONG
    if ended.error is not None:
        assert sightings(ended.error) == []


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_is_left_and_nothing_is_said(group: str) -> None:
    left = outcomes(group)[1]
    assert left.tasks == []
    assert left.complaints == []
    assert left.warnings == []
    assert [line for line in left.logged if KEY in line or PROMPT in line or not line.startswith("DEBUG")] == []


def test_the_table_is_held_against_what_happens() -> None:
    """A row that is wrong in any one thing fails."""
    for name, kind in EXPECTED:
        if FAULTS[name].group in ("good", "event"):
            ended = outcomes(FAULTS[name].group)[0][name, kind]
            for row in acceptable(EXPECTED[name, kind]):
                other = EXPECTED["cut-in-chunk", kind] if isinstance(row, Right) else Right()
                assert mismatch(ended, other) is not None


async def test_what_is_left_is_seen() -> None:
    """A task, a warning, an exception that nobody took, and a key in a log are found."""
    import logging
    import warnings

    async def fails() -> None:
        raise LookupError("nobody takes this")

    forever = asyncio.Event()
    with remains() as left:
        task = asyncio.create_task(forever.wait())
        lost: asyncio.Task[None] | None = asyncio.create_task(fails())
        await asyncio.sleep(0.01)
        lost = None
        warnings.warn("left open", ResourceWarning, stacklevel=1)
        logging.getLogger("any").debug("sent %s", KEY)
    forever.set()
    await task
    assert lost is None
    assert len(left.tasks) == 1
    assert "nobody takes this" in str(left.complaints)
    assert "left open" in str(left.warnings)
    assert KEY in str(left.logged)


async def test_a_key_in_an_error_is_seen() -> None:
    def fails(secret: str) -> None:
        assert secret
        raise ValueError("no")

    with pytest.raises(ValueError) as caught:
        fails(KEY)
    assert sightings(caught.value) == ["locals of frames"]
    assert sightings(ValueError(PROMPT)) == ["ValueError str", "ValueError repr", "ValueError args", "traceback"]
    caused = ValueError("no")
    caused.__cause__ = LookupError(PROMPT)
    assert sightings(caused)


async def test_a_call_that_hangs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.running.HUNG", 0.05)
    ended = await one_call("silence", "stream")
    assert type(ended.error) is TimeoutError
    assert mismatch(ended, EXPECTED["silence", "stream"]) is not None
