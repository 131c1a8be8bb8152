"""The emulator in a thread of its own, so that it serves tests of any kind: async under any plugin, or sync."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import msgspec

from ..client import InferenceClient
from ..emulator import Answer, Asked, Emulator, Fault, FaultServer, Script
from ..emulator.server import Addresses
from ..errors import ClientStateError, ConfigurationError
from ..net.aiohttp import AiohttpTransport
from ..net.transport import Reply
from ..types import ChatCompletion, ToolCall
from ..wire.request import Call

__all__ = ["BoundTransport", "RunningEmulator", "close_from_outside"]


class RunningEmulator(Addresses):
    """An emulator that runs in a thread during a ``with`` block, and misbehaves on request.

    ::

        with RunningEmulator() as emulator:
            emulator.script("Rain.", tool_call("forecast", city="Oslo"))
            emulator.fault("status-503")
            ...  # the next request gets a 503, those after it get the answers
            assert emulator.requests[0].path.startswith("/models/chat/completions")

    It answers without delays. A request is recorded before it is answered.

    Args:
        key: the key that callers must send.

    Attributes:
        key: the same.
    """

    def __init__(self, *, key: str = "emulator-key") -> None:
        self.key = key
        self._emulator = Emulator(key=key, pace=0)
        self._front: FaultServer | None = None
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread: threading.Thread | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Where it listens; ``models_url``, ``openai_url`` and so on are its endpoints."""
        return self._url

    @property
    def requests(self) -> list[Asked]:
        """The requests so far, in order, each with method, path, headers and body."""
        return [] if self._front is None else list(self._front.requests)

    def script(self, *answers: str | ToolCall | ChatCompletion | Answer | Script) -> None:
        """Give these answers to the next chats, one each, and then repeat the last one.

        Args:
            *answers: each is text, a `tool_call`, a `completion`, or an `Answer`, which can do all that the emulator
                can; or a single `Script`, whose rules say which request gets which answer. Without any, the built-in
                script answers.

        Raises:
            ConfigurationError: one of them is not an answer.
        """
        if len(answers) == 1 and isinstance(answers[0], Script):
            self._emulator.script = answers[0]
        elif answers:
            self._emulator.script = InTurn(answers=[_answer(each) for each in answers])
        else:
            self._emulator.script = Script.shipped()

    def fault(self, *faults: Fault | str) -> None:
        """Misbehave: the next requests get these faults, one each; after them, it answers as before.

        Args:
            *faults: names, such as ``"status-503"`` or ``"cut-in-event"``; ``inference-async faults`` lists them.

        Raises:
            ConfigurationError: there is no such fault.
            ClientStateError: it does not run.
        """
        if self._front is None:
            raise ClientStateError("the emulator does not run; enter it with `with` first")
        self._front.misbehave(*faults)

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="inference-emulator", daemon=True)
        self._thread.start()
        started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stop is not None and self._thread is not None:
            loop, stop = self._stop
            loop.call_soon_threadsafe(stop.set)
            self._thread.join()

    def _run(self, started: Future[None]) -> None:
        try:
            asyncio.run(self._serve(started))
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, started: Future[None]) -> None:
        stop = asyncio.Event()
        async with self._emulator, FaultServer(behind=self._emulator.url) as self._front:
            self._url = self._front.url
            self._stop = asyncio.get_running_loop(), stop
            started.set_result(None)
            await stop.wait()


class InTurn(Script):
    """A script of answers in their order, whatever is asked."""

    answers: list[Answer] = msgspec.field(default_factory=list[Answer])

    def answer_to(self, body: Any) -> Answer:
        """The next answer; the last one again and again."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def _answer(given: object) -> Answer:
    if isinstance(given, str):
        return Answer(content=given)
    if isinstance(given, ToolCall):
        return Answer(content=None, tool_calls=[given])
    if isinstance(given, Answer):
        return given
    if isinstance(given, ChatCompletion):
        return Answer(
            content=given.message.content if isinstance(given.message.content, str) else given.text or None,
            tool_calls=given.tool_calls,
            finish_reason=given.finish_reason,
            usage=given.usage,
            reasoning=given.reasoning,
        )
    raise ConfigurationError(
        f"got an answer of type {type(given).__name__}, expected text, tool_call(...), completion(...), an Answer, or "
        "one Script by itself"
    )


class BoundTransport(AiohttpTransport):
    """The usual transport, which remembers the event loop of its calls.

    Attributes:
        loop: the loop; None as long as nothing was sent.
    """

    loop: asyncio.AbstractEventLoop | None = None

    async def send(self, call: Call, *, connect_timeout: float | None) -> Reply:
        """See `inference_async.net.transport.Transport.send`."""
        self.loop = asyncio.get_running_loop()
        return await super().send(call, connect_timeout=connect_timeout)


def close_from_outside(client: InferenceClient, transport: BoundTransport) -> None:
    """Close a client from a place that cannot await: in the loop of its calls where that is still open.

    The teardown of a sync fixture is such a place. Whose the loop is, which plugin's or a test's own, makes no
    difference; if it is closed already, the client's sockets are cut from a loop made for that.
    """
    loop = transport.loop
    if loop is None:
        return  # no connection was made
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(client.aclose(), loop)  # and not waited for, as it may be this thread's
        return
    if not loop.is_closed():
        loop.run_until_complete(client.aclose())
        return
    loop = asyncio.new_event_loop()  # not asyncio.run, which would take the thread's current loop away
    try:
        loop.run_until_complete(client.aclose())
    finally:
        loop.close()
