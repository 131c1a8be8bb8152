"""A raw server in a process of its own that behaves as each request's headers say: the other side of `soak`.

``python -m benchmarks.misbehaving`` prints its port and serves until it is ended. A request names its behaviour in
``x-behaviour`` and seeds the dice in ``x-seed``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

TEXT = "There are about seven thousand languages in the world today, give or take a few."
WORDS = [word + " " for word in TEXT.split()[:-1]] + TEXT.split()[-1:]
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: the socket is closed by RST
FOR_EVER = 10.0  # seconds; longer than any call of the soak lasts


def event(obj: object) -> bytes:
    return b"data: " + (obj if isinstance(obj, bytes) else json.dumps(obj).encode()) + b"\n\n"


def chunk(text: str | None, finish: str | None = None) -> dict[str, object]:
    delta = {} if text is None else {"content": text}
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


USAGE = {"prompt_tokens": 3, "completion_tokens": len(WORDS), "total_tokens": 3 + len(WORDS)}
EVENTS = [event(chunk(word)) for word in WORDS]
END = [event(chunk(None, "stop")), event({"choices": [], "usage": USAGE}), event(b"[DONE]")]
MESSAGE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}
WHOLE = json.dumps({"id": "c1", "model": "m", "choices": [MESSAGE], "usage": USAGE}).encode()


class Peer:
    """One request, and what can be done to who sent it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dice: random.Random) -> None:
        self.reader = reader
        self.writer = writer
        self.dice = dice
        self.streams = False

    @property
    def parts(self) -> list[bytes]:
        """The golden answer."""
        return [*EVENTS, *END] if self.streams else [WHOLE]

    async def send(self, *pieces: bytes, pause: float = 0) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if pause:
                await asyncio.sleep(pause)

    async def head(self, *fields: str, status: str = "200 OK", kind: str | None = None) -> None:
        kind = kind or ("text/event-stream" if self.streams else "application/json")
        await self.send("\r\n".join([f"HTTP/1.1 {status}", f"content-type: {kind}", *fields, "\r\n"]).encode())

    async def chunked(self, *parts: bytes, pause: float = 0, end: bool = True) -> None:
        await self.head("transfer-encoding: chunked")
        await self.send(*(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part), pause=pause)
        if end:
            await self.send(b"0\r\n\r\n")

    async def whole(self, body: bytes, status: str, *fields: str, kind: str = "application/json") -> None:
        await self.head(f"content-length: {len(body)}", *fields, status=status, kind=kind)
        await self.send(body)

    def some(self) -> bytes:
        """The golden answer, cut in the middle."""
        body = b"".join(self.parts)
        return body[: self.dice.randrange(len(body) * 3 // 4)]

    async def wait(self) -> None:
        """Until the client leaves."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.reader.read(1), FOR_EVER)

    def reset(self) -> None:
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()


class Behaviour(NamedTuple):
    """What a server does with a request, and what may come of it.

    Attributes:
        act: answers; returns True if the connection can be used again.
        whole: whether the golden answer comes; if not, whatever a client takes for an answer is wrong.
        streams_only: whether it makes sense only where events are asked for.
    """

    act: Callable[[Peer], Awaitable[object]]
    whole: bool = False
    streams_only: bool = False


async def fine(peer: Peer) -> bool:
    await peer.chunked(*peer.parts)
    return True


async def slow(peer: Peer) -> bool:
    await peer.chunked(*peer.parts, pause=0.01)
    return True


async def with_length(peer: Peer) -> bool:
    body = b"".join(peer.parts)
    await peer.head(f"content-length: {len(body)}")
    for at in range(0, len(body), 100):
        await peer.send(body[at : at + 100])
    return True


async def until_close(peer: Peer) -> None:
    await peer.head("connection: close")
    await peer.send(*peer.parts)


async def gzipped(peer: Peer, *, whole: bool = True) -> bool:
    packer = zlib.compressobj(wbits=31)
    parts = [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in peer.parts] + [packer.flush()]
    if not whole:
        parts = [b"".join(parts)[: len(b"".join(parts)) // 2]]
    await peer.head("transfer-encoding: chunked", "content-encoding: gzip")
    await peer.send(*(b"%x\r\n%b\r\n" % (len(part), part) for part in parts))
    if whole:
        await peer.send(b"0\r\n\r\n")
    return whole


async def gzip_cut(peer: Peer) -> None:
    await gzipped(peer, whole=False)


async def gzip_broken(peer: Peer) -> None:
    await peer.head("content-encoding: gzip", "content-length: 40")
    await peer.send(bytes(peer.dice.randbytes(40)))


async def comments(peer: Peer) -> bool:
    await peer.chunked(b": ping\n\n", *peer.parts[:3], b": ping\n\ndata:\n\n", *peer.parts[3:])
    return True


async def closes_after(peer: Peer) -> None:
    await peer.chunked(*peer.parts)


async def more_after_the_end(peer: Peer) -> bool:
    await peer.chunked(*peer.parts, event(chunk("too late")))
    return True


async def never_ends(peer: Peer) -> None:
    await peer.chunked(*peer.parts, end=False)
    await peer.wait()


async def floods_after_the_end(peer: Peer) -> None:
    await peer.chunked(*peer.parts, end=False)
    for _ in range(200):
        await peer.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")


async def resets_at_once(peer: Peer) -> None:
    peer.reset()


async def resets_in_the_body(peer: Peer) -> None:
    await peer.chunked(peer.some(), end=False)
    peer.reset()


async def leaves_in_the_head(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-ty")


async def leaves_in_a_chunk(peer: Peer) -> None:
    await peer.head("transfer-encoding: chunked")
    await peer.send(b"ffff\r\n" + peer.some())


async def leaves_short_of_its_length(peer: Peer) -> None:
    await peer.head("content-length: 99999")
    await peer.send(peer.some())


async def ends_early(peer: Peer) -> bool:
    await peer.chunked(*EVENTS[: peer.dice.randrange(len(EVENTS))])
    return True


async def silent(peer: Peer) -> None:
    await peer.wait()


async def silent_after_the_head(peer: Peer) -> None:
    await peer.head("transfer-encoding: chunked")
    await peer.wait()


async def stalls(peer: Peer) -> None:
    await peer.chunked(peer.some(), end=False)
    await peer.wait()


async def drips(peer: Peer) -> None:
    await peer.head("connection: close")
    await peer.send(*(bytes([byte]) for byte in b"".join(peer.parts)), pause=0.02)


async def pings_for_ever(peer: Peer) -> None:
    await peer.chunked(EVENTS[0], *[b": ping\n\n"] * 500, pause=0.02)


async def bad_chunk_size(peer: Peer) -> None:
    await peer.chunked(peer.some(), end=False)
    await peer.send(b"zz\r\nnothing\r\n")
    await peer.wait()


async def not_http(peer: Peer) -> None:
    await peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")


async def html(peer: Peer) -> bool:
    await peer.whole(b"<html><body>Please log in</body></html>", "200 OK", kind="text/html")
    return True


async def empty(peer: Peer) -> bool:
    await peer.whole(b"", "200 OK")
    return True


async def other_shape(peer: Peer) -> bool:
    await peer.whole(b'{"choices": "none"}', "200 OK")
    return True


def refuses(status: str, *fields: str) -> Callable[[Peer], Awaitable[bool]]:
    async def act(peer: Peer) -> bool:
        await peer.whole(b'{"error": {"code": "x", "message": "no"}}', status, *fields)
        return True

    return act


def breaks_with(*events: bytes) -> Callable[[Peer], Awaitable[bool]]:
    async def act(peer: Peer) -> bool:
        await peer.chunked(*EVENTS[: peer.dice.randrange(len(EVENTS))], *events)
        return True

    return act


BEHAVIOURS: dict[str, Behaviour] = {
    "fine": Behaviour(fine, whole=True),
    "fine, slow": Behaviour(slow, whole=True),
    "fine, with its length": Behaviour(with_length, whole=True),
    "fine, until close": Behaviour(until_close, whole=True),
    "fine, gzip": Behaviour(gzipped, whole=True),
    "fine, with comments": Behaviour(comments, whole=True, streams_only=True),
    "closes after the answer": Behaviour(closes_after, whole=True),
    "more after the end": Behaviour(more_after_the_end, whole=True, streams_only=True),
    "never ends": Behaviour(never_ends, whole=True, streams_only=True),
    "floods after the end": Behaviour(floods_after_the_end, whole=True, streams_only=True),
    "resets at once": Behaviour(resets_at_once),
    "resets in the body": Behaviour(resets_in_the_body),
    "leaves in the head": Behaviour(leaves_in_the_head),
    "leaves in a chunk": Behaviour(leaves_in_a_chunk),
    "leaves short of its length": Behaviour(leaves_short_of_its_length),
    "ends early": Behaviour(ends_early, streams_only=True),
    "silent": Behaviour(silent),
    "silent after the head": Behaviour(silent_after_the_head),
    "stalls": Behaviour(stalls),
    "drips": Behaviour(drips),
    "pings for ever": Behaviour(pings_for_ever, streams_only=True),
    "bad chunk size": Behaviour(bad_chunk_size),
    "gzip cut": Behaviour(gzip_cut),
    "gzip broken": Behaviour(gzip_broken),
    "not HTTP": Behaviour(not_http),
    "HTML": Behaviour(html),
    "empty": Behaviour(empty),
    "another shape": Behaviour(other_shape),
    "500": Behaviour(refuses("500 Internal Server Error")),
    "503": Behaviour(refuses("503 Service Unavailable", "retry-after: 0")),
    "429": Behaviour(refuses("429 Too Many Requests", "retry-after-ms: 20")),
    "error event": Behaviour(breaks_with(event({"error": {"message": "no", "code": "x"}})), streams_only=True),
    "event that is no JSON": Behaviour(breaks_with(event(b'{"cho'), END[0], END[2]), streams_only=True),
}
"""All behaviours by name."""


async def serve(behaviours: dict[str, Behaviour]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            again: object = True
            while again:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                peer = Peer(reader, writer, random.Random(fields["x-seed"]))
                peer.streams = b'"stream":true' in body
                again = await names[fields["x-behaviour"]].act(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    names = {name.lower(): behaviour for name, behaviour in behaviours.items()}
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(BEHAVIOURS))
