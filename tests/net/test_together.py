"""Several calls at once: in order, within the limit, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from inference_async.errors import APIConnectionError, ConfigurationError, CredentialError
from inference_async.net.together import in_order, until_done


def returns(value: Any, after: int = 0) -> Callable[[], Awaitable[Any]]:
    """A step that gives way `after` times."""

    async def step() -> Any:
        for _ in range(after):
            await asyncio.sleep(0)
        return value

    return step


def raises(error: BaseException, after: int = 0) -> Callable[[], Awaitable[Any]]:
    async def step() -> Any:
        for _ in range(after):
            await asyncio.sleep(0)
        raise error

    return step


class Steps:
    """Steps that wait until they are let go, and say how many run."""

    def __init__(self, count: int) -> None:
        self.running = 0
        self.most = 0
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self.gates = [asyncio.Event() for _ in range(count)]

    def step(self, index: int) -> Callable[[], Awaitable[int]]:
        async def run() -> int:
            self.begun.append(index)
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await self.gates[index].wait()
            except asyncio.CancelledError:
                self.cancelled.append(index)
                raise
            finally:
                self.running -= 1
            return index

        return run

    @property
    def all(self) -> list[Callable[[], Awaitable[int]]]:
        return [self.step(index) for index in range(len(self.gates))]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_results_are_in_the_order_of_the_steps_not_of_their_ends() -> None:
    assert await in_order([returns(index, after=9 - index) for index in range(10)], limit=10) == list(range(10))


async def test_no_steps() -> None:
    assert await in_order([], limit=1) == []


async def test_one_step_runs_in_the_task_of_the_caller() -> None:
    async def step() -> asyncio.Task[Any] | None:
        return asyncio.current_task()

    assert await in_order([step], limit=1) == [asyncio.current_task()]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_the_limit_is_kept_and_used(limit: int) -> None:
    steps = Steps(7)
    running = asyncio.ensure_future(in_order(steps.all, limit=limit))
    await settle()
    assert steps.running == min(limit, 7)
    for gate in steps.gates:
        gate.set()
        await settle()
    assert await running == list(range(7))
    assert steps.most == min(limit, 7)


async def test_a_free_slot_goes_to_the_next_step() -> None:
    steps = Steps(4)
    running = asyncio.ensure_future(in_order(steps.all, limit=2))
    await settle()
    steps.gates[1].set()
    await settle()
    assert steps.begun == [0, 1, 2]
    for gate in steps.gates:
        gate.set()
    assert await running == [0, 1, 2, 3]
    assert steps.begun == [0, 1, 2, 3]


@pytest.mark.parametrize("limit", [0, -1, True, False, 1.5, "2", None], ids=repr)
@pytest.mark.parametrize("count", [0, 1, 2])
async def test_a_limit_that_is_none(limit: Any, count: int) -> None:
    begun: list[int] = []

    async def step() -> None:
        begun.append(1)

    with pytest.raises(ConfigurationError, match=f"got a limit of {limit!r} at once, expected a number above 0"):
        await in_order([step] * count, limit=limit)
    assert begun == []


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_an_error_is_itself_and_no_group(count: int) -> None:
    error = APIConnectionError("cut", request_id="r1")
    with pytest.raises(APIConnectionError) as caught:
        await in_order([raises(error), *[returns(1, after=50)] * (count - 1)], limit=5)
    assert caught.value is error


@pytest.mark.parametrize("count", [1, 2])
async def test_an_error_keeps_its_cause(count: int) -> None:
    cause = RuntimeError("the vault is locked")

    async def step() -> None:
        raise CredentialError("no token") from cause

    with pytest.raises(CredentialError) as caught:
        await in_order([step] * count, limit=2)
    assert caught.value.__cause__ is cause


async def test_a_group_of_a_step_is_its_error() -> None:
    group = ExceptionGroup("of the step", [ValueError("a")])
    with pytest.raises(ExceptionGroup) as caught:
        await in_order([returns(1, after=20), raises(group)], limit=2)
    assert caught.value is group


async def test_the_first_error_ends_the_others_and_waits_for_their_end() -> None:
    steps = Steps(3)
    error = APIConnectionError("cut")
    with pytest.raises(APIConnectionError) as caught:
        await in_order([*steps.all, raises(error, after=3)], limit=4)
    assert caught.value is error
    assert sorted(steps.cancelled) == [0, 1, 2]
    assert steps.running == 0


async def test_no_step_begins_after_the_first_error() -> None:
    steps = Steps(3)
    with pytest.raises(APIConnectionError):
        await in_order([raises(APIConnectionError("cut"), after=3), *steps.all], limit=2)
    assert steps.begun == [0]


async def test_the_first_in_time_is_the_first() -> None:
    late, early = APIConnectionError("late"), APIConnectionError("early")
    with pytest.raises(APIConnectionError, match="early"):
        await in_order([raises(late, after=30), raises(early, after=1)], limit=2)


async def test_what_a_cancelled_step_raises_does_not_hide_the_first_error() -> None:
    async def sore() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("sore loser")

    with pytest.raises(APIConnectionError, match="cut"):
        await in_order([sore, raises(APIConnectionError("cut"), after=3)], limit=2)


@pytest.mark.parametrize("count", [1, 4])
async def test_cancelling_leaves_no_task(count: int) -> None:
    before = asyncio.all_tasks()
    steps = Steps(count)
    running = asyncio.ensure_future(in_order(steps.all, limit=2))
    await settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(steps.cancelled) == list(range(min(count, 2)))
    assert steps.running == 0
    assert asyncio.all_tasks() == before


async def test_the_callers_own_timeout_is_the_callers() -> None:
    steps = Steps(3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await in_order(steps.all, limit=3)
    assert steps.running == 0


async def test_a_step_that_ends_cancelled_is_no_other_error() -> None:
    async def gives_up() -> int:
        sleeper = asyncio.ensure_future(asyncio.sleep(9))
        sleeper.cancel()
        await sleeper
        return 1

    async def fine() -> int:
        return 2

    with pytest.raises(asyncio.CancelledError):
        await in_order([fine, gives_up, fine], limit=2)


async def test_until_done_waits_however_often_it_is_cancelled() -> None:
    go_on, ended = asyncio.Event(), False

    async def work() -> None:
        nonlocal ended
        await go_on.wait()
        ended = True

    waiting = asyncio.create_task(until_done(asyncio.create_task(work())))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended
