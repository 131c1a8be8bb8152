"""What the tests share: a scripted server at the transport seam, and a raw one on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inference_async import InferenceClient, InferenceError, Timeouts
from inference_async.errors import ClientClosedError
from inference_async.wire.request import Call

HERE = Path(__file__).parent
CAPTURES = HERE / "captures"
PLUGIN: tuple[str, ...] = ("-p", "inference_async.testing.plugin")
"""What loads our plugin into a run of pytest: nothing, if this package was installed since it has one."""
if any(entry.value == PLUGIN[1] for entry in metadata.entry_points(group="pytest11")):
    PLUGIN = ()

CONVERSATIONS: dict[str, dict[str, Any]] = {
    row["name"]: row for row in json.loads((HERE / "conformance" / "conversations.json").read_bytes())["conversations"]
}

Piece = bytes | Exception | float
"""What a scripted reply does next: bytes to hand out, an error to raise, seconds to wait; then the body ends."""


def event(obj: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + (obj if isinstance(obj, bytes) else json.dumps(obj).encode()) + b"\n\n"


def chunk(text: str | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk of one choice."""
    delta = {} if text is None else {"content": text}
    return {
        "id": "c1",
        "model": "m",
        "created": 1,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    } | fields


DONE = event(b"[DONE]")
HELLO = event(chunk("Hel")) + event(chunk("lo")) + event(chunk("", "stop")) + DONE


class ScriptedReply:
    """A `Reply` without a network."""

    def __init__(self, pieces: Iterable[Piece], status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = dict(headers or {"content-type": "text/event-stream", "x-request-id": "request-1"})
        self.closed = False
        self.finished = False
        self.reads = 0
        self._pieces = iter(pieces)
        self._error: InferenceError | None = None
        self._closing = asyncio.Event()

    async def read(self) -> bytes:
        self.reads += 1
        for piece in self._pieces:
            if self._error is not None:
                raise self._error
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, bytes):
                return piece
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(piece):
                    await self._closing.wait()
        if self._error is not None:
            raise self._error
        return b""

    async def finish(self) -> None:
        self.finished = True

    def close(self, error: InferenceError | None = None) -> None:
        self.closed = True
        self._error = error or ClientClosedError("closed")
        self._closing.set()


class ScriptedTransport:
    """A `Transport` whose replies are written down beforehand."""

    def __init__(self, *replies: ScriptedReply | Exception) -> None:
        self.calls: list[Call] = []
        self.closed = False
        self._replies = list(replies)

    async def send(self, call: Call, *, connect_timeout: float | None) -> ScriptedReply:
        self.calls.append(call)
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def aclose(self) -> None:
        self.closed = True


def scripted(*replies: ScriptedReply | Exception, timeouts: Timeouts | None = None, **options: Any) -> InferenceClient:
    """A client whose server is a script; it sends nothing again, unless told to."""
    transport = ScriptedTransport(*replies)
    options = {"retries": 0} | options
    return InferenceClient("http://localhost/v1", model="m", transport=transport, timeouts=timeouts, **options)


def streamed(*pieces: Piece) -> tuple[InferenceClient, ScriptedReply]:
    """A client whose only answer is a stream of these pieces."""
    reply = ScriptedReply(pieces)
    return scripted(reply), reply


class Connection:
    """What a `RawServer` knows of one request while it answers it."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
        self.head = head
        self.body = body
        self.writer = writer
        self.gone = gone

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def send_chunks(self, *pieces: bytes, end: bool = True) -> None:
        """Send pieces as HTTP chunks, each in a write of its own."""
        for piece in pieces:
            await self.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0)
        if end:
            await self.send(b"0\r\n\r\n")


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class RawServer:
    """An HTTP/1.1 server whose answers are bytes: `answer` is called for each request and writes what it likes.

    A connection stays open for the next request until `answer` returns False or the client leaves.
    """

    def __init__(self, answer: Callable[[Connection], Awaitable[object]]) -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.gone = asyncio.Event()
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.gone.set()
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            body = await reader.readexactly(int(fields.get(b"content-length", 0)))
            self.requests.append((head, body))
            self.asked.set()
            answering = asyncio.ensure_future(self._answer(Connection(head, body, writer, self.gone)))
            leaving = asyncio.ensure_future(self._left(reader))
            try:
                await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if answering.done():
                    if answering.result() is False:
                        return
                elif leaving.done():
                    return
            finally:
                for future in (answering, leaving):
                    future.cancel()
                await asyncio.gather(answering, leaving, return_exceptions=True)

    @staticmethod
    async def _left(reader: asyncio.StreamReader) -> None:
        """Until the client closes its side; nothing is taken from the reader."""
        while not reader.at_eof():  # noqa: ASYNC110  (a StreamReader has no event for it)
            await asyncio.sleep(0.005)


def json_reply(obj: Any, status: str = "200 OK", headers: Sequence[str] = ()) -> bytes:
    """A whole HTTP answer with a JSON body."""
    body = obj if isinstance(obj, bytes) else json.dumps(obj).encode()
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def collect(chunks: AsyncIterator[Any]) -> list[Any]:
    """Everything an async iterator yields."""
    return [item async for item in chunks]
