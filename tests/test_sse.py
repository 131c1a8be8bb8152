"""`SSEStream`: what goes to a browser, what keeps it alive, and what is left when the browser goes."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from inference_async import (
    APIConnectionError,
    APIStatusError,
    ClientClosedError,
    ClientStateError,
    ConfigurationError,
    ConnectTimeoutError,
    ContentFilterError,
    ContentFilterResults,
    InferenceError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    RateLimitError,
    StreamError,
    Timeouts,
)
from inference_async.wire.sse import EventDecoder, ServerSentEvent
from tests.support import DONE, HELLO, ScriptedReply, chunk, collect, event, scripted, streamed

COMMENT = b": keep-alive\n\n"
USAGE = {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1}
SECRET = "a prompt, a key, an address"
SILENCE = 3600.0


def events_in(data: list[bytes]) -> list[ServerSentEvent]:
    return EventDecoder().feed(b"".join(data))


def error_in(data: list[bytes]) -> dict[str, Any]:
    last = events_in(data)[-1]
    assert last.event == "error"
    told: dict[str, Any] = json.loads(last.data)["error"]
    return told


@asynccontextmanager
async def nothing_left(reply: ScriptedReply | None = None) -> AsyncIterator[None]:
    """No task may be there afterwards that was not there before, and the connection is cut."""
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() == before
    assert reply is None or reply.closed


# ---------------------------------------------------------------------------------------------------------------------
# What is sent


async def test_each_chunk_is_an_event_and_the_last_one_is_the_end_mark() -> None:
    client, reply = streamed(HELLO)
    sent = await collect(client.stream("hi").sse())
    events = events_in(sent)
    assert [json.loads(found.data) for found in events[:-1]] == [
        {**chunk("Hel"), "object": "chat.completion.chunk"},
        {**chunk("lo"), "object": "chat.completion.chunk"},
        {**chunk("", "stop"), "object": "chat.completion.chunk"},
    ]
    assert events[-1].data == b"[DONE]"
    assert {found.event for found in events} == {"message"}
    assert reply.finished


async def test_what_arrived_together_is_sent_together() -> None:
    client, _ = streamed(event(chunk("a")) + event(chunk("b")), event(chunk("c", "stop")) + DONE)
    assert [len(events_in([data])) for data in await collect(client.stream("hi").sse())] == [2, 2]


async def test_unknown_fields_and_empty_lists_are_spelled_as_the_service_does() -> None:
    last = {"id": "c1", "object": "chunk", "created": 7, "choices": [], "usage": USAGE, "weather": {"rain": True}}
    client, _ = streamed(event(chunk("", "stop", mood="fine")) + event(last) + DONE)
    first, second, _ = events_in(await collect(client.stream("hi").sse()))
    assert json.loads(first.data)["mood"] == "fine"
    assert json.loads(second.data) == last


async def test_text_is_sent_as_json_strings_and_chunks_without_text_are_passed_over() -> None:
    pieces = [event(chunk(text)) for text in ("", "a\nb", "", "ü\u2028")]
    client, _ = streamed(*pieces, event(chunk("", "stop")), DONE)
    sent = await collect(client.stream("hi").sse(as_="text"))
    assert [found.data.decode() for found in events_in(sent)] == ['"a\\nb"', '"ü\u2028"', "[DONE]"]
    assert len(sent) == 3


async def test_a_client_reads_it_like_any_other_stream() -> None:
    origin, _ = streamed(HELLO.replace(DONE, b"") + event({"id": "c1", "choices": [], "usage": USAGE}) + DONE)
    reader, _ = streamed(*await collect(origin.stream("hi").sse()))
    completion = await reader.stream("hi").final()
    assert (completion.text, completion.finish_reason) == ("Hello", "stop")
    assert completion.usage is not None
    assert completion.usage.total_tokens == 1


async def test_the_head_of_the_answer() -> None:
    client, _ = streamed(HELLO)
    sse = client.stream("hi").sse()
    assert sse.media_type == "text/event-stream"
    assert dict(sse.headers) == {"cache-control": "no-cache", "x-accel-buffering": "no"}


async def test_nothing_is_asked_before_the_first_step_and_nothing_follows_the_end() -> None:
    reply = ScriptedReply([HELLO])
    client = scripted(reply)
    sse = client.stream("hi").sse()
    assert reply.reads == 0
    assert await collect(sse)
    assert await collect(sse) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"as_": "words"}, "got as_='words', expected 'chunks' or 'text'"),
        ({"as_": []}, "got as_=[], expected"),
        ({"keep_alive": 0}, "got keep_alive=0, expected seconds above 0"),
        ({"keep_alive": float("nan")}, "got keep_alive=nan"),
        ({"keep_alive": float("inf")}, "got keep_alive=inf"),
        ({"keep_alive": True}, "got keep_alive=True"),
        ({"keep_alive": "5"}, "got keep_alive='5'"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_misuse_is_refused(options: Any, words: str) -> None:
    client, _ = streamed(HELLO)
    with pytest.raises(ConfigurationError) as caught:
        client.stream("hi").sse(**options)
    assert words in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# Errors


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RateLimitError(SECRET, status=429, code="429"), ("429", "the model is busy", True)),
        (
            RateLimitError(SECRET, status=429, code="insufficient_quota"),
            ("insufficient_quota", "the model is busy", False),
        ),
        (
            ContentFilterError(SECRET, status=400, code="content_filter", content_filter=ContentFilterResults({})),
            ("content_filter", "content safety does not allow it", False),
        ),
        (InternalServerError(SECRET, status=503), (None, "the model failed", True)),
        (NotFoundError(SECRET, status=404, code=SECRET), (None, "the request failed", False)),
        (APIConnectionError(SECRET, kind="dns"), (None, "the model cannot be reached", True)),
        (
            ConnectTimeoutError(SECRET, phase="connect", elapsed=1),
            (None, "the model did not answer in time", True),
        ),
        (InvalidResponseError(SECRET), (None, "the request failed", False)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_call_that_fails_is_told_by_the_last_event_without_quoting_anything(
    error: InferenceError, told: tuple[str | None, str, bool]
) -> None:
    heard: list[InferenceError] = []
    sent = await collect(scripted(error).stream("hi").sse(on_error=heard.append))
    code, message, retryable = told
    assert error_in(sent) == {
        "type": type(error).__name__,
        "code": code,
        "message": message,
        "retryable": retryable,
    }
    assert heard == [error]
    assert len(events_in(sent)) == 1


async def test_what_had_arrived_is_sent_before_the_error() -> None:
    client, reply = streamed(event(chunk("Hel")) + event(chunk("lo")))
    sent = await collect(client.stream("hi").sse(as_="text"))
    assert [found.data for found in events_in(sent)][:-1] == [b'"Hel"', b'"lo"']
    assert error_in(sent) == {
        "type": "IncompleteStreamError",
        "code": None,
        "message": "the answer broke off",
        "retryable": True,
    }
    assert reply.closed


async def test_a_client_that_reads_it_gets_the_error_as_one_that_it_can_retry() -> None:
    origin = scripted(RateLimitError("slow down", status=429, code="429"))
    reader, _ = streamed(*await collect(origin.stream("hi").sse()))
    with pytest.raises(StreamError) as caught:
        await reader.stream("hi").final()
    assert (caught.value.type, caught.value.code, caught.value.retryable) == ("RateLimitError", "429", True)


async def test_the_limits_of_the_call_hold_and_comments_do_not_move_them() -> None:
    client, reply = streamed(event(chunk("Hel")), SILENCE)
    stream = client.with_options(timeouts=Timeouts(between_tokens=0.05)).stream("hi")
    sent = await collect(stream.sse(keep_alive=0.01))
    assert error_in(sent)["type"] == "BetweenTokensTimeoutError"
    assert COMMENT in sent
    assert reply.closed


async def test_what_the_callers_own_function_raises_is_the_callers() -> None:
    def fail(error: InferenceError) -> None:
        raise LookupError(str(error))

    async with nothing_left():
        with pytest.raises(LookupError):
            await collect(scripted(APIStatusError("no", status=400)).stream("hi").sse(on_error=fail))


async def test_a_mistake_of_the_transport_is_not_told_to_the_browser() -> None:
    client, reply = streamed(event(chunk("Hel")), ZeroDivisionError())
    sse = client.stream("hi").sse()
    assert await anext(sse)
    async with nothing_left(reply):
        with pytest.raises(ZeroDivisionError):
            await anext(sse)
    assert await collect(sse) == []


# ---------------------------------------------------------------------------------------------------------------------
# Comments


async def test_a_silent_stream_is_kept_alive_by_comments_which_do_not_end_the_read() -> None:
    client, reply = streamed(event(chunk("a")), 0.05, event(chunk("b", "stop")) + DONE)
    sse = client.stream("hi").sse(as_="text", keep_alive=0.005)
    sent = await collect(sse)
    assert sent[0] == b'data: "a"\n\n'
    assert sent[-1] == b'data: "b"\n\ndata: [DONE]\n\n'
    assert sent[1:-1] == [COMMENT] * (len(sent) - 2)
    assert len(sent) > 3
    assert reply.reads == 2
    assert not reply.closed


async def test_comments_are_sent_before_the_first_token_and_leave_one_task() -> None:
    client, reply = streamed(SILENCE)
    before = asyncio.all_tasks()
    async with nothing_left(reply), aclosing(client.stream("hi").sse(keep_alive=0.001)) as sse:
        for _ in range(5):
            assert await anext(sse) == COMMENT
        assert len(asyncio.all_tasks() - before) == 1
    assert reply.reads == 1


async def test_chunks_that_are_passed_over_are_no_sign_of_life() -> None:
    thinking = event({"id": "c1", "choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]})
    pieces = [piece for _ in range(50) for piece in (thinking, 0.002)]
    client, _ = streamed(*pieces, event(chunk("42", "stop")) + DONE)
    assert await anext(client.stream("hi").sse(as_="text", keep_alive=0.01)) == COMMENT


async def test_there_is_a_task_for_a_read_at_most() -> None:
    tasks: list[asyncio.Task[Any]] = []

    def made(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        tasks.append(asyncio.Task(coroutine, loop=loop, **options))
        return tasks[-1]

    reads = [b"".join(event(chunk(f"{read}{number}")) for number in range(10)) for read in range(3)]
    client, reply = streamed(*reads, event(chunk("", "stop")) + DONE)
    asyncio.get_running_loop().set_task_factory(made)
    assert len(events_in(await collect(client.stream("hi").sse(keep_alive=SILENCE)))) == 32
    assert len(tasks) == reply.reads == 4


async def test_without_comments_there_is_no_task() -> None:
    client, _ = streamed(event(chunk("a")), 0.005, event(chunk("b", "stop")) + DONE)
    counts: list[int] = []
    read = ScriptedReply.read

    async def counted(reply: ScriptedReply) -> bytes:
        counts.append(len(asyncio.all_tasks()))
        return await read(reply)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedReply, "read", counted)
        assert await collect(client.stream("hi").sse(keep_alive=None))
    assert counts == [1, 1]


# ---------------------------------------------------------------------------------------------------------------------
# The browser goes


@pytest.mark.parametrize("keep_alive", [None, SILENCE], ids=["alone", "with-comments"])
@pytest.mark.parametrize("pieces", [(SILENCE,), (event(chunk("a")), SILENCE)], ids=["before-the-first-token", "later"])
async def test_cancelling_a_step_cuts_the_call(pieces: tuple[Any, ...], keep_alive: float | None) -> None:
    client, reply = streamed(*pieces)
    async with nothing_left(reply):
        reading = asyncio.create_task(collect(client.stream("hi").sse(keep_alive=keep_alive)))
        while reply.reads < len(pieces):  # noqa: ASYNC110  (the script has no event for it)
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("close", ["cancel", "aclose"])
async def test_leaving_at_every_step_of_the_loop(close: str, steps: int) -> None:
    client, reply = streamed(event(chunk("a")), 0.0, event(chunk("b")), SILENCE)
    sse = client.stream("hi").sse(keep_alive=SILENCE)
    async with nothing_left():
        reading = asyncio.create_task(collect(sse))
        for _ in range(steps):
            await asyncio.sleep(0)
        if close == "cancel":
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        else:
            await sse.aclose()
            assert DONE not in b"".join(await reading)
    assert reply.closed or not reply.reads


async def test_closing_between_comments_ends_the_read() -> None:
    client, reply = streamed(SILENCE)
    sse = client.stream("hi").sse(keep_alive=0.001)
    assert await anext(sse) == COMMENT
    async with one_task_less():
        await sse.aclose()
        await sse.aclose()
    assert reply.closed
    assert await collect(sse) == []


@asynccontextmanager
async def one_task_less() -> AsyncIterator[None]:
    """The read of the stream is under way before, and not afterwards."""
    assert len(asyncio.all_tasks()) == 2
    yield
    assert len(asyncio.all_tasks()) == 1


async def test_closing_ends_a_read_that_its_transport_does_not_end() -> None:
    class Deaf(ScriptedReply):
        async def read(self) -> bytes:
            self.reads += 1
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    sse = scripted(Deaf([])).stream("hi").sse(keep_alive=0.001)
    assert await anext(sse) == COMMENT
    async with one_task_less():
        await sse.aclose()


async def test_a_read_that_failed_after_the_browser_went_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = streamed(0.005, APIConnectionError("reset"))
    sse = client.stream("hi").sse(keep_alive=0.001)
    assert await anext(sse) == COMMENT
    (step,) = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait([step])
    await sse.aclose()
    del step, sse
    await asyncio.sleep(0)
    gc.collect()
    assert not caplog.records


async def test_closing_before_the_first_step_sends_nothing() -> None:
    reply = ScriptedReply([HELLO])
    sse = scripted(reply).stream("hi").sse()
    async with nothing_left():
        await sse.aclose()
    assert await collect(sse) == []
    assert not reply.reads


async def test_the_callers_own_timeout_closes_it() -> None:
    client, reply = streamed(SILENCE)
    async with nothing_left(reply):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await collect(client.stream("hi").sse())


async def test_dropping_it_ends_the_read(caplog: pytest.LogCaptureFixture) -> None:
    client, reply = streamed(SILENCE)
    sse = client.stream("hi").sse(keep_alive=0.001)
    assert await anext(sse) == COMMENT
    (step,) = asyncio.all_tasks() - {asyncio.current_task()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del sse
        await asyncio.wait([step])
    assert reply.closed
    assert not caplog.records


async def test_dropping_it_between_events_warns_as_a_stream_does() -> None:
    client, reply = streamed(event(chunk("a")), SILENCE)
    sse = client.stream("hi").sse()
    assert await anext(sse)
    with pytest.warns(ResourceWarning, match="dropped before its end"):
        del sse
    assert reply.closed


async def test_a_step_that_is_closed_by_hand_is_dropped_with_it() -> None:
    client, reply = streamed(SILENCE)
    sse = client.stream("hi").sse()
    step = sse.__anext__()
    step.send(None)
    step.close()
    (reading,) = asyncio.all_tasks() - {asyncio.current_task()}
    del sse, step
    await asyncio.wait([reading])
    assert not reply.reads


async def test_a_client_that_is_closed_ends_it_with_an_error() -> None:
    client, _ = streamed(SILENCE)
    async with nothing_left():
        sse = client.stream("hi").sse(keep_alive=0.001)
        assert await anext(sse) == COMMENT
        await sse._stream.aclose()
        sent = await collect(sse)
    assert error_in(sent)["type"] == ClientClosedError.__name__


async def test_two_readers_are_refused() -> None:
    client, _ = streamed(SILENCE)
    async with aclosing(client.stream("hi").sse(keep_alive=0.005)) as sse:
        first = asyncio.create_task(anext(sse))
        await asyncio.sleep(0)
        with pytest.raises(ClientStateError, match="another task"):
            await anext(sse)
        assert await first == COMMENT


async def test_an_answer_that_is_cut_never_looks_whole() -> None:
    whole = HELLO.removesuffix(DONE)
    for end in range(0, len(whole), 7):
        client, _ = streamed(whole[:end] or b"\n")
        sent = b"".join(await collect(client.stream("hi").sse()))
        assert (DONE in sent) == (b"event: error" not in sent)
        assert DONE not in sent or b'"finish_reason":"stop"' in sent
