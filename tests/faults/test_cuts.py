"""A golden answer, cut after every byte of what goes over the wire: each cut is an error or a whole answer.

What must come of a cut is said by a reader that is as simple as can be (`Wire.arrived`), and knows nothing of ours.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import inspect
import json
import socket
import struct
import zlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, Self, cast

import pytest

from inference_async import (
    APIConnectionError,
    APITimeoutError,
    ChatCompletion,
    IncompleteStreamError,
    InferenceClient,
    InvalidResponseError,
    StreamError,
    Timeouts,
)

AT_ONCE = 64
RESET_EVERY = 7
ID = "c1"
CUT_HEADER = b"x-cut: "
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: the socket is closed by RST
PAUSE = 0.02  # of a slow reader: seconds in which a cut overtakes it
RETRIES: dict[str, Any] = {"retries": 0} if "retries" in inspect.signature(InferenceClient).parameters else {}


# The golden stream


def golden() -> list[dict[str, Any]]:
    """30 events: text, a tool call in pieces, the finish reason, usage; `[DONE]` is the last."""

    def said(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta}
        return {"choices": [choice if finish is None else choice | {"finish_reason": finish}]}

    def called(function: dict[str, Any], **more: Any) -> dict[str, Any]:
        return said({"tool_calls": [{"index": 0, **more, "function": function}]})

    events = [{"id": ID, "model": "m", **said({"role": "assistant"})}]
    events += [said({"content": text}) for text in [*"I will look it up in", " Zürich", " 🙂"]]
    events.append(called({"name": "look", "arguments": ""}, id="call_1"))
    events += [called({"arguments": piece}) for piece in ('{"a"', ":", "1}")]
    events += [said({}, "tool_calls"), {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}]
    return events


class Told(NamedTuple):
    """What a completion says."""

    id: str
    text: str
    calls: tuple[tuple[str, str, str], ...]
    finish: str | None
    usage: tuple[int, int] | None


def naive_fold(events: list[dict[str, Any]]) -> Told:
    text, finish, usage, id_ = "", None, None, ""
    calls: dict[int, list[str]] = {}
    for event in events:
        id_ = id_ or event.get("id", "")
        if "usage" in event:
            usage = (event["usage"]["prompt_tokens"], event["usage"]["completion_tokens"])
        for choice in event["choices"]:
            text += choice["delta"].get("content", "")
            finish = choice.get("finish_reason", finish)
            for call in choice["delta"].get("tool_calls", ()):
                slot = calls.setdefault(call["index"], ["", "", ""])
                slot[0] += call.get("id", "")
                slot[1] += call["function"].get("name", "")
                slot[2] += call["function"]["arguments"]
    return Told(id_, text, tuple((a, b, c) for a, b, c in calls.values()), finish, usage)


def told(completion: ChatCompletion) -> Told:
    usage = completion.usage
    calls = tuple((call.id, call.function.name, call.function.arguments) for call in completion.tool_calls)
    return Told(
        completion.id,
        completion.text,
        calls,
        completion.finish_reason,
        None if usage is None else (usage.prompt_tokens, usage.completion_tokens),
    )


EVENTS = golden()
PARTS = [b"data: " + json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n" for obj in EVENTS]
PARTS.append(b"data: [DONE]\n\n")
FOLDS = [naive_fold(EVENTS[:count]) for count in range(len(EVENTS) + 1)]
GOLDEN = FOLDS[-1]

WHOLE = json.dumps(
    {
        "id": ID,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Zürich 🙂" * 3}}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    },
    ensure_ascii=False,
).encode()
WHOLE_TOLD = Told(ID, "Zürich 🙂" * 3, (), "stop", (3, 4))


# On the wire


class Arrived(NamedTuple):
    """What a cut lets through.

    Attributes:
        head: whether the head is whole.
        body: what is there of the body, unpacked.
        in_order: whether the body ended as its framing, and gzip, say it must.
    """

    head: bool
    body: bytes
    in_order: bool


class Wire:
    """An answer as bytes, in one way of framing: ``length``, ``close``, or the sizes of its chunks."""

    def __init__(self, parts: list[bytes], framing: str | int, *, zipped: bool, kind: bytes) -> None:
        self._framing = framing
        self._zipped = zipped
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: " + kind
        if zipped:
            packer = zlib.compressobj(wbits=31)
            parts = [packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in parts] + [packer.flush()]
            head += b"\r\ncontent-encoding: gzip"
        body = b"".join(parts)
        if framing == "length":
            head += b"\r\ncontent-length: %d" % len(body)
        elif framing != "close":
            size = framing if isinstance(framing, int) else 0
            if size:
                parts = [body[at : at + size] for at in range(0, len(body), size)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
            head += b"\r\ntransfer-encoding: chunked"
        self._head = len(head) + 4
        self.data = head + b"\r\n\r\n" + body

    def arrived(self, cut: int, *, reset: bool) -> Arrived:
        """What of it a client knows that reads the bytes before the cut, as simply as it can be read."""
        if cut < self._head:
            return Arrived(head=False, body=b"", in_order=False)
        raw = self.data[self._head : cut]
        if self._framing == "length":
            in_order = cut == len(self.data)
        elif self._framing == "close":
            in_order = not reset
        else:
            raw, in_order = _unchunked(raw)
        if not self._zipped:
            return Arrived(head=True, body=raw, in_order=in_order)
        unpacker = zlib.decompressobj(wbits=31)
        body = unpacker.decompress(raw)
        return Arrived(head=True, body=body, in_order=in_order and unpacker.eof)


def _unchunked(raw: bytes) -> tuple[bytes, bool]:
    body = b""
    while raw:
        size, line_end, rest = raw.partition(b"\r\n")
        if not line_end:
            break
        if int(size, 16) == 0:
            return body, rest == b"\r\n"
        body += rest[: int(size, 16)]
        raw = rest[int(size, 16) + 2 :]
    return body, False


FRAMINGS: list[str | int] = ["length", "close", "a chunk per event", 17, 1000]
WIRES = [
    pytest.param(framing, zipped, id=f"{framing}{' gzip' * zipped}") for framing in FRAMINGS for zipped in (False, True)
]


class Cutter:
    """A server that sends as much of its answer as the request's header says, then leaves, by FIN or by RST.

    Args:
        data: the answer.
        at_first: how much of it goes out at once; the rest follows in `PAUSE` / 4.
    """

    def __init__(self, data: bytes, *, at_first: int) -> None:
        self.data = data
        self.at_first = at_first
        self.open = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=AT_ONCE * 2)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()


class _Connection(asyncio.Protocol):
    def __init__(self, cutter: Cutter) -> None:
        self._cutter = cutter
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by its methods alone
        self._cutter.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._cutter.open -= 1

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, end, body = self._request.partition(b"\r\n\r\n")
        if not end or len(body) < _number(head.lower(), b"content-length: "):
            return  # leaving with bytes unread would be a RST
        cut = _number(head, CUT_HEADER)
        data, first = self._cutter.data[: abs(cut)], self._cutter.at_first
        self._transport.write(data[:first])
        if len(data) > first:
            asyncio.get_running_loop().call_later(PAUSE / 4, self._leave, data[first:], cut < 0)
        else:
            self._leave(b"", cut < 0)

    def _leave(self, data: bytes, by_reset: bool) -> None:
        self._transport.write(data)
        if by_reset:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.close()


def _number(head: bytes, name: bytes) -> int:
    return int(head.partition(name)[2].partition(b"\r\n")[0])


class Outcome(NamedTuple):
    """How one call ended: what had come by then, and the error if it ended in one."""

    chunks: int
    said: Told | None
    error: BaseException | None


Ask = Callable[[InferenceClient, dict[str, str]], Coroutine[Any, Any, Outcome]]
Check = Callable[[Arrived, Outcome, bool], str | None]


async def stream(client: InferenceClient, headers: dict[str, str], *, pause: float = 0) -> Outcome:
    chunks = 0
    try:
        async with client.stream("hi", headers=headers) as chat:
            async for _ in chat:
                chunks += 1
                if chunks == 1 and pause:
                    await asyncio.sleep(pause)
    except Exception as error:  # which of them may come is what the test asks
        had = getattr(error, "partial", None)
        return Outcome(chunks, None if had is None else told(had), error)
    return Outcome(chunks, told(chat.completion), None)


async def complete(client: InferenceClient, headers: dict[str, str]) -> Outcome:
    try:
        return Outcome(0, told(await client.complete("hi", headers=headers)), None)
    except Exception as error:
        return Outcome(0, None, error)


async def sweep(
    wire: Wire, cuts: list[tuple[int, bool]], ask: Ask, check: Check, *, at_first: int | None = None
) -> None:
    """Ask once for every cut; fail with all that went wrong, and with what was left behind."""
    wrong: list[str] = []
    left = iter(cuts)

    async def work(client: InferenceClient) -> None:
        for cut, reset in left:
            outcome = await ask(client, {"x-cut": str(-cut if reset else cut)})
            said = check(wire.arrived(cut, reset=reset), outcome, reset)
            if said is not None:
                wrong.append(f"{'RST' if reset else 'FIN'} at {cut}, after {wire.data[:cut][-40:]!r}: {said}")

    timeouts = Timeouts(total=10)
    async with Cutter(wire.data, at_first=len(wire.data) if at_first is None else at_first) as server:
        async with InferenceClient(server.url, "some-key", model="m", timeouts=timeouts, **RETRIES) as client:
            await asyncio.gather(*(work(client) for _ in range(AT_ONCE)))
            connector = _connector(client)
            assert (len(connector._acquired), len(connector._conns)) == (0, 0), "connections are left"
        for _ in range(5):
            await asyncio.sleep(0)  # transports are closed in the next step of the loop
        assert server.open == 0, "sockets are left"
    gc.collect()  # so that what was dropped warns here; a warning is an error
    assert asyncio.all_tasks() == {asyncio.current_task()}, "tasks are left"
    if wrong:
        pytest.fail(f"{len(wrong)} of {len(cuts)} cuts went wrong:\n" + "\n".join(wrong[:12]), pytrace=False)


def all_cuts(wire: Wire) -> list[tuple[int, bool]]:
    """After every byte by FIN, after some by RST."""
    size = len(wire.data)
    return [(cut, False) for cut in range(size + 1)] + [(cut, True) for cut in range(1, size + 1, RESET_EVERY)]


def _connector(client: InferenceClient) -> Any:
    transport: Any = client._session._transport
    return transport._own.session.connector


# What must come of a cut


def whole_events(arrived: Arrived) -> tuple[int, bool]:
    """How many chunks are there as whole events, and whether the end mark is."""
    *blocks, rest = arrived.body.split(b"\n\n")
    if arrived.in_order and rest:  # the last blank line may be missing, if the body is not cut
        blocks.append(rest)
    chunks = 0
    for block in blocks:
        data = block.removeprefix(b"data: ")
        if data.strip() == b"[DONE]":
            return chunks, True
        try:
            json.loads(data)
        except ValueError:
            break
        chunks += 1
    return chunks, False


def check_stream(arrived: Arrived, outcome: Outcome, reset: bool) -> str | None:
    error = outcome.error
    if not arrived.head:
        return None if type(error) is APIConnectionError else f"the head is cut, got {outcome}"
    chunks, done = whole_events(arrived)
    if reset and outcome.chunks < chunks:
        chunks, done = outcome.chunks, False  # what a RST leaves of what was sent is the kernel's to say
    expected = FOLDS[chunks]
    if done or (arrived.in_order and expected.finish is not None):
        if error is not None or outcome.said != expected:
            return f"the answer is whole, got {outcome}"
        return None if expected._replace(usage=GOLDEN.usage) == GOLDEN else "this test counts wrong"
    if isinstance(error, InvalidResponseError):
        return None if chunks == 0 and arrived.in_order else f"got {outcome}"
    if not isinstance(error, IncompleteStreamError):
        return f"the answer is cut, got {outcome}"
    if outcome.chunks != chunks or outcome.said != expected:
        return f"{chunks} chunks had arrived, {expected}, got {outcome}"
    return None if error.request_id else "the error has no request id"


def check_whole(arrived: Arrived, outcome: Outcome, reset: bool) -> str | None:
    error = outcome.error
    if error is None:
        # Whole JSON in a body that only the connection's end delimits is whole, whatever is missing after it.
        return None if arrived.body == WHOLE and outcome.said == WHOLE_TOLD else f"the answer is cut, got {outcome}"
    if arrived.in_order and arrived.body == WHOLE and not reset:
        return f"the answer is whole, got {outcome}"
    if isinstance(error, APITimeoutError | StreamError):
        return f"got {outcome}"
    if isinstance(error, InvalidResponseError):
        return None if arrived.head else f"the head is cut, got {outcome}"
    return None if isinstance(error, APIConnectionError) else f"got {outcome}"


@pytest.mark.parametrize(("framing", "zipped"), WIRES)
async def test_a_stream_cut_after_any_byte(framing: str | int, zipped: bool) -> None:
    wire = Wire(PARTS, framing, zipped=zipped, kind=b"text/event-stream")
    await sweep(wire, all_cuts(wire), stream, check_stream)


@pytest.mark.parametrize(("framing", "zipped"), WIRES)
async def test_a_cut_that_overtakes_a_slow_reader_takes_nothing_from_it(framing: str | int, zipped: bool) -> None:
    wire = Wire(PARTS, framing, zipped=zipped, kind=b"text/event-stream")
    first = next(cut for cut in range(len(wire.data)) if whole_events(wire.arrived(cut, reset=True))[0])
    cuts = [(cut, False) for cut in range(first + 1, len(wire.data), RESET_EVERY)]
    await sweep(wire, cuts, partial(stream, pause=PAUSE), check_stream, at_first=first)


@pytest.mark.parametrize(("framing", "zipped"), [row for row in WIRES if row.values[0] in ("length", "close", 17)])
async def test_a_whole_answer_cut_after_any_byte(framing: str | int, zipped: bool) -> None:
    wire = Wire([WHOLE], framing, zipped=zipped, kind=b"application/json")
    await sweep(wire, all_cuts(wire), complete, check_whole)


def test_the_golden_stream_is_what_it_should_be() -> None:
    assert len(PARTS) == 30
    assert GOLDEN.calls == (("call_1", "look", '{"a":1}'),)
    assert (GOLDEN.finish, GOLDEN.usage) == ("tool_calls", (3, 4))
    assert gzip.decompress(Wire(PARTS, "close", zipped=True, kind=b"").data.partition(b"\r\n\r\n")[2]) == b"".join(
        PARTS
    )
