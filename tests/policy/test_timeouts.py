"""When each limit strikes, told by a clock of plain numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

from inference_async.errors import APITimeoutError, ConfigurationError
from inference_async.policy.timeouts import Deadlines, Timeouts, Wait

NAMES = ("connect", "pool", "first_token", "between_tokens", "total")


def limits(first: float | None, between: float | None, total: float | None) -> Timeouts:
    return Timeouts(first_token=first, between_tokens=between, total=total)


def test_defaults() -> None:
    timeouts = Timeouts()
    assert (timeouts.connect, timeouts.pool) == (10, 60)
    assert (timeouts.first_token, timeouts.between_tokens, timeouts.total) == (120, 60, 600)
    assert Timeouts.__struct_fields__ == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, math.nan, math.inf, -math.inf, "1", [1]], ids=repr)
def test_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^got {name}="):
        Timeouts(**{name: value})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(-2.5, "-2.5", id="as it is"),
        pytest.param(10**400, "1" + 39 * "0", id="cut at 40 characters"),
        pytest.param(10**5000, "a number", id="one that Python does not write"),
        pytest.param(1.1e9, "1100000000.0", id="more than a clock counts"),
    ],
)
def test_the_message_quotes_what_was_refused(value: float, written: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Timeouts(total=value)
    assert str(caught.value) == f"got total={written} as a timeout, expected seconds above 0, or None"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [None, 1, 0.001, 86_400.0, 1e9], ids=repr)
def test_accepted(name: str, value: float | None) -> None:
    assert getattr(Timeouts(**{name: value}), name) == value


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        setattr(Timeouts(), "total", 1.0)  # noqa: B010  (a type checker would refuse the plain assignment)


def test_a_call_begins_with_the_total() -> None:
    deadlines = Deadlines(limits(5, 2, 60), now=100.0)
    assert (deadlines.started, deadlines.phase, deadlines.until) == (100.0, "total", 160.0)


@pytest.mark.parametrize(
    ("timeouts", "phase", "at", "struck", "until"),
    [
        pytest.param(limits(5, 2, 60), "first_token", 100.0, "first_token", 105.0, id="first token"),
        pytest.param(limits(5, 2, 60), "between_tokens", 110.0, "between_tokens", 112.0, id="between tokens"),
        pytest.param(limits(5, 2, 60), "total", 110.0, "total", 160.0, id="total"),
        pytest.param(limits(5, 2, 60), "between_tokens", 159.0, "total", 160.0, id="total ends sooner"),
        pytest.param(limits(5, 2, 60), "between_tokens", 158.0, "total", 160.0, id="a tie is the total's"),
        pytest.param(limits(5, 2, 60), "between_tokens", 157.5, "between_tokens", 159.5, id="just before the total"),
        pytest.param(limits(90, 2, 60), "first_token", 100.0, "total", 160.0, id="longer than the total"),
        pytest.param(limits(None, 2, 60), "first_token", 100.0, "total", 160.0, id="first token off"),
        pytest.param(limits(5, None, 60), "between_tokens", 120.0, "total", 160.0, id="between tokens off"),
        pytest.param(limits(5, 2, None), "first_token", 100.0, "first_token", 105.0, id="total off"),
        pytest.param(limits(5, 2, None), "total", 100.0, "total", None, id="waiting for a total that is off"),
        pytest.param(limits(None, None, None), "first_token", 100.0, "total", None, id="all off"),
        pytest.param(limits(5, 2, 60), "first_token", 1000.0, "total", 160.0, id="total already over"),
    ],
)
def test_wait(timeouts: Timeouts, phase: Wait, at: float, struck: Wait, until: float | None) -> None:
    deadlines = Deadlines(timeouts, now=100.0)
    deadlines.wait_for(phase, now=at)
    assert (deadlines.phase, deadlines.until, deadlines.started) == (struck, until, 100.0)


@pytest.mark.parametrize("at", [100.0, 157.5, 158.0, 159.0, 1000.0])
@pytest.mark.parametrize("total", [60, None], ids=["total", "total off"])
@pytest.mark.parametrize("between", [2, None], ids=["between tokens", "between tokens off"])
def test_the_wait_of_every_read_is_a_wait_like_others(between: float | None, total: float | None, at: float) -> None:
    short, long = Deadlines(limits(5, between, total), now=100.0), Deadlines(limits(5, between, total), now=100.0)
    for deadlines in (short, long):
        deadlines.wait_for("first_token", now=100.0)
    short.wait_for_token(at)
    long.wait_for("between_tokens", now=at)
    assert (short.phase, short.until) == (long.phase, long.until)


def test_each_wait_begins_anew() -> None:
    deadlines = Deadlines(limits(5, 2, 60), now=0.0)
    seen: list[tuple[Wait, float | None]] = []
    waits: list[tuple[Wait, float]] = [
        ("first_token", 0.0),
        ("between_tokens", 4.0),
        ("between_tokens", 5.5),
        ("between_tokens", 59.0),
        ("first_token", 1.0),
    ]
    for phase, now in waits:
        deadlines.wait_for(phase, now=now)
        seen.append((deadlines.phase, deadlines.until))
    assert seen == [
        ("first_token", 5.0),
        ("between_tokens", 6.0),
        ("between_tokens", 7.5),
        ("total", 60.0),
        ("first_token", 6.0),
    ]


@pytest.mark.parametrize(
    ("total", "now", "left"),
    [
        pytest.param(60, 100.0, 60.0, id="all of it"),
        pytest.param(60, 145.0, 15.0, id="some"),
        pytest.param(60, 170.0, -10.0, id="over"),
        pytest.param(None, 170.0, None, id="off"),
    ],
)
def test_left_until_the_total(total: float | None, now: float, left: float | None) -> None:
    deadlines = Deadlines(limits(5, 2, total), now=100.0)
    deadlines.wait_for("first_token", now=100.0)
    assert deadlines.left(now=now) == left


@pytest.mark.parametrize(
    ("phase", "now", "words"),
    [
        ("pool", 160.0, ("none of the client's max_connections became free within 30 s", "'pool'", "60 s after")),
        ("first_token", 105.0, ("no piece of the answer came within 5 s", "'first_token'", "5 s after")),
        ("between_tokens", 102.5, ("the answer stopped growing within 2 s", "'between_tokens'", "2.5 s after")),
        ("total", 160.0, ("the call was not finished within 60 s", "'total'", "60 s after")),
    ],
)
def test_error(phase: Wait, now: float, words: tuple[str, ...]) -> None:
    deadlines = Deadlines(Timeouts(pool=30, first_token=5, between_tokens=2, total=60), now=100.0)
    deadlines.wait_for(phase, now=100.0)
    error = deadlines.error(now=now)
    assert type(error) is APITimeoutError.for_phase(phase)
    assert isinstance(error, TimeoutError)
    assert (error.phase, error.elapsed, error.chunks, error.partial) == (phase, now - 100.0, 0, None)
    assert str(error).startswith(words[0])
    assert all(word in str(error) for word in words)


def test_error_names_the_limit_that_struck() -> None:
    deadlines = Deadlines(limits(5, 2, 60), now=0.0)
    deadlines.wait_for("between_tokens", now=59.5)
    error = deadlines.error(now=60.0)
    assert error.phase == "total"
    assert "within 60 s" in str(error)


def test_without_a_total_the_first_wait_may_last() -> None:
    deadlines = Deadlines(Timeouts(total=None), now=100.0)
    assert (deadlines.phase, deadlines.until, deadlines.left(now=100.0)) == ("total", None, None)
