"""`ChatStream`: what comes out of it, how it ends, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import gzip
import pickle
import threading
import warnings
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from inference_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BetweenTokensTimeoutError,
    ChatStream,
    ClientClosedError,
    ClientStateError,
    ConfigurationError,
    ContentFilterError,
    ContentFilterResults,
    FirstTokenTimeoutError,
    IncompleteStreamError,
    InferenceClient,
    InferenceError,
    InvalidResponseError,
    Limits,
    ParsedCompletion,
    ParsedStream,
    RateLimitError,
    ResponseTypeError,
    StreamError,
    Timeouts,
    WrongEventLoopError,
)
from inference_async.wire.chunks import ChunkDecoder
from tests.support import (
    DONE,
    HELLO,
    STREAM_HEAD,
    Connection,
    Piece,
    RawServer,
    ScriptedReply,
    ScriptedTransport,
    chunk,
    collect,
    event,
    json_reply,
    scripted,
    streamed,
)

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


async def test_chunks_come_as_the_service_sent_them() -> None:
    client, reply = streamed(HELLO)
    async with client.stream("hi") as stream:
        chunks = await collect(stream)
    assert [piece.text for piece in chunks] == ["Hel", "lo", ""]
    assert [piece.finish_reason for piece in chunks] == [None, None, "stop"]
    assert stream.completion.text == "Hello"
    assert stream.completion.finish_reason == "stop"
    assert stream.completion.meta.request_id == "request-1"
    assert reply.finished
    assert not reply.closed


async def test_all_events_of_a_read_are_decoded_by_one_wake_up() -> None:
    client, reply = streamed(HELLO)
    await client.stream("hi").final()
    assert reply.reads == 1


async def test_text_passes_over_chunks_without_text() -> None:
    client, _ = streamed(HELLO)
    async with client.stream("hi") as stream:
        assert await collect(stream.text()) == ["Hel", "lo"]


async def test_final_after_some_chunks_reads_the_rest() -> None:
    client, _ = streamed(HELLO)
    async with client.stream("hi") as stream:
        assert (await anext(stream)).text == "Hel"
        assert stream.completion.text == "Hel", "what was handed out, no more"
        assert (await stream.final()).text == "Hello"
        assert (await stream.final()).text == "Hello"


async def test_usage_is_the_last_that_is_not_null() -> None:
    client, _ = streamed(event(chunk("a", "stop", usage=USAGE)), event(chunk(usage=None)), DONE)
    async with client.stream("hi") as stream:
        await stream.final()
        assert stream.usage is not None
        assert stream.usage.total_tokens == 3


async def test_without_a_context_the_request_is_sent_by_the_first_step() -> None:
    client, _ = streamed(HELLO)
    assert [piece.text async for piece in client.stream("hi")] == ["Hel", "lo", ""]


async def test_works_with_aclosing() -> None:
    client, reply = streamed(HELLO)
    async with aclosing(client.stream("hi")) as stream:
        await anext(stream)
    assert reply.closed


async def test_iterating_again_after_the_end_yields_nothing() -> None:
    client, _ = streamed(HELLO)
    async with client.stream("hi") as stream:
        await collect(stream)
        assert await collect(stream) == []


# How it ends


COMPLETE: dict[str, tuple[Piece, ...]] = {
    "finish reason and end mark": (HELLO,),
    "finish reason, no end mark": (event(chunk("Hello", "stop")),),
    "end mark, no finish reason": (event(chunk("Hello")), DONE),
    "end mark without a line end": (event(chunk("Hello")), b"data: [DONE]"),
    "last event without a blank line": (event(chunk("Hel")), event(chunk("lo", "stop")).rstrip()),
    "text after the finish reason": (event(chunk("Hello", "stop")), event(chunk(usage=USAGE)), DONE),
    "byte by byte": tuple(bytes([byte]) for byte in HELLO),
    "comments and heartbeats": (b": ping\n\n", b"data:\n\n", HELLO),
    "byte order mark": (b"\xef\xbb\xbf" + HELLO,),
    "blank lines first": (b"\n\n", b"\r\n", HELLO),
    "more after the end mark": (HELLO + event({"error": "too late"}),),
}


@pytest.mark.parametrize("pieces", COMPLETE.values(), ids=COMPLETE.keys())
async def test_complete(pieces: tuple[Piece, ...]) -> None:
    client, reply = streamed(*pieces)
    async with client.stream("hi") as stream:
        assert (await stream.final()).text == "Hello"
    assert reply.finished


CUT: dict[str, tuple[Piece, ...]] = {
    "no finish reason, no end mark": (event(chunk("Hel")),),
    "half an event": (event(chunk("Hel")), b'data: {"choices": [{"ind'),
    "one of two choices unfinished": (
        event({"choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": "stop"}]})
        + event({"choices": [{"index": 1, "delta": {"content": "x"}}]}),
    ),
    "connection cut": (event(chunk("Hel")), APIConnectionError("reset")),
    "connection cut after the finish reason": (event(chunk("Hel", "stop")), APIConnectionError("reset")),
}


@pytest.mark.parametrize("pieces", CUT.values(), ids=CUT.keys())
async def test_cut(pieces: tuple[Piece, ...]) -> None:
    client, reply = streamed(*pieces)
    async with client.stream("hi") as stream:
        with pytest.raises(IncompleteStreamError) as caught:
            await stream.final()
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hel"
    assert caught.value.request_id == "request-1"
    assert reply.closed
    assert pickle.loads(pickle.dumps(caught.value)).partial == caught.value.partial


async def test_a_cut_answer_says_where_the_rest_is() -> None:
    client, _ = streamed(event(chunk("Hel")))
    with pytest.raises(IncompleteStreamError) as caught:
        await client.stream("hi").final()
    assert str(caught.value).startswith(
        "the stream ended after 1 chunks without a finish reason or [DONE]: the answer is cut; what had arrived is in "
        ".partial"
    )


@pytest.mark.parametrize(
    "pieces", [(), (DONE,), (b": ping\n\n",), (b"\n",)], ids=["nothing", "mark", "comment", "blank"]
)
async def test_a_stream_without_a_chunk_is_no_answer(pieces: tuple[Piece, ...]) -> None:
    client, _ = streamed(*pieces)
    with pytest.raises(IncompleteStreamError, match="ended after 0 chunks without any of the answer"):
        await client.stream("hi").final()


FAILED: dict[str, tuple[tuple[Piece, ...], str]] = {
    "error object": ((event({"error": {"message": "overloaded", "code": 529}}),), "overloaded .code 529."),
    "error text": ((event({"error": "overloaded"}),), "overloaded"),
    "error event, nested": ((b'event: error\ndata: {"error": {"message": "overloaded"}}\n\n',), "overloaded"),
    "error event, flat": ((b'event: error\ndata: {"code": "x", "message": "overloaded"}\n\n',), "overloaded .code x."),
    "error event, plain text": ((b"event: error\ndata: overloaded\n\n",), "overloaded"),
    "error beside a choice": (
        (event({"choices": [{"index": 0, "finish_reason": "error"}], "error": {"message": "overloaded"}}),),
        "overloaded",
    ),
    "not JSON": ((b"data: {oops\n\n",), "not JSON: .oops"),
    "no object": ((b"data: 42\n\n",), "no JSON object: 42"),
    "another shape": ((event({"choices": 7}),), "another shape"),
    "error without the word": ((event({"object": "error", "message": "overloaded", "code": 500}),), "overloaded"),
    "detail": ((event({"detail": "overloaded"}),), "overloaded"),
    "too large": ((b"data: " + b"x" * 5000 + b"\n\n",), "over 4,096 bytes"),
}


@pytest.mark.parametrize("same_read", [True, False], ids=["same read", "next read"])
@pytest.mark.parametrize(("pieces", "words"), FAILED.values(), ids=FAILED.keys())
async def test_failed(pieces: tuple[bytes, ...], words: str, *, same_read: bool) -> None:
    first = event(chunk("Hel"))
    reply = ScriptedReply([first + pieces[0], *pieces[1:]] if same_read else [first, *pieces])
    client = scripted(reply, limits=Limits(max_event_bytes=4096))
    async with client.stream("hi") as stream:
        assert (await anext(stream)).text == "Hel", "what came before the fault is handed out first"
        with pytest.raises(StreamError, match=words) as caught:
            await anext(stream)
        assert not isinstance(caught.value, IncompleteStreamError)
        assert caught.value.partial is not None
        assert caught.value.partial.text == "Hel"
        assert caught.value.request_id == "request-1"
        with pytest.raises(StreamError) as again:
            await stream.final()
        assert again.value is caught.value, "a stream that failed never looks complete"
    assert reply.closed


async def test_a_json_error_in_place_of_the_stream_is_raised_as_the_status_it_names() -> None:
    client = scripted(ScriptedReply([b'{"error": {"message": "slow ', b'down", "code": "429"}}']))
    with pytest.raises(RateLimitError, match="slow down"):
        await client.stream("hi").final()


async def test_a_json_error_without_a_status_keeps_the_success_it_came_with() -> None:
    client = scripted(ScriptedReply([b'{"error": "no"}']))
    with pytest.raises(APIStatusError) as caught:
        await client.stream("hi").final()
    assert caught.value.status == 200


async def test_the_end_mark_alone_is_no_answer() -> None:
    client, _ = streamed(event({"usage": USAGE}), event({}), DONE)
    with pytest.raises(IncompleteStreamError, match="ended after 2 chunks without any of the answer"):
        await client.stream("hi").final()


@pytest.mark.parametrize("body", [b"Service busy", b'"Service busy"'], ids=["text", "JSON text"])
async def test_text_in_place_of_the_stream_is_quoted(body: bytes) -> None:
    client = scripted(
        ScriptedReply([body[:3], body[3:]], headers={"content-type": "text/plain", "x-request-id": "r-9"})
    )
    with pytest.raises(
        InvalidResponseError, match=r"from http://localhost/v1/chat/completions .*Service busy"
    ) as caught:
        await client.stream("hi").final()
    assert caught.value.request_id == "r-9"


async def test_a_stream_error_says_from_where_and_hides_the_key() -> None:
    reply = ScriptedReply([event(chunk("Hel")), event({"error": {"message": "bad key key-0123456789"}})])
    transport = ScriptedTransport(reply)
    client = InferenceClient("http://localhost/v1?subscription-key=hidden", "key-0123456789", transport=transport)
    with pytest.raises(StreamError) as caught:
        await client.stream("hi").final()
    assert str(caught.value) == (
        "the service ended the stream with an error: bad key [secret] "
        "(from http://localhost/v1/chat/completions, request id request-1)"
    )


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"[1]", b'{"object": "list"}', b"{oops"])
async def test_a_page_in_place_of_the_stream(body: bytes) -> None:
    client = scripted(ScriptedReply([body], headers={"content-type": "text/html"}))
    with pytest.raises(InvalidResponseError, match="labelled text/html"):
        await client.stream("hi").final()


async def test_plain_words_that_say_they_are_a_stream() -> None:
    client, _ = streamed(b"Please sign in first.")
    with pytest.raises(InvalidResponseError, match=r" with no event in it, labelled .*Please sign in"):
        await client.stream("hi").final()


async def test_a_whole_completion_becomes_one_chunk() -> None:
    message = b'{"role": "assistant", "content": "Hello"}'
    body = b'{"id": "c", "choices": [{"index": 0, "message": %b, "finish_reason": "stop"}]}' % message
    client = scripted(ScriptedReply([body], headers={"content-type": "application/json"}))
    async with client.stream("hi") as stream:
        (piece,) = await collect(stream)
    assert piece.text == stream.completion.text == "Hello"
    assert stream.completion.finish_reason == "stop"


# Closing


async def test_aclose_may_be_called_any_number_of_times() -> None:
    client, reply = streamed(HELLO)
    stream = client.stream("hi")
    await anext(stream)
    await stream.aclose()
    await stream.aclose()
    assert reply.closed
    with pytest.raises(ClientClosedError):
        await anext(stream)
    with pytest.raises(ClientClosedError):
        await stream.final()


async def test_aclose_before_anything_was_sent() -> None:
    client = scripted()
    stream = client.stream("hi")
    await stream.aclose()
    with pytest.raises(ClientClosedError):
        await anext(stream)


async def test_aclose_after_the_end_changes_nothing() -> None:
    client, reply = streamed(HELLO)
    async with client.stream("hi") as stream:
        await stream.final()
    await stream.aclose()
    assert not reply.closed
    assert (await stream.final()).text == "Hello"


@pytest.mark.parametrize("pieces", [(event(chunk("Hel")), 30.0), (30.0,)], ids=["between chunks", "before the first"])
async def test_aclose_from_another_task_ends_the_wait(pieces: tuple[Piece, ...]) -> None:
    client, _ = streamed(*pieces)
    stream = client.stream("hi")
    reader = asyncio.create_task(stream.final())
    await asyncio.sleep(0.01)
    await stream.aclose()
    with pytest.raises(ClientClosedError):
        await asyncio.wait_for(reader, 5)


async def test_aclose_from_another_task_while_the_head_is_awaited() -> None:
    async def answer(connection: Connection) -> None:
        await asyncio.sleep(30)

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        stream = client.stream("hi")
        reader = asyncio.create_task(stream.final())
        await asyncio.wait_for(server.asked.wait(), 5)
        await stream.aclose()
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(reader, 5)
        await asyncio.wait_for(server.gone.wait(), 5)


@pytest.mark.parametrize("cancel_first", [True, False])
async def test_a_cancelled_reader_stays_cancelled_whoever_closes_the_stream(*, cancel_first: bool) -> None:
    async with RawServer(silent) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        stream = client.stream("hi")
        reader = asyncio.create_task(stream.final())
        await asyncio.wait_for(server.asked.wait(), 5)
        if cancel_first:
            reader.cancel()
        await stream.aclose()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(reader, 5)
        assert reader.cancelled()


async def test_aclose_twice_while_the_head_is_awaited() -> None:
    async with RawServer(silent) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        stream = client.stream("hi")
        reader = asyncio.create_task(stream.final())
        await asyncio.wait_for(server.asked.wait(), 5)
        await stream.aclose()
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(reader, 5)


async def test_two_tasks_that_open_one_stream_send_one_request() -> None:
    async with RawServer(endless) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        stream = client.stream("hi")
        results = await asyncio.gather(stream.__aenter__(), anext(stream), return_exceptions=True)
        assert sum(isinstance(result, ClientStateError) for result in results) == 1
        await stream.aclose()
        assert len(server.requests) == 1


def test_another_event_loop() -> None:
    async def begin() -> ChatStream:
        stream = scripted(ScriptedReply([event(chunk("Hel")), 30.0])).stream("hi")
        await anext(stream)
        return stream

    held = [asyncio.run(begin())]

    def drop() -> None:
        held.clear()
        gc.collect()

    with pytest.raises(WrongEventLoopError):
        asyncio.run(held[0].final())
    with pytest.warns(ResourceWarning, match="a ChatStream was dropped before its end"):
        drop()


async def test_only_its_own_event_loop_may_close_a_stream() -> None:
    client, reply = streamed(event(chunk("Hel")), 30.0)
    stream = client.stream("hi")
    await anext(stream)
    with pytest.raises(WrongEventLoopError):
        await asyncio.to_thread(asyncio.run, stream.aclose())
    assert not reply.closed
    await stream.aclose()


def test_a_stream_whose_event_loop_is_gone_can_still_be_closed() -> None:
    client, reply = streamed(event(chunk("Hel")), 30.0)
    stream = client.stream("hi")
    asyncio.run(stream.__aenter__())
    asyncio.run(stream.aclose())
    assert reply.closed


async def test_repr_says_how_it_stands() -> None:
    client, _ = streamed(HELLO)
    stream = client.stream("hi")
    assert repr(stream) == "<ChatStream not begun, 0 chunks>"
    await anext(stream)
    assert repr(stream) == "<ChatStream open, 1 chunks>"
    await stream.final()
    assert repr(stream) == "<ChatStream complete, 3 chunks>"


async def test_two_readers_are_refused() -> None:
    client, _ = streamed(event(chunk("Hel")), 30.0)
    stream = client.stream("hi")
    await anext(stream)
    reader = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    with pytest.raises(ClientStateError, match="another task"):
        await anext(stream)
    await stream.aclose()
    with pytest.raises(ClientClosedError):
        await reader


async def silent(connection: Connection) -> None:
    await connection.gone.wait()


async def endless(connection: Connection) -> None:
    await connection.send(STREAM_HEAD)
    await connection.send_chunks(event(chunk("Hel")), end=False)
    await connection.gone.wait()


async def test_break_in_a_context_cuts_the_connection() -> None:
    async with RawServer(endless) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        async with client.stream("hi") as stream:
            async for _ in stream:
                break
        await asyncio.wait_for(server.gone.wait(), 5)


async def test_a_dropped_stream_warns_and_cuts_the_connection_without_the_collector() -> None:
    async with RawServer(endless) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        gc.collect()
        gc.disable()
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                async for _ in client.stream("hi"):
                    break
                await asyncio.wait_for(server.gone.wait(), 5)
        finally:
            gc.enable()
    assert [str(warning.message).split(";")[0] for warning in caught] == ["a ChatStream was dropped before its end"]
    assert caught[0].category is ResourceWarning


async def test_cancelling_a_step_cuts_the_connection() -> None:
    async with RawServer(endless) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        stream = client.stream("hi")
        await anext(stream)
        step = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.01)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        await asyncio.wait_for(server.gone.wait(), 5)
        with pytest.raises(ClientClosedError, match="cancelled"):
            await anext(stream)


async def test_the_callers_own_timeout_is_the_callers() -> None:
    async with RawServer(endless) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.05), client.stream("hi") as stream:
                await stream.final()
        assert not isinstance(caught.value, InferenceError)
        await asyncio.wait_for(server.gone.wait(), 5)


async def test_closing_the_client_ends_its_streams() -> None:
    async with RawServer(endless) as server:
        client = InferenceClient(f"{server.url}/v1", model="m")
        stream = client.stream("hi")
        await anext(stream)
        reader = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.01)
        await client.aclose()
        with pytest.raises(ClientClosedError, match="client was closed"):
            await asyncio.wait_for(reader, 5)


async def test_twenty_streams_in_a_row_use_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_async.net.aiohttp.FINISH_SECONDS", 5)  # a busy machine may stall for longer

    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(HELLO, end=False)
        await asyncio.sleep(0.002)  # the last HTTP chunk comes late, as from real servers
        await connection.send(b"0\r\n\r\n")

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        for _ in range(20):
            async with client.stream("hi") as stream:
                assert (await stream.final()).text == "Hello"
        assert server.connections == 1
        assert len(server.requests) == 20


async def test_a_server_that_never_ends_its_body_does_not_hold_the_stream() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(HELLO, end=False)
        await connection.gone.wait()

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        async with client.stream("hi") as stream:
            assert (await stream.final()).text == "Hello"
        await asyncio.wait_for(server.gone.wait(), 5)


@pytest.mark.parametrize(("total", "waits"), [(600, False), (None, True)], ids=["too short", "no limit"])
async def test_the_end_of_the_body_is_awaited_if_there_is_time(
    monkeypatch: pytest.MonkeyPatch, *, total: float | None, waits: bool
) -> None:
    monkeypatch.setattr("inference_async.stream.FINISH_SECONDS", 1000)
    client, reply = streamed(HELLO)
    assert (await client.stream("hi", timeouts=Timeouts(total=total)).final()).text == "Hello"
    assert (reply.finished, reply.closed) == (waits, not waits)


# Time


async def test_first_token() -> None:
    client = scripted(ScriptedReply([b": ping\n\n", 30.0]), timeouts=Timeouts(first_token=0.05))
    with pytest.raises(APITimeoutError) as caught:
        await client.stream("hi").final()
    assert caught.value.phase == "first_token"
    assert caught.value.chunks == 0


async def test_between_tokens_is_not_fed_by_signs_of_life() -> None:
    alive: list[Piece] = [piece for _ in range(200) for piece in (0.01, b": ping\n\n", event(chunk("")))]
    first = event(chunk("Hel")) + event(chunk(""))
    client = scripted(ScriptedReply([first, *alive]), timeouts=Timeouts(between_tokens=0.1))
    with pytest.raises(APITimeoutError) as caught:
        await client.stream("hi").final()
    assert caught.value.phase == "between_tokens"
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hel"
    assert caught.value.chunks > 1


async def test_between_tokens_is_fed_by_text() -> None:
    slow: list[Piece] = [piece for _ in range(8) for piece in (0.3, event(chunk("x")))]
    client = scripted(ScriptedReply([*slow, DONE]), timeouts=Timeouts(first_token=2.0, between_tokens=2.0))
    assert (await client.stream("hi").final()).text == "xxxxxxxx"


async def test_total() -> None:
    slow: list[Piece] = [event(chunk("x")), 30.0, event(chunk("y"))]
    client = scripted(ScriptedReply(slow), timeouts=Timeouts(total=0.15))
    with pytest.raises(APITimeoutError) as caught:
        await client.stream("hi").final()
    assert caught.value.phase == "total"
    assert caught.value.partial is not None
    assert caught.value.partial.text.startswith("x")


async def test_limits_can_be_switched_off() -> None:
    off = Timeouts(connect=None, first_token=None, between_tokens=None, total=None)
    client = scripted(ScriptedReply([HELLO]), timeouts=off)
    assert (await client.stream("hi").final()).text == "Hello"


async def test_an_error_before_the_stream_comes_from_entering_it() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(json_reply({"error": {"message": "busy"}}, "429 Too Many Requests", ["retry-after: 7"]))

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1", model="m", retries=0) as client:
        with pytest.raises(RateLimitError) as caught:
            async with client.stream("hi"):
                pytest.fail("the context was entered")
        assert caught.value.retry_after == 7
        assert caught.value.partial is None


async def test_closing_the_client_while_an_error_body_is_read() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 500 Oops\r\ncontent-length: 9\r\n\r\nabc")
        await connection.gone.wait()

    async with RawServer(answer) as server:
        client = InferenceClient(f"{server.url}/v1", model="m")
        task = asyncio.create_task(client.complete("hi"))
        await asyncio.wait_for(server.asked.wait(), 5)
        await asyncio.sleep(0.02)
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(task, 5)
        await asyncio.wait_for(server.gone.wait(), 5)


@pytest.mark.parametrize("steps", range(40))
@pytest.mark.parametrize("close", ["stream", "client"])
async def test_closing_at_every_step_of_the_loop_ends_a_stream(steps: int, close: str) -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(event(chunk("Hel")), end=False)
        await connection.gone.wait()

    async with RawServer(answer) as server:
        client = InferenceClient(f"{server.url}/v1", model="m")
        stream = client.stream("hi")
        reader = asyncio.create_task(stream.final())
        for _ in range(steps):
            await asyncio.sleep(0)
        await (stream.aclose() if close == "stream" else client.aclose())
        with pytest.raises(ClientClosedError):
            await asyncio.wait_for(reader, 5)
        await client.aclose()


async def test_a_stream_that_was_closed_hands_out_nothing_more() -> None:
    gate = asyncio.Event()

    class Gated(ScriptedReply):
        async def read(self) -> bytes:
            await gate.wait()
            return await super().read()

    client = scripted(Gated([HELLO]))
    stream = client.stream("hi")
    reader = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.01)
    gate.set()
    await stream.aclose()  # in the step in which the bytes come
    for step in (reader, anext(stream)):
        with pytest.raises(ClientClosedError):
            await step
    assert repr(stream).startswith("<ChatStream failed")


@pytest.mark.parametrize("text", [b"retry later", b"database down", b"identity unknown"])
async def test_text_that_begins_like_a_field(text: bytes) -> None:
    client = scripted(ScriptedReply([text], headers={"content-type": "text/plain"}))
    with pytest.raises(InvalidResponseError, match=text.decode()):
        await client.stream("hi").final()


async def test_a_byte_order_mark_cut_between_reads() -> None:
    client = scripted(ScriptedReply([b"\xef", b"\xbb\xbf", b'{"error": {"message": "slow down", "code": 429}}']))
    with pytest.raises(RateLimitError, match="slow down"):
        await client.stream("hi").final()
    client, _ = streamed(b"\xef\xbb", b"\xbf" + HELLO)
    assert (await client.stream("hi").final()).text == "Hello"


async def test_a_key_in_junk_is_masked_before_it_is_cut() -> None:
    for junk in (
        b"data: " + b"x" * 190 + b"key-0123456789-abcdefgh\n\n",
        b"event: error\ndata: key-0123456789-abcdefgh\n\n",
    ):
        transport = ScriptedTransport(ScriptedReply([event(chunk("Hel")), junk]))
        client = InferenceClient("http://localhost/v1", "key-0123456789-abcdefgh", transport=transport)
        with pytest.raises(StreamError) as caught:
            await client.stream("hi").final()
        assert "key-0" not in str(caught.value)


async def test_a_transport_that_gives_up_is_no_limit_of_ours() -> None:
    client = scripted(ScriptedReply([TimeoutError("mine")]))
    with pytest.raises(IncompleteStreamError, match="gave up waiting"):
        await client.stream("hi").final()


# ---------------------------------------------------------------------------------------------------------------------
# The asynchronous filter


def annotated(check: int, start: int, end: int, finish: str | None = None) -> bytes:
    offsets = {"check_offset": check, "start_offset": start, "end_offset": end}
    results = {"violence": {"filtered": finish == "content_filter", "severity": "safe"}}
    choice = {"index": 0, "finish_reason": finish, "content_filter_results": results, "content_filter_offsets": offsets}
    return event({"id": "", "object": "", "created": 0, "model": "", "choices": [choice]})


async def test_checked_grows_after_the_finish_reason() -> None:
    text = event(chunk("c" * 462))
    client, _ = streamed(text, annotated(44, 44, 198), event(chunk(None, "stop")), annotated(506, 44, 571), DONE)
    async with client.stream("hi") as stream:
        seen = [(stream.checked, stream.retract_from) async for _ in stream]
        assert seen == [(None, None), (0, None), (0, None), (462, None)]
        assert stream.completion.finish_reason == "stop"
        assert stream.completion.choices[0].checked == 462


async def test_text_to_be_taken_back() -> None:
    client, _ = streamed(event(chunk("c" * 900)), annotated(65, 65, 1056, "content_filter"), DONE)
    stream = client.stream("hi")
    assert (stream.checked, stream.retract_from) == (None, None)
    completion = await stream.final()
    assert (stream.checked, stream.retract_from) == (0, 0)
    assert completion.choices[0].retract_from == 0
    assert len(completion.text) == 900


async def test_must_wait_says_whether_anything_has_arrived() -> None:
    client, _ = streamed(event(chunk("a")) + event(chunk("b")), event(chunk("c", "stop")), DONE)
    async with client.stream("hi") as stream:
        assert stream.must_wait
        assert [stream.must_wait async for _ in stream] == [False, True, True]


# ---------------------------------------------------------------------------------------------------------------------
# raise_on_filter

FILTERED = {"violence": {"filtered": True, "severity": "high"}}


def filtered(text: str = "He") -> list[bytes]:
    last = {"index": 0, "delta": {}, "finish_reason": "content_filter", "content_filter_results": FILTERED}
    return [event(chunk(text)), event({"id": "c", "model": "m", "choices": [last], "usage": USAGE}), DONE]


async def test_a_cut_stream_raises_after_its_last_chunk_and_keeps_failing() -> None:
    client, reply = streamed(*filtered())
    async with client.stream("hi", raise_on_filter=True) as stream:
        assert [(await anext(stream)).text for _ in range(2)] == ["He", ""]
        with pytest.raises(ContentFilterError, match=r"content safety cut the answer of .* for violence") as caught:
            await anext(stream)
        assert reply.finished  # so that the connection can be used again
        with pytest.raises(ContentFilterError) as again:
            await anext(stream)
        assert again.value is caught.value
        with pytest.raises(ContentFilterError):
            await stream.final()
    error = caught.value
    assert not reply.closed
    assert error.content_filter == ContentFilterResults(FILTERED)
    assert error.completion is not None
    assert (error.completion.text, error.completion.finish_reason) == ("He", "content_filter")
    assert error.completion.usage is not None
    assert (error.status, error.request_id) == (200, "request-1")
    assert pickle.loads(pickle.dumps(error)).completion == error.completion


@pytest.mark.parametrize(
    ("of_client", "of_call", "raises"),
    [
        (False, None, False),
        (False, True, True),
        (True, None, True),
        (True, False, False),
    ],
)
async def test_raise_on_filter_of_client_and_call(*, of_client: bool, of_call: bool | None, raises: bool) -> None:
    client = scripted(ScriptedReply(filtered()), raise_on_filter=of_client)
    stream = client.stream("hi", raise_on_filter=of_call)
    if raises:
        with pytest.raises(ContentFilterError):
            await stream.final()
    else:
        assert (await stream.final()).finish_reason == "content_filter"


async def test_a_filter_error_knows_its_address_and_no_key() -> None:
    reply = ScriptedReply(
        filtered(), headers={"content-type": "text/event-stream", "x-echo": "you sent key-0123456789"}
    )
    stream = scripted(reply, credential="key-0123456789").stream("hi", raise_on_filter=True)
    with pytest.raises(ContentFilterError) as caught:
        await stream.final()
    assert caught.value.headers["x-echo"] == "you sent [secret]"
    assert caught.value.url.endswith("/chat/completions")


async def test_an_answer_that_was_not_cut_is_not_touched() -> None:
    client, _ = streamed(HELLO)
    assert (await client.stream("hi", raise_on_filter=True).final()).text == "Hello"


async def test_a_filter_and_a_broken_end_is_a_broken_end() -> None:
    client, _ = streamed(event(chunk("He")))
    with pytest.raises(IncompleteStreamError):
        await client.stream("hi", raise_on_filter=True).final()


async def test_the_connection_of_a_cut_stream_is_used_again() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(*filtered())

    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1", model="m") as client:
        for _ in range(3):
            async with client.stream("hi", raise_on_filter=True) as stream:
                with pytest.raises(ContentFilterError):
                    await stream.final()
        assert server.connections == 1


# ---------------------------------------------------------------------------------------------------------------------
# response_type


class City(msgspec.Struct):
    name: str


async def test_a_stream_of_a_type() -> None:
    reply = ScriptedReply([event(chunk('{"name": ')), event(chunk('"Rome"}')), event(chunk(None, "stop")), DONE])
    transport = ScriptedTransport(reply)
    client = InferenceClient("http://localhost/v1", model="m", transport=transport)
    stream = client.stream("hi", response_type=City)
    assert isinstance(stream, ParsedStream)
    async with stream:
        with pytest.raises(ClientStateError, match="not at its end"):
            _ = stream.parsed
        texts = [piece.text async for piece in stream]
    assert "".join(texts) == '{"name": "Rome"}'
    assert stream.parsed == City("Rome")
    completion = await stream.final()
    assert isinstance(completion, ParsedCompletion)
    assert (completion.parsed, completion.repaired) == (City("Rome"), [])
    assert (completion.text, completion.meta.request_id) == ('{"name": "Rome"}', "request-1")
    sent = msgspec.json.decode(transport.calls[0].body)
    assert sent["stream"] is True
    assert sent["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        pytest.param([event(chunk("Rome", "stop"))], "mismatch", id="no JSON"),
        pytest.param([event(chunk('{"name": "Ro', "length"))], "length", id="cut"),
        pytest.param([event(chunk("", "stop"))], "empty", id="empty"),
        pytest.param(filtered()[:-1], "content_filter", id="filtered"),
    ],
)
async def test_a_stream_that_is_no_value(pieces: list[bytes], reason: str) -> None:
    client, _ = streamed(*pieces, DONE)
    stream = client.stream("hi", response_type=City)
    with pytest.raises(ResponseTypeError) as caught:
        await stream.final()
    assert caught.value.reason == reason
    with pytest.raises(ResponseTypeError):
        _ = stream.parsed
    assert stream.completion.text == caught.value.completion.text


async def test_a_filtered_stream_of_a_type_raises_what_was_asked_for() -> None:
    client, _ = streamed(*filtered())
    with pytest.raises(ContentFilterError):
        await client.stream("hi", response_type=City, raise_on_filter=True).final()


async def test_a_stream_of_a_type_that_was_cut_is_a_cut_stream() -> None:
    client, _ = streamed(event(chunk('{"name": "Rome"}')))
    stream = client.stream("hi", response_type=City)
    with pytest.raises(IncompleteStreamError):
        await stream.final()
    with pytest.raises(ClientStateError):
        _ = stream.parsed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"response_type": City, "response_format": "json_object"}, "both response_type= and response_format="),
        ({"response_type": City, "response_format": None}, "both response_type= and response_format="),
    ],
    ids=["with response_format", "with null"],
)
async def test_misuse_of_a_type_is_refused_before_anything_is_sent(options: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        scripted().stream("hi", **options)


async def test_what_was_streamed_cannot_be_repaired() -> None:
    options: Any = {"response_type": City, "repair": 1}
    with pytest.raises(ConfigurationError, match="unknown option 'repair'") as caught:
        scripted().stream("hi", **options)
    assert "did you mean 'repair'" not in str(caught.value)


# Bounds on the whole of an answer, and large events


async def test_an_answer_that_grows_over_its_bound_ends_the_stream() -> None:
    """Each event is small; it is their number that has no end."""

    def pieces() -> Iterator[bytes]:
        while True:
            yield event(chunk("x" * 1000)) * 10

    reply = ScriptedReply(pieces())
    client = scripted(reply, limits=Limits(max_body_bytes=100_000))
    stream = client.stream("hi")
    with pytest.raises(StreamError, match="over 100,000 bytes; raise max_body_bytes") as caught:
        await stream.final()
    assert reply.closed
    assert caught.value.partial is not None
    assert len(caught.value.partial.text) <= 101_000
    assert (caught.value.attempts, caught.value.phase) == (1, "body")


@pytest.mark.parametrize("bytes_a_read", [65_536, 1_000_000])
async def test_a_large_event_is_read_beside_the_loop(bytes_a_read: int, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    decode = ChunkDecoder.decode

    def spied(self: ChunkDecoder, events: Any) -> Any:
        events = list(events)
        if events:
            threads.add(threading.get_ident())
        return decode(self, events)

    monkeypatch.setattr(ChunkDecoder, "decode", spied)
    text = "x" * 1_000_000
    data = event(chunk(text, "stop"))
    client, _ = streamed(*(data[at : at + bytes_a_read] for at in range(0, len(data), bytes_a_read)), DONE)
    completion = await client.stream("hi").final()
    assert completion.text == text
    assert len(threads) == 2  # the large one in another thread, the end mark in this one


async def test_closing_while_a_large_event_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    decode = ChunkDecoder.decode

    def slow(self: ChunkDecoder, events: Any) -> Any:
        begun.set()
        go_on.wait(10)
        return decode(self, events)

    monkeypatch.setattr(ChunkDecoder, "decode", slow)
    client, reply = streamed(event(chunk("x" * 1_000_000, "stop")), DONE)
    stream = client.stream("hi")
    reading = asyncio.create_task(anext(stream))
    await asyncio.to_thread(begun.wait, 10)
    await stream.aclose()
    go_on.set()
    for _ in range(2):
        with pytest.raises(ClientClosedError, match="the stream was closed"):
            await reading if not reading.done() else await anext(stream)
    assert reply.closed
    assert stream.must_wait


async def test_a_slow_consumer_of_empty_chunks_is_told_of_the_limit() -> None:
    client, _ = streamed(event(chunk("a")), *[event(chunk())] * 1000)
    client = client.with_options(timeouts=Timeouts(between_tokens=0.05))
    with pytest.raises(BetweenTokensTimeoutError) as caught:  # noqa: PT012
        async for _ in client.stream("hi"):
            await asyncio.sleep(0.02)
    assert caught.value.partial is not None
    assert caught.value.partial.text == "a"


async def test_what_came_in_time_is_read_however_slow_the_consumer() -> None:
    client, _ = streamed(event(chunk("a")), event(chunk()), event(chunk("b", "stop")) + DONE)
    client = client.with_options(timeouts=Timeouts(between_tokens=0.02))
    texts: list[str] = []
    async for each in client.stream("hi"):
        texts.append(each.text)
        await asyncio.sleep(0.05)
    assert "".join(texts) == "ab"


async def test_a_compressed_stream_of_empty_chunks_ends_at_its_limit() -> None:
    body = gzip.compress(event(chunk()) * 400_000)

    async def answer(connection: Connection) -> None:
        await connection.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ncontent-length: "
            + b"%d\r\n\r\n" % len(body),
            body,
        )

    timeouts = Timeouts(first_token=0.1)
    async with RawServer(answer) as server, InferenceClient(f"{server.url}/v1", model="m", timeouts=timeouts) as client:
        stream = client.stream("hi")
        with pytest.raises(FirstTokenTimeoutError):
            await stream.final()
        assert stream._accumulator.chunks < 400_000
