"""The server that all clients read: a raw protocol in a process of its own, its answers encoded beforehand.

The model that a request names says how it is answered:

- ``whole``: in one piece, not streamed;
- ``coalesced-N``: N chunks of text, as fast as they are read;
- ``paced-N``: N chunks of text, each written when the program that reads them has had the one before;
- ``timed-N``: the first of N chunks at once; the others when the program says so, evenly over the seconds it names,
  round-robin over all such streams. Their text begins with the time of writing, by the clock that all processes share.

The program that reads talks to the server over a pipe, past the client that is measured: a byte `ACK` for each chunk
it was handed, or `GO` and a number of seconds. A pace by the clock would do for a client that is measured on its own,
but not for one that valgrind slows down 40 times: chunks would heap up before it. With the acknowledgement every client
gets one chunk per read and waits for each, however fast it is.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TEXTS = (" world", " peace")  # in turn: one client takes a stream that repeats itself for a fault
WORDS = "It is often said that there are about seven thousand languages, a few hundred of them with many speakers. " * 4
STAMP = 17  # digits of a time in nanoseconds
ROOT = Path(__file__).parent.parent
ACK = b"."
GO = b"g"


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    head = {"id": "chatcmpl-0123456789abcdef0123456789", "object": "chat.completion.chunk", "created": 1718726371}
    return b"data: " + json.dumps(head | {"model": "mistral-large-2407", "choices": [choice]}).encode() + b"\n\n"


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


PIECES = [http_chunk(event({"content": text})) for text in TEXTS]
END = http_chunk(event({}, "stop") + b"data: [DONE]\n\n") + b"0\r\n\r\n"


def text_of(chunks: int) -> str:
    """What a stream of so many chunks says, but for one that is timed."""
    return "".join(TEXTS[at % 2] for at in range(chunks))


@functools.cache
def coalesced(chunks: int) -> bytes:
    return HEAD + b"".join(PIECES[at % 2] for at in range(chunks)) + END


@functools.cache
def whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": "stop", "logprobs": None}
    body = json.dumps(
        {
            "id": "chatcmpl-0123456789abcdef0123456789",
            "object": "chat.completion",
            "created": 1718726371,
            "model": "mistral-large-2407",
            "choices": [choice],
            "usage": {"prompt_tokens": 19, "completion_tokens": 84, "total_tokens": 103},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


class Server:
    """What all connections share: the pipe, and the streams that wait for a word over it.

    Args:
        pipe: the end of the pipe to read, not blocking.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._paced: tuple[asyncio.Transport, Iterator[bytes]] | None = None  # one at a time, and what is left of it
        self._timed: list[asyncio.Transport] = []
        self._chunks = 0
        self._pacing: asyncio.Task[None] | None = None
        self._before, _, self._after = http_chunk(event({"content": "0" * STAMP + TEXTS[0]})).partition(b"0" * STAMP)

    def asked(self, transport: asyncio.Transport, body: bytes) -> None:
        model: str = json.loads(body)["model"]
        kind, _, chunks = model.partition("-")
        if kind == "whole":
            transport.write(whole())
        elif kind == "coalesced":
            transport.write(coalesced(int(chunks)))
        elif kind == "paced":
            self._heard()  # what the last stream's end was acknowledged with
            transport.write(HEAD + PIECES[0])
            self._paced = (transport, iter([PIECES[at % 2] for at in range(1, int(chunks))] + [END]))
        else:
            transport.write(HEAD + self._stamped())
            self._timed.append(transport)
            self._chunks = int(chunks)

    def told(self) -> None:
        """Something came over the pipe."""
        words = self._heard()
        if words.startswith(GO):
            streams, self._timed = self._timed, []
            self._pacing = asyncio.create_task(self._pace(streams, float(words[1:])))
        elif self._paced is not None:
            transport, pieces = self._paced
            transport.write(next(pieces, b""))

    def _heard(self) -> bytes:
        try:
            return os.read(self._pipe, 4096)
        except BlockingIOError:
            return b""

    async def _pace(self, streams: list[asyncio.Transport], seconds: float) -> None:
        now = asyncio.get_running_loop().time
        total, started, sent = len(streams) * self._chunks, now(), 0
        while sent < total:
            due = min(total, int((now() - started) / seconds * total))
            for at in range(sent, due):
                turn, index = divmod(at, len(streams))
                streams[index].write(self._stamped() if turn < self._chunks - 1 else END)
            sent = due
            await asyncio.sleep(0.001)

    def _stamped(self) -> bytes:
        return b"%b%0*d%b" % (self._before, STAMP, time.monotonic_ns(), self._after)


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, end, body = self._request.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            self._request = b""
            self._server.asked(self._transport, body)


async def serve(pipe: int) -> None:
    os.set_blocking(pipe, False)
    loop = asyncio.get_running_loop()
    server = Server(pipe)
    loop.add_reader(pipe, server.told)
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=2000)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


class Running(NamedTuple):
    """A server that runs: where, and the end of its pipe to write to."""

    url: str
    pipe: int


@contextmanager
def running() -> Iterator[Running]:
    """A server in a process of its own, until the block is left."""
    read, write = os.pipe()
    command = [sys.executable, "-m", "benchmarks.server", str(read)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[read], cwd=ROOT) as server:
        os.close(read)
        try:
            assert server.stdout is not None
            yield Running(f"http://127.0.0.1:{server.stdout.readline().strip()}/v1", write)
        finally:
            server.terminate()
            os.close(write)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
