"""The life of a client, made up by hypothesis: whatever is done with it and to it, each call ends as it should.

One client at a time, one server, one event loop, which stands still between the steps. Each request has a number of its
own in its prompt, and the server answers under that number. `tests/faults/expected.py` says what a call may end in, by
the fault that the server had when the call was made; a fault that is to meet a limit on time meets a short one.

`nox -s properties` makes up many more lives than the test suite does.
"""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference_async import (
    APIConnectionError,
    APITimeoutError,
    BetweenTokensTimeoutError,
    ChatCompletion,
    ChatStream,
    ClientClosedError,
    FirstTokenTimeoutError,
    InferenceClient,
    InferenceError,
    PoolTimeoutError,
    RetryPolicy,
    Timeouts,
    TotalTimeoutError,
)
from inference_async.emulator import FAULTS, Asked, Fault, FaultServer
from inference_async.emulator.behaviour import FINE, End
from inference_async.emulator.bodies import golden
from tests.faults.expected import EXPECTED, KINDS, Kind, Right, Wrong, acceptable
from tests.faults.running import KEY, LIMITS, PROMPT, remains, sightings, timeouts_for
from tests.faults.stepping import frozen, turn

T = TypeVar("T")

PLACES: Final = 3
SERVER_TASKS = ("FaultServer._", "_accept_connection2")
SHORT: Final = 0.02  # seconds, for a limit that is to strike
PAUSE: Final = 0.001
HUNG: Final = 20.0
QUICK: Final = RetryPolicy(retries=1, backoff=0.001, max_retry_after=0.001)

LEFT_OUT: Final = {
    "drip-head",  # takes a pause for each byte, as does the next
    "drip-body",
    "stall-before-end",  # a good answer, whose connection is kept and never answers again
    "status-205",  # its explanation is waited for, which takes 5 s
    "stray-answer-first",  # nothing tells an answer that came before its request from the one that follows
}
SIZES: Final = ["endless-events", "endless-pings", "endless-line", "endless-headers", "endless-trailers"]
NAMES: Final = [name for name, fault in FAULTS.items() if fault.group != "size" and name not in LEFT_OUT] + SIZES

REUSES: Final = [name for name in NAMES if FAULTS[name].group == "reuse"]

faults: Final = st.sampled_from(NAMES) | st.sampled_from(REUSES)  # some of which show in the next call only
kinds: Final = st.sampled_from(KINDS)
turns: Final = st.integers(0, 60)  # of the event loop; a good call takes some twenty
places: Final = st.integers(0, PLACES - 1)


@pytest.fixture(autouse=True, scope="module")
def _only_what_is_new_is_collected() -> Iterator[None]:
    with frozen():
        yield


@dataclass
class Call:
    """A call, and what it may end in.

    Attributes:
        number: which one it is.
        kind: what is asked for.
        fault: the name of what the server does to it.
        timeouts: the limits on its time.
        also: errors that it may end in besides those of the fault.
        stale: kept connections may die upon it, and more of them than the one that is put up with.
    """

    number: int
    kind: Kind
    fault: str
    timeouts: Timeouts
    also: tuple[type[InferenceError], ...] = ()
    stale: bool = False

    @property
    def prompt(self) -> str:
        return f"{PROMPT} number-{self.number}"

    def right(self, completion: ChatCompletion) -> None:
        """It ended in this answer."""
        said = (completion.id, completion.text, completion.finish_reason)
        assert said in [(self.id_of(row), row.text, row.finish) for row in self.rows(Right)], f"{self}: got {said}"

    def wrong(self, error: Exception) -> None:
        """It ended in this error."""
        assert isinstance(error, InferenceError), f"{self}: got {error!r}"
        rows = [row for row in self.rows(Wrong) if type(error) is row.error]
        stale = self.stale and isinstance(error, APIConnectionError) and error.stale and error.attempts > 1
        assert rows or stale or isinstance(error, self.also), f"{self}: got {error!r}"
        assert sightings(error) == []
        if error.partial is not None:
            self.began(error.partial)
            partials = [row.partial for row in rows]
            late = isinstance(error, (APITimeoutError, *self.also)) or any(text.endswith("...") for text in partials)
            assert late or error.partial.text in partials, f"{self}: got {error!r} with {error.partial.text!r}"

    def began(self, completion: ChatCompletion) -> None:
        """This much of its answer came."""
        assert completion.id in ("", *(self.id_of(row) for row in (*self.rows(Right), Right()))), (
            f"{self}: {completion}"
        )
        texts = [row.text for row in self.rows(Right)] + [row.partial for row in self.rows(Wrong)]
        said = completion.text
        assert any(text.startswith(said) or (text.endswith("...") and said.startswith(text[:-3])) for text in texts), (
            f"{self}: {said!r} is the beginning of none of {texts}"
        )

    def rows(self, kind: type[T]) -> list[T]:
        return [row for row in acceptable(EXPECTED[self.fault, self.kind]) if isinstance(row, kind)]

    def id_of(self, row: Right) -> str:
        return row.id.replace("golden", str(self.number))


