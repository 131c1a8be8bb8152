"""What shows in more than one call, or takes long: retries, kept connections, strays, memory, endless answers."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from inference_async import (
    APIConnectionError,
    APIStatusError,
    BadRequestError,
    BetweenTokensTimeoutError,
    ChatStream,
    IncompleteStreamError,
    InferenceClient,
    InferenceError,
    InternalServerError,
    InvalidResponseError,
    Limits,
    RateLimitError,
    RetryPolicy,
    StreamError,
    Timeouts,
    TotalTimeoutError,
)
from inference_async.emulator import FAULTS, Asked, Fault, FaultServer, fault
from inference_async.emulator.framings import Pieces
from inference_async.emulator.golden import TEXT, chunk, event
from inference_async.types import ChatCompletion

from .expected import KINDS, Kind
from .running import remains

ROOT = Path(__file__).parent.parent.parent
MIB = 1024 * 1024
QUICK = RetryPolicy(backoff=0.001)


async def ask(client: InferenceClient, kind: Kind, **options: Any) -> ChatCompletion:
    given: Any = options  # whatever a call takes, with no type of answer
    if kind == "complete":
        completion: ChatCompletion = await client.complete("hi", **given)
        return completion
    async with client.stream("hi", **given) as stream:
        final: ChatCompletion = await stream.final()
        return final


def client_of(server: FaultServer, **options: Any) -> InferenceClient:
    given: dict[str, Any] = {"credential": "key-of-tests", "model": "any", "retries": 0}
    return InferenceClient(server.url, **given | options)


# ---------------------------------------------------------------------------------------------------------------------
# Retries


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "faults",
    [
        *("status-503 fine", "status-429 status-503 fine", "status-408 status-409 fine", "status-500-empty fine"),
        *("retry-ms fine", "retry-fraction fine", "retry-zero fine", "retry-should fine", "retry-garbage fine"),
        *("reset-unanswered fine", "close-unanswered fine", "reset-at-once fine", "close-at-once fine"),
        "close-told status-502 close-untold",
    ],
)
async def test_a_call_that_failed_before_an_answer_began_is_sent_again(faults: str, kind: Kind) -> None:
    names = faults.split()
    async with FaultServer(*names) as server:
        async with client_of(server, retries=QUICK) as client:
            completion = await ask(client, kind)
            first = FAULTS[names[0]]
            assert completion.meta.attempts == (1 if first.name == "close-told" else len(names))
        await server.all_closed()
    ids = {asked.headers["x-ms-client-request-id"] for asked in server.requests}
    assert completion.text == TEXT
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("status-400", "complete", BadRequestError),
        ("retry-should-not+status-501", "complete", InternalServerError),
        ("retry-should-not", "stream", RateLimitError),
        ("retry-day", "complete", RateLimitError),
        ("status-429-quota", "stream", RateLimitError),
        ("redirect-307", "complete", APIStatusError),
        ("html-200", "complete", InvalidResponseError),
        ("cut-in-status", "complete", APIConnectionError),
        ("reset-in-head", "stream", APIConnectionError),
        ("cut-in-chunk", "complete", APIConnectionError),
        ("cut-after-head", "stream", IncompleteStreamError),
        ("cut-in-chunk", "stream", IncompleteStreamError),
        ("reset-between-events", "stream", IncompleteStreamError),
        ("error-first", "stream", StreamError),
        ("status-words", "stream", APIConnectionError),
    ],
)
async def test_what_may_not_be_sent_again_is_not(name: str, kind: Kind, error: type[InferenceError]) -> None:
    async with FaultServer(name, "fine") as server, client_of(server, retries=QUICK) as client:
        with pytest.raises(error) as caught:
            await ask(client, kind)
    assert len(server.requests) == caught.value.attempts == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_an_outage_ends_in_the_last_error(kind: Kind) -> None:
    async with FaultServer("reset-unanswered", "status-429", "status-503") as server:
        async with client_of(server, retries=QUICK) as client:
            with pytest.raises(InternalServerError) as caught:
                await ask(client, kind)
        await server.all_closed()
    assert len(server.requests) == caught.value.attempts == 3


async def test_a_thousand_calls_in_an_outage_send_hardly_more_than_a_thousand_requests() -> None:
    async with FaultServer("status-503") as server:
        async with client_of(server, retries=QUICK, max_connections=50) as client:
            errors = await asyncio.gather(*(client.complete("hi") for _ in range(1000)), return_exceptions=True)
        await server.all_closed()
    assert {type(error) for error in errors} == {InternalServerError}
    assert 1000 < len(server.requests) <= 1050


class Tokens:
    """A credential whose n-th token is the n-th."""

    def __init__(self) -> None:
        self.asked = 0

    async def get_token(self, *_: str, **__: Any) -> Any:
        self.asked += 1

        class Token:
            token = f"token-of-tests-{self.asked}"
            expires_on = int(time.time()) + 3600

        return Token


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["status-401-expired", "status-401", "status-401-claims"])
async def test_a_token_that_is_refused_is_renewed_once(name: str, kind: Kind) -> None:
    async with FaultServer(name, "fine") as server:
        async with client_of(server, credential=Tokens(), scope="https://any/.default") as client:
            completion = await ask(client, kind)
        await server.all_closed()
    assert completion.text == TEXT
    assert [asked.credential for asked in server.requests] == ["token-of-tests-1", "token-of-tests-2"]
    async with (
        FaultServer(name) as server,
        client_of(server, credential=Tokens(), scope="https://any/.default") as client,
    ):
        with pytest.raises(APIStatusError) as caught:
            await ask(client, kind)
    assert len(server.requests) == caught.value.attempts == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["status-429", "status-500", "status-503-html"])
async def test_a_status_is_not_lost_over_an_explanation_that_does_not_come(name: str, kind: Kind) -> None:
    timeouts = Timeouts(first_token=0.4, total=0.4)
    async with FaultServer(f"{name}+stall-in-chunk") as server, client_of(server, timeouts=timeouts) as client:
        with pytest.raises(APIStatusError) as caught:
            await ask(client, kind)
    assert caught.value.status == FAULTS[name].status


# ---------------------------------------------------------------------------------------------------------------------
# Connections that are used again


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["close-on-reuse", "reset-on-reuse"])
async def test_a_connection_that_dies_when_it_is_used_again_costs_nothing(name: str, kind: Kind) -> None:
    async with FaultServer(name) as server:
        async with client_of(server, retries=RetryPolicy(retries=0)) as client:
            for number in range(10):
                completion = await ask(client, kind)
                assert completion.text == TEXT
                # Each call ends on a connection that dies with the next one, as llama.cpp's do.
                assert completion.meta.attempts == (2 if number else 1)
            assert client._session._budget.tokens == 500
        await server.all_closed()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["close-told", "close-untold", "reset-untold"])
async def test_a_connection_that_was_closed_is_not_used_again(name: str, kind: Kind) -> None:
    async with FaultServer(name) as server:
        async with client_of(server) as client:
            for _ in range(10):
                assert (await ask(client, kind)).text == TEXT
        await server.all_closed()
    assert len(server.requests) == server.connections == 10


async def test_twenty_answers_come_over_one_connection() -> None:
    good = ("fine", "gzip", "length", "no-done", "chunked", "cookies", "pings")
    async with FaultServer(*good) as server, client_of(server) as client:
        for number in range(20):
            assert (await ask(client, KINDS[number % 2])).text == TEXT
    assert server.connections == 1
    assert all("cookie" not in asked.headers for asked in server.requests)


def numbered(number: int) -> Fault:
    """The good answer, under an id of its own."""
    name = b"chatcmpl-%d" % number

    def renamed(pieces: Pieces) -> Iterator[bytes | None]:
        return (piece and piece.replace(b"chatcmpl-golden", name) for piece in pieces)

    return Fault(f"numbered-{number}", "the good answer, numbered", "good", changes=(renamed,))


STRAY = ["stray-answer", "stray-bytes", "stray-bytes-endless", "stray-newline", "length-under", "bytes-after-done"]
STRAY += [
    "pings-after-done",
    "flood-after-done",
    "events-after-done",
    "done-twice",
    "gzip-trailing",
    "endless-trailers",
]


@pytest.mark.parametrize("name", STRAY)
async def test_what_comes_behind_an_answer_reaches_no_other_call(name: str) -> None:
    stray = FAULTS[name]
    kinds = (
        KINDS
        if stray.kind == "both" and name not in ("length-under", "gzip-trailing", "endless-trailers")
        else KINDS[1:]
    )
    said = [stray + numbered(number) for number in range(20)]
    async with FaultServer(*said, pause=0.001) as server:
        async with client_of(server) as client:
            for number in range(20):
                completion = await ask(client, kinds[number % len(kinds)])
                assert completion.id == f"chatcmpl-{number}"
                assert completion.text == TEXT
        await server.all_closed()
    assert len(server.requests) == 20


@pytest.mark.parametrize("cut", ["close", "cancel", "error"])
async def test_an_answer_that_was_left_reaches_no_other_call(cut: str) -> None:
    slow = Fault("slow-numbered", "slow", "good", changes=FAULTS["slow"].changes)
    said = [slow + numbered(number) for number in range(10)]
    async with FaultServer(*said, pause=0.01) as server:
        async with client_of(server) as client:
            for number in range(10):
                if number % 2:
                    assert (await ask(client, "complete")).id == f"chatcmpl-{number}"
                elif cut == "cancel":
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(ask(client, "stream"), 0.015)
                elif cut == "error":
                    with pytest.raises(TotalTimeoutError):
                        await ask(client, "stream", timeouts=Timeouts(total=0.015))
                else:
                    async with client.stream("hi") as stream:
                        assert (await anext(stream)).id == f"chatcmpl-{number}"
        await server.all_closed()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_nothing_goes_to_where_a_redirect_leads(status: int, kind: Kind) -> None:
    async with FaultServer("fine") as other, FaultServer(f"redirect-{status}", target=f"{other.url}/v1") as server:
        async with client_of(server, retries=QUICK) as client:
            with pytest.raises(APIStatusError, match=rf"a redirect to {other.url.removeprefix('http://')} ") as caught:
                await ask(client, kind)
        await server.all_closed()
    assert (caught.value.status, len(server.requests), other.connections) == (status, 1, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Answers without end


@pytest.mark.parametrize("wait", [0.0, 0.005], ids=["at once", "slowly"])
async def test_an_endless_stream_ends_with_the_time_of_the_call(wait: float) -> None:
    timeouts, limits = Timeouts(total=0.3), Limits(max_body_bytes=4096 * MIB)
    seen = 0

    async def read(stream: ChatStream) -> None:
        nonlocal seen
        async for _ in stream:
            seen += 1
            await asyncio.sleep(wait)

    async with FaultServer("endless-events") as server:
        async with client_of(server, timeouts=timeouts, limits=limits) as client, client.stream("hi") as stream:
            with pytest.raises(TotalTimeoutError) as caught:
                await asyncio.wait_for(read(stream), 30)
        await server.all_closed()
    error = caught.value
    assert (error.chunks, error.status, error.phase) == (seen, 200, "total")
    assert error.partial is not None
    assert error.partial.text == "Grüße" * seen


async def test_a_flood_of_comments_does_not_put_the_limits_off() -> None:
    """Each read of it is decoded in a thread, and the next one has its bytes already."""
    async with FaultServer("endless-pings") as server:
        async with client_of(server, timeouts=Timeouts(total=0.3)) as client:
            with pytest.raises(TotalTimeoutError):
                await asyncio.wait_for(ask(client, "stream"), 30)
        await server.all_closed()


async def test_nothing_is_read_ahead_of_a_consumer_that_sleeps() -> None:
    piece = event(chunk("Grüße")) * 400
    size = len(piece)
    taken = 0

    def push(_: Asked) -> Iterator[bytes]:
        nonlocal taken
        for said in repeat(piece, 256 * MIB // size):
            taken += size
            yield said

    pushing = Fault("push", "256 MiB of good events", "good", "stream", body=push)
    async with FaultServer(pushing) as server:
        async with client_of(server) as client, client.stream("hi") as stream:
            await anext(stream)
            before = -1
            while taken > before:  # until the network takes no more
                before = taken
                await asyncio.sleep(0.1)
            assert size <= taken < 8 * MIB
            for _ in range(100_000):
                await anext(stream)
            assert taken > before, "what it does not read it could have read"
        await server.all_closed()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cut-in-event", "Grüße aus"),
        ("reset-in-chunk", "Grüße aus"),
        ("cut-between-events", TEXT),
        ("reset-between-events", TEXT),
        ("chunk-size-garbage", "Grüße aus"),
        ("gzip+cut-in-chunk", "Grüße aus"),
        ("cut-before-end", None),
        ("reset-before-end", None),
        ("endless-trailers", None),
        ("stray-bytes-endless", None),
        ("gzip+reset-before-end", None),
    ],
)
async def test_a_consumer_that_is_late_loses_nothing_that_had_arrived(name: str, text: str | None) -> None:
    async with FaultServer(name) as server, client_of(server) as client, client.stream("hi") as stream:
        await asyncio.sleep(0.1)
        if text is None:
            assert (await stream.final()).text == TEXT
            return
        with pytest.raises(IncompleteStreamError) as caught:
            await stream.final()
    assert caught.value.partial is not None
    assert caught.value.partial.text == text


BOMBS = ["bomb", "bomb-error", "bomb-endless", "endless-text", "endless-error", "large-text", "many-choices"]
BOMBS += ["many-calls", "endless-header", "endless-headers", "deep-lists", "deep-objects", "stray-bytes-endless"]
STREAMED_BOMBS = [*BOMBS, "endless-line", "endless-comment", "endless-data", "endless-events", "endless-pings"]
STREAMED_BOMBS += ["flood-after-done", "endless-trailers", "endless-extension", "endless-interim"]
WHOLE_BOMBS = [*BOMBS, "endless-spaces"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts the memory of a process in another way")
@pytest.mark.parametrize("mib", [1, 8])
async def test_no_answer_fills_the_memory(mib: int) -> None:
    rows = [
        ("fine", "complete"),
        *((name, "stream") for name in STREAMED_BOMBS),
        *((name, "complete") for name in WHOLE_BOMBS),
    ]
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(FaultServer(name)) for name, _ in rows]
        lines = [f"{name} {kind} {server.url}" for (name, kind), server in zip(rows, servers, strict=True)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.growth", str(mib)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate("\n".join(lines).encode()), 50)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    table = [line.split() for line in said.decode().splitlines()]
    assert [(row[0], row[1]) for row in table] == rows
    assert all(float(row[3]) <= 24 for row in table), table
    assert [row[2] for row in table if row[0] == "fine"] == ["answer"]
    assert {row[2] for row in table if row[0].startswith(("bomb", "large", "many"))} == {
        *("EventTooLargeError", "InvalidResponseError", "InternalServerError", "StreamError")
    }


async def test_a_client_that_is_closed_amid_all_this_leaves_nothing() -> None:
    names = [
        "endless-events",
        "pings-forever",
        "stall-in-chunk",
        "slow",
        "silence",
        "drip-head",
        "gzip",
        "endless-pings",
    ]
    with remains() as left:
        async with FaultServer(*names, pause=0.01) as server:
            client = client_of(server)
            calls = [asyncio.create_task(ask(client, "stream")) for _ in names]
            while len(server.requests) < len(names):  # noqa: ASYNC110  (a server has no event for it)
                await asyncio.sleep(0.01)
            await client.aclose()
            ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
            await server.all_closed()
    assert all(isinstance(one, ChatCompletion | InferenceError) for one in ended)
    assert (left.tasks, left.complaints, left.warnings) == ([], [], [])


@pytest.mark.parametrize(
    ("names", "error", "partial"),
    [
        ("gzip+cut-in-chunk+until-close", IncompleteStreamError, "Grüße aus"),
        ("deflate+stall-in-event", BetweenTokensTimeoutError, "Grüße aus"),
        ("x-gzip+error-object", StreamError, "Grüße"),
        ("chunk-per-byte+half-event", IncompleteStreamError, "Grüße aus"),
        ("status-503+gzip-corrupt", InternalServerError, None),
        ("status-500+length-over", InternalServerError, None),
        ("html-200+gzip", InvalidResponseError, None),
        ("bom+crlf+chunk-per-byte", None, None),
        ("interim-103+no-done+http-1.0", None, None),
    ],
)
async def test_faults_that_come_together(names: str, error: type[InferenceError] | None, partial: str | None) -> None:
    timeouts = Timeouts(first_token=20, between_tokens=0.2, total=20)
    async with FaultServer(fault(names)) as server:
        async with client_of(server, timeouts=timeouts) as client:
            [ended] = await asyncio.gather(ask(client, "stream"), return_exceptions=True)
        await server.all_closed()
    if error is None:
        assert isinstance(ended, ChatCompletion)
        assert ended.text == TEXT
        return
    assert type(ended) is error
    assert ended.request_id == "request-golden"
    assert (ended.partial.text if ended.partial is not None else None) == partial


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["reset-untold", "close-untold", "reset-on-reuse"])
async def test_a_kept_connection_that_is_lost_is_lost_in_silence(name: str, kind: Kind) -> None:
    with remains() as left:
        async with FaultServer(name) as server:
            async with client_of(server) as client:
                for _ in range(3):
                    assert (await ask(client, kind)).text == TEXT
                    await asyncio.sleep(0.01)
            await server.all_closed()
    assert (left.tasks, left.complaints, left.warnings) == ([], [], [])
