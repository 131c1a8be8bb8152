"""One timer for all waits of a call: when it strikes, whom it strikes, and what it leaves alone."""

from __future__ import annotations

import asyncio

import pytest

from inference_async import WrongEventLoopError
from inference_async.net.watch import Guard, Watch


class Watched(Watch):
    """Notes that a wait outside of the context was ended."""

    __slots__ = ("struck_at",)

    def __init__(self, guard: Guard) -> None:
        super().__init__(guard)
        self.struck_at: list[float | None] = []

    def strike(self) -> None:
        self.struck_at.append(self.until)


@pytest.fixture
async def watch() -> Watched:
    return Watched(Guard(asyncio.get_running_loop()))


def soon(watch: Watch, seconds: float = 0.02) -> float:
    return watch.loop.time() + seconds


async def test_a_wait_that_is_over_is_a_timeout(watch: Watched) -> None:
    with pytest.raises(TimeoutError), watch:  # noqa: PT012  (the limit is set inside, as by those who send)
        watch.watch(soon(watch))
        await asyncio.sleep(30)
    assert watch.struck
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_wait_that_ends_in_time(watch: Watched) -> None:
    with watch:
        watch.watch(soon(watch))
    await asyncio.sleep(0.04)  # the timer strikes, and there is nothing to end
    assert not watch.struck
    assert not watch.struck_at


async def test_moving_the_end_away_takes_no_new_timer(watch: Watched) -> None:
    guard = watch._guard
    with watch:
        watch.watch(soon(watch, 0.01))
        timer = guard._timer
        watch.watch(soon(watch, 0.2))
        assert guard._timer is timer
        await asyncio.sleep(0.03)
        assert guard._timer is not timer  # it has looked, and looks again
    watch.stop()
    await asyncio.sleep(0.2)
    assert guard._timer is None  # nobody is left to look at


async def test_moving_the_end_nearer(watch: Watched) -> None:
    with pytest.raises(TimeoutError), watch:  # noqa: PT012
        watch.watch(soon(watch, 30))
        watch.watch(soon(watch, 0.01))
        await asyncio.sleep(30)


async def test_no_limit(watch: Watched) -> None:
    with watch:
        watch.watch(None)
        await asyncio.sleep(0.01)
    assert watch._guard._timer is None


async def test_a_limit_that_is_dropped(watch: Watched) -> None:
    with watch:
        watch.watch(soon(watch, 0.01))
        watch.watch(None)
        await asyncio.sleep(0.03)
    assert not watch.struck


async def test_outside_of_the_context_the_connection_is_cut(watch: Watched) -> None:
    until = soon(watch, 0.01)
    watch.watch(until)
    await asyncio.sleep(0.03)
    assert watch.struck_at == [until]
    await asyncio.sleep(0.03)
    assert watch.struck_at == [until]  # once
    watch.watch(soon(watch, 0.01))
    watch.until = None  # the wait has ended
    await asyncio.sleep(0.03)
    assert watch.struck_at == [until]


async def test_a_cancellation_of_the_callers_is_no_timeout(watch: Watched) -> None:
    async def work() -> None:
        with watch:
            watch.watch(soon(watch, 30))
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not watch.struck
    watch.stop()


async def test_a_cancellation_beside_the_limit_is_not_lost(watch: Watched) -> None:
    async def work() -> None:
        with watch:
            watch.watch(soon(watch, 0.0))
            try:
                await asyncio.sleep(30)
            finally:
                task.cancel()  # before the context is left

    task = asyncio.create_task(work())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert watch.struck


async def test_an_error_beside_the_limit_is_kept(watch: Watched) -> None:
    async def work() -> None:
        with watch:
            watch.watch(soon(watch, 0.0))
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                raise ValueError("mine") from None

    with pytest.raises(ValueError, match="mine"):
        await asyncio.create_task(work())


async def test_ending_from_outside(watch: Watched) -> None:
    watch.end()  # nobody waits
    with pytest.raises(TimeoutError), watch:  # noqa: PT012
        watch.watch(None)
        watch.end()
        watch.end()
        await asyncio.sleep(30)
    with watch:
        watch.end()
    await asyncio.sleep(0.01)  # too late: the wait has ended


async def test_it_can_be_entered_again(watch: Watched) -> None:
    for _ in range(2):
        with pytest.raises(TimeoutError), watch:  # noqa: PT012
            watch.watch(soon(watch, 0.0))
            await asyncio.sleep(30)
    with watch:
        pass
    assert not watch.struck


async def test_outside_of_a_task(watch: Watched) -> None:
    found: list[BaseException] = []

    def enter() -> None:
        try:
            with watch:
                pass
        except WrongEventLoopError as error:
            found.append(error)

    watch.loop.call_soon(enter)
    await asyncio.sleep(0)
    assert "in a task" in str(found[0])


async def test_waits_share_a_timer() -> None:
    guard = Guard(asyncio.get_running_loop())
    watches = [Watched(guard) for _ in range(4)]
    for watch, seconds in zip(watches, (0.03, 30, 0.01, 0.05), strict=True):
        watch.watch(guard.loop.time() + seconds)
    watches[3].stop()
    await asyncio.sleep(0.02)
    assert [len(watch.struck_at) for watch in watches] == [0, 0, 1, 0]
    await asyncio.sleep(0.06)
    assert [len(watch.struck_at) for watch in watches] == [1, 0, 1, 0]
    guard.stop()
    assert guard._timer is None
    assert not guard.watches


async def test_many_ends_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard(asyncio.get_running_loop())
    looks = 0
    look = Guard._look

    def counted(self: Guard) -> None:
        nonlocal looks
        looks += 1
        look(self)

    monkeypatch.setattr(Guard, "_look", counted)
    now = guard.loop.time()
    watches = [Watched(guard) for _ in range(1000)]
    for index, watch in enumerate(watches):
        watch.watch(now + 0.01 + index * 50e-6)  # one after the other, within 50 ms
    await asyncio.sleep(0.2)
    assert all(watch.struck_at for watch in watches)
    assert looks < 12


async def test_a_connection_that_cannot_be_cut_leaves_the_others_watched() -> None:
    class Broken(Watched):
        def strike(self) -> None:
            raise OSError("no")

    guard = Guard(asyncio.get_running_loop())
    told: list[object] = []
    guard.loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    broken, sound = Broken(guard), Watched(guard)
    broken.watch(soon(broken, 0.01))
    sound.watch(soon(sound, 0.03))
    await asyncio.sleep(0.08)
    assert told == ["a connection could not be cut"]
    assert len(sound.struck_at) == 1
    guard.stop()