@dataclass
class Held:
    """A stream that has begun, has not ended, and holds a place."""

    call: Call
    stream: ChatStream


class NumberedServer(FaultServer):
    """Its answers bear the number of what was asked.

    Attributes:
        look: called with each request.
    """

    look: Callable[[], object]

    async def _speak(self, connection: Any, fault: Fault, asked: Asked) -> End:
        def body(asked: Asked) -> Iterator[bytes | None]:
            found = re.search(rb"number-(\d+)", asked.body)
            number = found[1] if found else b"unknown"
            return (piece and piece.replace(b"chatcmpl-golden", b"chatcmpl-" + number) for piece in said(asked))

        self.look()
        if fault.kind == ("whole" if asked.stream else "stream"):
            fault = FINE
        said = fault.body or golden
        return await super()._speak(connection, msgspec.structs.replace(fault, body=body), asked)


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.exits = ExitStack()
        self.runner = self.exits.enter_context(asyncio.Runner())
        self.left = self.exits.enter_context(remains(self.runner.get_loop()))
        self.server = NumberedServer(pause=PAUSE)
        self.server.look = self.look
        self.run(self.server.start())
        self.client = self.new_client(retries=0)
        self.dying = False  # are connections that are kept
        self.calls = 0
        self.held: list[Held] = []
        self.dropped = 0
        self.most = 0
        self.failed = False
        self.turn_bad("fine")

    # What the steps are made of

    def run(self, steps: Coroutine[Any, Any, T]) -> T:
        try:
            return self.runner.run(asyncio.wait_for(steps, HUNG))
        except BaseException:
            self.failed = True  # and what is left then is of no interest
            raise

    def new_client(self, retries: int | RetryPolicy) -> InferenceClient:
        return InferenceClient(
            self.server.url, KEY, model="any", limits=LIMITS, retries=retries, max_connections=PLACES
        )

    def call(self, kind: Kind, *also: type[InferenceError], **limits: float) -> Call:
        self.calls += 1
        timeouts = timeouts_for(EXPECTED[self.fault, kind], short=SHORT)
        return Call(self.calls, kind, self.fault, msgspec.structs.replace(timeouts, **limits), also, self.dying)

    def stream(self, call: Call) -> ChatStream:
        return self.client.stream(call.prompt, timeouts=call.timeouts)

    async def asked(self, call: Call) -> ChatCompletion:
        if call.kind == "complete":
            return await self.client.complete(call.prompt, timeouts=call.timeouts)
        async with self.stream(call) as stream:
            return await stream.final()

    async def asks_for(self, call: Call) -> None:
        await self.judged(call, self.asked(call))

    async def judged(self, call: Call, answer: Awaitable[ChatCompletion]) -> None:
        """Wait for the answer, or for what comes in its place."""
        try:
            completion = await answer
        except Exception as error:
            call.wrong(error)
        else:
            call.right(completion)

    async def read(self, held: Held, count: int) -> None:
        """Read so many chunks, or up to the end of the stream."""
        call, stream = held.call, held.stream
        if call.fault == "whole-for-stream" and count:
            count += 1  # with its one chunk all of the answer is there, which then holds no place any more
        try:
            for _ in range(count):
                chunk = await anext(stream)
                assert chunk.id in ("", call.id_of(Right())), f"{call}: got {chunk}"
        except StopAsyncIteration:
            self.held.remove(held)
            call.right(stream.completion)
        except InferenceError as error:
            self.held.remove(held)
            call.wrong(error)
        else:
            call.began(stream.completion)

    async def read_up(self, held: Held, *also: type[InferenceError]) -> None:
        """Read to the end of a stream that is no longer held."""
        held.call.also += also
        await self.judged(held.call, held.stream.final())

    async def cancelled(self, task: asyncio.Task[T], after: int) -> bool:
        """Cancel the task after some turns of the loop, if it is not done; a cancellation is heeded."""
        await turn(after)
        struck = task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() == struck
        return struck

    def look(self) -> None:
        self.most = max(self.most, self.connections())

    def connections(self) -> int:
        """How many connections the client holds."""
        transport: Any = self.client._session._transport
        own = transport._own
        return 0 if own is None else len(own.session.connector._acquired)

    # What the server does

    @rule(name=faults)
    def turn_bad(self, name: str) -> None:
        """The next requests meet this fault."""
        self.fault = name
        self.dying = self.dying or FAULTS[name].then in ("fin-on-request", "rst-on-request")
        self.server._faults[:] = [FAULTS[name]]

    # What is done with a client

    def has_room(self) -> bool:
        return len(self.held) < PLACES

    def holds(self) -> bool:
        return bool(self.held)

    @precondition(has_room)
    @rule(kind=kinds, name=faults)
    def asks_a_server_that_turned_bad(self, kind: Kind, name: str) -> None:
        self.turn_bad(name)
        self.run(self.asks_for(self.call(kind)))

    @precondition(has_room)
    @rule(kind=kinds)
    def asks(self, kind: Kind) -> None:
        self.run(self.asks_for(self.call(kind)))

    @precondition(has_room)
    @rule(kind=kinds, after=turns)
    def asks_and_is_cancelled(self, kind: Kind, after: int) -> None:
        async def ask() -> None:
            call = self.call(kind)
            await self.cancelled(asyncio.create_task(self.asks_for(call)), after)

        self.run(ask())

    @precondition(has_room)
    @rule(
        kind=kinds,
        limit=st.sampled_from(
            [
                ("total", TotalTimeoutError),
                ("first_token", FirstTokenTimeoutError),
                ("between_tokens", BetweenTokensTimeoutError),
            ]
        ),
        seconds=st.sampled_from([0.0001, 0.001, 0.003, 0.01]),
    )
    def asks_in_a_hurry(self, kind: Kind, limit: tuple[str, type[InferenceError]], seconds: float) -> None:
        self.run(self.asks_for(self.call(kind, limit[1], **{limit[0]: seconds})))

    @precondition(lambda self: not self.has_room())
    @rule(kind=kinds)
    def asks_where_there_is_no_room(self, kind: Kind) -> None:
        async def ask() -> None:
            with pytest.raises(PoolTimeoutError) as caught:
                await self.asked(self.call(kind, pool=SHORT / 2))
            assert sightings(caught.value) == []

        self.run(ask())

    @rule(count=st.integers(0, 4), asked=st.lists(kinds, max_size=PLACES + 2))
    def does_many_things_at_once(self, count: int, asked: Sequence[Kind]) -> None:
        """Read all streams side by side, and ask beside them, more than there is room for."""

        async def do() -> None:
            calls = [self.call(kind) for kind in asked] if self.has_room() else []
            await asyncio.gather(
                *(self.read(held, count) for held in list(self.held)),
                *(self.asks_for(call) for call in calls),
            )

        self.run(do())

    # What is done with a stream

    @precondition(has_room)
    @rule(count=st.none() | st.integers(1, 4))
    def begins_a_stream(self, count: int | None) -> None:
        """By entering it, or by reading from it."""

        async def begin() -> None:
            call = self.call("stream")
            held = Held(call, self.stream(call))
            self.held.append(held)
            if count is not None:
                await self.read(held, count)
                return
            try:
                await held.stream.__aenter__()
            except InferenceError as error:
                self.held.remove(held)
                call.wrong(error)

        self.run(begin())

    @precondition(holds)
    @rule(at=places, count=st.integers(1, 5))
    def reads(self, at: int, count: int) -> None:
        self.run(self.read(self.held[at % len(self.held)], count))

    @precondition(holds)
    @rule(at=places)
    def reads_to_the_end(self, at: int) -> None:
        self.run(self.read_up(self.taken(at)))

    @precondition(holds)
    @rule(at=places)
    def leaves_the_loop(self, at: int) -> None:
        async def leave(held: Held) -> None:
            async with held.stream as stream:
                try:
                    async for _ in stream:
                        held.call.began(stream.completion)
                        break
                except InferenceError as error:
                    held.call.wrong(error)
            await self.is_over(held)

        self.run(leave(self.taken(at)))

    @precondition(holds)
    @rule(at=places, times=st.integers(1, 2))
    def closes(self, at: int, times: int) -> None:
        async def close(held: Held) -> None:
            for _ in range(times):
                await held.stream.aclose()
            await self.is_over(held)

        self.run(close(self.taken(at)))

    @precondition(holds)
    @rule(at=places, after=turns)
    def is_cancelled_while_it_reads(self, at: int, after: int) -> None:
        async def read(held: Held) -> None:
            if await self.cancelled(asyncio.create_task(self.read_up(held)), after):
                await self.is_over(held)

        self.run(read(self.taken(at)))

    @precondition(holds)
    @rule(at=places, after=turns)
    def closes_while_another_task_reads(self, at: int, after: int) -> None:
        async def close(held: Held) -> None:
            task = asyncio.create_task(self.read_up(held, ClientClosedError))
            await turn(after)
            await held.stream.aclose()
            await task

        self.run(close(self.taken(at)))

    @precondition(holds)
    @rule(at=places, running=st.booleans())
    def drops(self, at: int, *, running: bool) -> None:
        async def drop() -> None:
            self.taken(at)
            gc.collect()

        self.dropped += 1
        if running:
            self.run(drop())
        else:
            self.taken(at)
            gc.collect()

    def taken(self, at: int) -> Held:
        """One of the streams, which is held no longer."""
        return self.held.pop(at % len(self.held))

    async def is_over(self, held: Held) -> None:
        """A stream that was left says so; or that it failed or ended before."""
        await self.read_up(held, ClientClosedError)

    # The end of a client, and the next one

    @rule(reading=st.booleans(), asked=st.none() | kinds, after=turns, retries=st.sampled_from([0, QUICK]))
    def closes_the_client(self, *, reading: bool, asked: Kind | None, after: int, retries: int | RetryPolicy) -> None:
        async def close() -> None:
            calls = [self.call(asked, ClientClosedError)] if asked is not None and self.has_room() else []
            held, self.held = self.held, []
            tasks = [asyncio.create_task(self.asks_for(call)) for call in calls]
            if reading:
                tasks += [asyncio.create_task(self.read_up(one, ClientClosedError)) for one in held]
            await turn(after)
            await self.client.aclose()
            await asyncio.gather(*tasks)
            for one in held:
                await self.is_over(one)
            await self.is_closed()

        self.run(close())
        self.client = self.new_client(retries)
        self.dying = FAULTS[self.fault].then in ("fin-on-request", "rst-on-request")

    async def is_closed(self) -> None:
        """Nothing is left of the client, and it takes no call."""
        assert self.free() == PLACES
        await self.server.all_closed()
        for kind in KINDS:
            with pytest.raises(ClientClosedError):
                await self.asked(self.call(kind))

    # What holds at any time

    def free(self) -> int:
        found: Any = self.client._session._places
        free: int = found._value
        return free

    @invariant()
    def holds_what_it_should(self) -> None:
        """Each stream that is held has a place, and nobody else; no task is left but those of the server."""
        assert self.free() == PLACES - len(self.held)
        assert self.connections() <= len(self.held)
        assert self.most <= PLACES
        tasks = asyncio.all_tasks(self.runner.get_loop())
        assert [task for task in tasks if not any(name in repr(task.get_coro()) for name in SERVER_TASKS)] == []

    def teardown(self) -> None:
        async def end() -> None:
            while self.held:
                await self.taken(0).stream.aclose()
            await self.client.aclose()
            if not self.failed:
                await self.is_closed()
            await self.server.aclose()

        with self.exits:
            self.run(end())
        if self.failed:
            return  # the step that failed has said so
        left = self.left
        assert (left.tasks, left.complaints) == ([], []), left
        assert left.warnings == [said for said in left.warnings if "a ChatStream was dropped" in said], left
        assert len(left.warnings) == self.dropped, left
        assert [line for line in left.logged if KEY in line or PROMPT in line or not line.startswith("DEBUG")] == []


TestLife = pytest.mark.timeout(3600)(Life.TestCase)  # what hangs is seen by `HUNG`; to make a failure small takes long
TestLife.settings = settings(
    deadline=None,
    max_examples=settings().max_examples // 4,  # each is a life of thirty steps
    stateful_step_count=30,
    phases=set(Phase) - {Phase.explain},  # which takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
