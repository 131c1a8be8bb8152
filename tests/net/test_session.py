"""The send loop: what is sent again, what each limit strikes, who holds a place, and who ends it all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest

from inference_async import InferenceClient, Limits, RetryPolicy, Timeouts
from inference_async.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BetweenTokensTimeoutError,
    ClientClosedError,
    ConfigurationError,
    ConnectTimeoutError,
    ContentFilterError,
    CredentialError,
    FirstTokenTimeoutError,
    IncompleteStreamError,
    InferenceError,
    InternalServerError,
    InvalidResponseError,
    PermissionDeniedError,
    PoolTimeoutError,
    RateLimitError,
    ResponseTypeError,
    StreamError,
    TotalTimeoutError,
)
from inference_async.policy.retry import FailedAttempt
from inference_async.wire.request import Call
from tests.identity import Model, challenge
from tests.support import (
    DONE,
    HELLO,
    STREAM_HEAD,
    Connection,
    RawServer,
    ScriptedReply,
    ScriptedTransport,
    chunk,
    event,
    json_reply,
)

QUICK: Final = RetryPolicy(backoff=0)
CHOICE: Final = {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
HI: Final = {"id": "1", "model": "m", "created": 1, "choices": [CHOICE]}
AGAIN: Final = (408, 409, 429, 500, 502, 503, 504, 524, 529)
WAYS: Final = ("whole", "streamed")
LEAVES: Final = "connection: close"

Answer = bytes | Callable[[Connection], Awaitable[object]]


def refusal(status: int, *headers: str, says: str = "no") -> bytes:
    return json_reply({"error": {"message": says}}, f"{status} No", headers)


def hi(*headers: str) -> bytes:
    return json_reply(HI, headers=headers)


def serving(*answers: Answer) -> RawServer:
    """A server that gives one answer after the other, and the last of them for ever."""
    left = list(answers)

    async def answer(connection: Connection) -> object:
        now = left.pop(0) if len(left) > 1 else left[0]
        if callable(now):
            return await now(connection)
        await connection.send(now)
        return True

    return RawServer(answer)


def client_of(server: RawServer, **options: Any) -> InferenceClient:
    return InferenceClient(f"{server.url}/v1", model="m", **({"retries": QUICK} | options))


async def ask(client: InferenceClient, way: str = "whole", **options: Any) -> Any:
    """The answer; a stream is read to its end."""
    if way == "whole":
        return await client.complete("hi", **options)
    return await client.stream("hi", **options).final()


async def failure(client: InferenceClient, way: str = "whole", **options: Any) -> Any:
    """The error of a call."""
    with pytest.raises(InferenceError) as caught:
        await ask(client, way, **options)
    return caught.value


def headers_of(request: tuple[bytes, bytes]) -> dict[str, str]:
    lines = request[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


async def hang(connection: Connection) -> None:
    await connection.gone.wait()


async def turns(number: int = 20) -> None:
    """Let everybody go on."""
    for _ in range(number):
        await asyncio.sleep(0)


def whole(status: int = 200, headers: dict[str, str] | None = None) -> ScriptedReply:
    """A reply at the seam: an answer, or a refusal."""
    body = hi() if status == 200 else refusal(status)
    return ScriptedReply([body.partition(b"\r\n\r\n")[2]], status, headers)


def seam(*replies: ScriptedReply | Exception, **options: Any) -> tuple[InferenceClient, ScriptedTransport]:
    transport = ScriptedTransport(*replies)
    options = {"retries": QUICK} | options
    return InferenceClient("http://localhost/v1", model="m", transport=transport, **options), transport


def cut(**fields: Any) -> APIConnectionError:
    return APIConnectionError("cut", **({"kind": "cut", "phase": "headers"} | fields))


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time then."""
    waits: list[float] = []
    sleep = asyncio.sleep

    async def record(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("inference_async.net.session.asyncio.sleep", record)
    return waits


# ---------------------------------------------------------------------------------------------------------------------
# What is sent again


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", AGAIN)
async def test_a_refusal_is_followed_by_another_attempt(status: int, way: str) -> None:
    good = hi() if way == "whole" else STREAM_HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(HELLO), HELLO)
    async with serving(refusal(status), good) as server, client_of(server) as client:
        completion = await ask(client, way)
        assert completion.meta.attempts == 2
        assert (completion.meta.status, len(server.requests)) == (200, 2)
        assert server.requests[0][1] == server.requests[1][1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", AGAIN)
async def test_the_last_error_is_raised(status: int, way: str) -> None:
    answers = [refusal(status, f"x-request-id: r{n}") for n in (1, 2, 3)]
    async with serving(*answers) as server, client_of(server) as client:
        error = await failure(client, way)
        assert type(error) is APIStatusError.for_status(status)
        assert (error.status, error.attempts, error.request_id, error.phase) == (status, 3, "r3", "headers")
        assert error.retryable
        assert len(server.requests) == 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 413, 422, 424])
async def test_other_refusals_are_not(status: int, way: str) -> None:
    async with serving(refusal(status)) as server, client_of(server) as client:
        error = await failure(client, way)
        assert (error.status, error.attempts, len(server.requests)) == (status, 1, 1)
        assert not error.retryable


async def test_a_quota_that_is_used_up_is_not_asked_for_again() -> None:
    body = {"error": {"message": "no", "code": "insufficient_quota"}}
    async with serving(json_reply(body, "429 No")) as server, client_of(server) as client:
        assert isinstance(await failure(client), RateLimitError)
        assert len(server.requests) == 1


async def test_the_header_of_the_service_has_the_say() -> None:
    async with (
        serving(refusal(400, "X-Should-Retry: true"), refusal(503, "X-Should-Retry: false")) as server,
        client_of(server) as client,
    ):
        error = await failure(client)
        assert (error.status, error.attempts) == (503, 2)


@pytest.mark.parametrize("way", WAYS)
async def test_one_id_for_all_attempts_and_a_count(way: str) -> None:
    async with serving(refusal(503)) as server, client_of(server, retries=RetryPolicy(retries=3, backoff=0)) as client:
        error = await failure(client, way)
        sent = [headers_of(request) for request in server.requests]
        assert [one.get("x-ms-client-retry-count") for one in sent] == [None, "1", "2", "3"]
        ids = {one["x-ms-client-request-id"] for one in sent}
        assert ids == {error.request_id}
        await failure(client, way)
        assert headers_of(server.requests[4])["x-ms-client-request-id"] not in ids, "each call has an id of its own"


async def test_an_id_of_the_callers_goes_on_all_attempts() -> None:
    async with serving(refusal(503)) as server, client_of(server) as client:
        error = await failure(client, headers={"X-Ms-Client-Request-Id": "mine"})
        assert {headers_of(request)["x-ms-client-request-id"] for request in server.requests} == {"mine"}
        assert error.request_id == "mine"


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        pytest.param({}, 3, id="cut before the answer"),
        pytest.param({"kind": "dns", "phase": "connect"}, 3, id="no such name"),
        pytest.param({"kind": "certificate", "phase": "connect"}, 1, id="not trusted"),
        pytest.param({"kind": "protocol"}, 1, id="not HTTP"),
        pytest.param({"phase": "body"}, 1, id="an answer had begun"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
async def test_connections_that_fail(fields: dict[str, Any], sent: int, way: str) -> None:
    error = cut(**fields)
    client, transport = seam(error, error, error)
    found = await failure(client, way)
    assert found is error
    assert (found.attempts, len(transport.calls)) == (sent, sent)
    assert found.request_id == transport.calls[0].headers["x-ms-client-request-id"]


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_stale_connection_is_replaced_whatever_the_policy(retries: int) -> None:
    client, transport = seam(cut(stale=True), whole(), retries=RetryPolicy(retries=retries, backoff=30))
    assert (await client.complete("hi")).meta.attempts == 2
    assert transport.calls[1].headers["x-ms-client-retry-count"] == "1"


async def test_the_tokens_of_a_stale_resend_are_not_spent() -> None:
    client, _ = seam(cut(stale=True), whole())
    client._session._budget.tokens = 0
    await client.complete("hi")
    assert client._session._budget.tokens == 1


@pytest.mark.parametrize("way", WAYS)
async def test_retries_for_the_client_a_copy_and_a_call(way: str) -> None:
    async with serving(refusal(503)) as server, client_of(server) as client:

        async def attempts(which: InferenceClient, **options: Any) -> int:
            before = len(server.requests)
            error = await failure(which, way, **options)
            assert error.attempts == len(server.requests) - before
            return int(error.attempts)

        assert await attempts(client) == 3
        assert await attempts(client, retries=0) == 1
        assert await attempts(client, retries=1) == 2
        assert await attempts(client, retries=RetryPolicy(retries=4, backoff=0)) == 5
        copy = client.with_options(retries=1)
        assert await attempts(copy) == 2
        assert await attempts(copy, retries=0) == 1
        assert await attempts(client) == 3


async def test_a_number_keeps_the_rest_of_the_policy() -> None:
    seen: list[float | None] = []

    def hook(attempt: FailedAttempt) -> float | None:
        seen.append(attempt.delay)
        return 0.0

    policy = RetryPolicy(retries=0, backoff=0, max_retry_after=5, hook=hook)
    async with serving(refusal(503, "retry-after: 6")) as server, client_of(server, retries=policy) as client:
        await failure(client, retries=1)
        await failure(client.with_options(retries=1))
        assert seen == [None, None]
        assert len(server.requests) == 4


@pytest.mark.parametrize("retries", [-1, 1001, True, 1.5, "2"])
async def test_no_number_of_retries(retries: Any) -> None:
    client, transport = seam(whole())
    with pytest.raises(ConfigurationError, match="retries"):
        await client.complete("hi", retries=retries)
    assert transport.calls == []


# ---------------------------------------------------------------------------------------------------------------------
# How long it waits


async def test_the_backoff_is_slept(slept: list[float]) -> None:
    client, _ = seam(whole(503), whole(503), whole(), retries=RetryPolicy(backoff=4))
    await client.complete("hi")
    assert len(slept) == 2
    assert 0 <= slept[0] <= 4
    assert 0 <= slept[1] <= 8


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after-ms": "3"}, 0.003),
        ({"x-ms-retry-after-ms": "4"}, 0.004),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "60"}, 60.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:30:00 GMT", "date": "Wed, 21 Oct 2026 07:29:20 GMT"}, 40.0),
        ({"retry-after": "soon"}, 0.0),
        ({"retry-after": "nan"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_the_wait_that_the_service_asks_for(
    headers: dict[str, str], wait: float, status: int, slept: list[float]
) -> None:
    client, _ = seam(whole(status, headers), whole())
    await client.complete("hi")
    assert slept == [wait]


async def test_milliseconds_over_a_real_connection() -> None:
    async with (
        serving(refusal(429, "retry-after-ms: 5", "retry-after: 30"), hi()) as server,
        client_of(server) as client,
    ):
        assert (await client.complete("hi")).meta.attempts == 2


@pytest.mark.parametrize("way", WAYS)
async def test_a_day_is_not_slept(way: str) -> None:
    async with serving(refusal(429, "retry-after: 86400")) as server, client_of(server) as client:
        error = await failure(client, way)
        assert isinstance(error, RateLimitError)
        assert (error.retry_after, error.attempts, len(server.requests)) == (86_400.0, 1, 1)
        assert str(error).endswith(
            "; the service asks to wait 86400 s, above max_retry_after (60 s), so it was not sent again"
        )
        assert error.retryable, "later"


async def test_no_wait_is_begun_that_the_total_would_cut(slept: list[float]) -> None:
    client, transport = seam(whole(503, {"retry-after": "5"}), timeouts=Timeouts(total=4.0))
    error = await failure(client)
    assert isinstance(error, InternalServerError), "which says more than that the time is over"
    assert (error.attempts, len(transport.calls), slept) == (1, 1, [])


@pytest.mark.parametrize("way", WAYS)
async def test_the_total_is_that_of_all_attempts(way: str) -> None:
    async with (
        serving(refusal(503), refusal(503, "retry-after-ms: 10"), hang) as server,
        client_of(server, timeouts=Timeouts(total=0.1)) as client,
    ):
        error = await failure(client, way)
        assert type(error) is TotalTimeoutError
        assert (error.phase, error.attempts, error.chunks, error.status) == ("total", 3, 0, None)
        assert error.elapsed > 0.09
        assert error.request_id == headers_of(server.requests[0])["x-ms-client-request-id"]


async def test_a_wait_between_attempts_ends_with_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_async.net.session.Trip.delay", lambda trip, error: 30.0)  # a policy without a watch
    client, _ = seam(whole(503), timeouts=Timeouts(total=0.05))
    error = await failure(client)
    assert type(error) is TotalTimeoutError
    assert (error.phase, error.attempts) == ("total", 1)
    assert error.elapsed > 0.04


async def test_first_token_begins_anew_with_each_attempt() -> None:
    async def late(connection: Connection) -> None:
        await asyncio.sleep(0.04)
        await connection.send(refusal(503))

    async def later(connection: Connection) -> None:
        await asyncio.sleep(0.04)
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(HELLO)

    async with (
        serving(late, late, later) as server,
        client_of(server, timeouts=Timeouts(first_token=0.1)) as client,
    ):
        assert (await client.stream("hi").final()).meta.attempts == 3


# ---------------------------------------------------------------------------------------------------------------------
# Each limit has an error of its own


async def test_pool_timeout() -> None:
    async with (
        serving(hang) as server,
        client_of(server, max_connections=1, timeouts=Timeouts(pool=0.02)) as client,
    ):
        first = asyncio.create_task(client.complete("hi"))
        await server.asked.wait()
        for way in WAYS:
            error = await failure(client, way)
            assert type(error) is PoolTimeoutError
            assert "max_connections" in str(error)
            assert (error.phase, error.kind, error.attempts, error.chunks, error.status) == ("pool", "pool", 0, 0, None)
            assert error.elapsed > 0.01
            assert error.retryable
        assert len(server.requests) == 1
        first.cancel()
        await asyncio.wait([first])


async def test_no_pool_timeout_where_it_is_off() -> None:
    async with (
        serving(hang, hi()) as server,
        client_of(server, max_connections=1, timeouts=Timeouts(pool=None, total=0.05)) as client,
    ):
        first = asyncio.create_task(client.complete("hi", timeouts=Timeouts()))
        await server.asked.wait()
        error = await failure(client)
        assert type(error) is TotalTimeoutError
        assert error.attempts == 0
        patient = asyncio.create_task(client.complete("hi", timeouts=Timeouts(pool=None)))
        await turns()
        first.cancel()
        assert (await patient).text == "Hi."


async def test_connect_timeout_says_the_time_of_the_whole_call() -> None:
    slow = ConnectTimeoutError("slow", phase="connect", elapsed=1e6)
    client, _ = seam(whole(503), slow, retries=RetryPolicy(retries=1, backoff=0))
    error = await failure(client)
    assert error is slow
    assert (error.phase, error.attempts, error.status) == ("connect", 2, None)
    assert 0 <= error.elapsed < 1e5


@pytest.mark.parametrize("head", [b"", STREAM_HEAD], ids=["no head", "no chunk"])
async def test_first_token_timeout(head: bytes) -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(head)
        await connection.gone.wait()

    async with serving(answer) as server, client_of(server, timeouts=Timeouts(first_token=0.05)) as client:
        error = await failure(client, "streamed")
        assert type(error) is FirstTokenTimeoutError
        assert (error.phase, error.chunks, error.attempts, len(server.requests)) == ("first_token", 0, 1, 1)
        assert error.status == (200 if head else None)
        assert error.elapsed > 0.04
        await asyncio.wait_for(server.gone.wait(), 5)


def begun(*pieces: bytes) -> Callable[[Connection], Awaitable[object]]:
    """An answer that begins well, and does not go on."""

    async def answer(connection: Connection) -> None:
        await connection.send(STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nx-request-id: service-1\r\n\r\n"))
        await connection.send_chunks(*pieces, end=False)
        await connection.gone.wait()

    return answer


@pytest.mark.parametrize(
    ("timeouts", "cls", "phase"),
    [
        (Timeouts(between_tokens=0.05), BetweenTokensTimeoutError, "between_tokens"),
        (Timeouts(total=0.15), TotalTimeoutError, "total"),
    ],
)
async def test_limits_on_a_stream_that_has_begun(timeouts: Timeouts, cls: type[APITimeoutError], phase: str) -> None:
    async with (
        serving(refusal(503), begun(event(chunk("Hel")), event(chunk("lo")))) as server,
        client_of(server) as client,
    ):
        error = await failure(client, "streamed", timeouts=timeouts)
        assert type(error) is cls
        assert (error.phase, error.chunks, error.attempts, error.status) == (phase, 2, 2, 200)
        assert error.partial is not None
        assert error.partial.text == "Hello"
        assert error.request_id == "service-1"
        assert error.elapsed > 0.04
        assert error.retryable
        assert len(server.requests) == 2


async def test_total_timeout_within_a_body() -> None:
    async def answer(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\nx-request-id: service-1\r\n\r\n{")
        await connection.gone.wait()

    async with serving(answer) as server, client_of(server, timeouts=Timeouts(total=0.05)) as client:
        error = await failure(client)
        assert type(error) is TotalTimeoutError
        assert (error.phase, error.attempts, error.status, error.request_id) == ("total", 1, 200, "service-1")
        assert len(server.requests) == 1
        await asyncio.wait_for(server.gone.wait(), 5)


async def test_a_limit_on_the_answer_is_none_on_a_new_token() -> None:
    class Slow:
        given = 0

        async def get_token(self, *scopes: str, **keywords: Any) -> Any:
            self.given += 1
            if self.given > 1:
                await asyncio.sleep(0.05)
            return Token(f"token-{self.given}")

    async with serving(refusal(401), begun(HELLO)) as server:
        timeouts = Timeouts(first_token=0.04)
        async with client_of(server, credential=Slow(), scope="s", timeouts=timeouts) as client:
            assert (await client.stream("hi").final()).text == "Hello"


async def test_a_limit_on_the_answer_is_none_on_the_wait_for_the_next_attempt() -> None:
    policy = RetryPolicy(hook=lambda attempt: 0.05)
    client, _ = seam(cut(), ScriptedReply([HELLO]), retries=policy, timeouts=Timeouts(first_token=0.02))
    assert (await client.stream("hi").final()).meta.attempts == 2


async def test_the_limit_on_a_place_is_none_on_the_token() -> None:
    class Slow:
        given = 0

        async def __call__(self) -> str:
            self.given += 1
            if self.given > 1:
                await asyncio.sleep(0.05)
            return f"token-{self.given}"

    release = asyncio.Event()

    async def first_answer(connection: Connection) -> None:
        await release.wait()
        await connection.send(hi())

    async with serving(first_answer, hi()) as server:
        options: dict[str, Any] = {"credential": Slow(), "max_connections": 1, "timeouts": Timeouts(pool=0.04)}
        async with client_of(server, **options) as client:
            first = asyncio.create_task(client.complete("hi"))
            await server.asked.wait()
            second = asyncio.create_task(client.complete("hi"))
            await turns()
            release.set()
            await first
            assert (await second).text == "Hi."


# ---------------------------------------------------------------------------------------------------------------------
# An answer that has begun is never asked for again


BROKEN: Final = event({"error": {"code": "server_error", "message": "no"}})


@pytest.mark.parametrize(
    ("after", "cls"),
    [
        pytest.param(b"", IncompleteStreamError, id="cut"),
        pytest.param(b"0\r\n\r\n", IncompleteStreamError, id="ended too early"),
        pytest.param(b"%x\r\n%b\r\n" % (len(BROKEN), BROKEN), StreamError, id="error event"),
    ],
)
async def test_a_stream_is_not_begun_anew(after: bytes, cls: type[StreamError]) -> None:
    async def answer(connection: Connection) -> bool:
        await connection.send(STREAM_HEAD)
        await connection.send_chunks(event(chunk("Hel")), end=False)
        await connection.send(after)
        return False

    async with serving(answer) as server, client_of(server) as client:
        error = await failure(client, "streamed")
        assert type(error) is cls
        assert error.retryable
        assert error.partial is not None
        assert (error.attempts, error.partial.text, error.phase) == (1, "Hel", "body")
        assert len(server.requests) == 1


async def test_a_stream_of_nothing_is_not_begun_anew() -> None:
    async def answer(connection: Connection) -> bool:
        await connection.send(STREAM_HEAD)
        return False

    async with serving(answer) as server, client_of(server) as client:
        error = await failure(client, "streamed")
        assert (type(error), error.attempts, error.status) == (IncompleteStreamError, 1, 200)
        assert len(server.requests) == 1


async def test_a_body_that_is_cut_is_not_asked_for_again() -> None:
    async def answer(connection: Connection) -> bool:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\nx-request-id: service-1\r\n\r\n{")
        return False

    async with serving(answer) as server, client_of(server) as client:
        error = await failure(client)
        assert isinstance(error, APIConnectionError)
        assert (error.attempts, error.phase, error.status, error.request_id) == (1, "body", 200, "service-1")
        assert len(server.requests) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("body", "cls", "status"),
    [
        pytest.param({"error": {"message": "busy", "status": 503}}, InternalServerError, 503, id="error"),
        pytest.param(b"<html>busy</html>", InvalidResponseError, 200, id="page"),
    ],
)
async def test_a_success_that_is_none_is_not_asked_for_again(body: Any, cls: type[Any], status: int, way: str) -> None:
    async with serving(refusal(503), json_reply(body)) as server, client_of(server) as client:
        error = await failure(client, way)
        assert isinstance(error, cls)
        assert (error.status, error.phase, error.attempts, len(server.requests)) == (status, "body", 2, 2)


@pytest.mark.parametrize("way", WAYS)
async def test_errors_made_of_a_whole_answer_know_their_call(way: str) -> None:
    filtered = HI | {"choices": [CHOICE | {"finish_reason": "content_filter"}]}
    client, _ = seam(
        whole(503),
        ScriptedReply([json_reply(filtered).partition(b"\r\n\r\n")[2]]),
        whole(503),
        ScriptedReply([hi().partition(b"\r\n\r\n")[2]]),
    )
    error = await failure(client, way, raise_on_filter=True)
    assert isinstance(error, ContentFilterError)
    assert (error.attempts, error.status, error.phase) == (2, 200, "body")
    mismatch = await failure(client, way, response_type=int)
    assert isinstance(mismatch, ResponseTypeError)
    assert (mismatch.attempts, mismatch.status, mismatch.phase) == (2, 200, "body")


# ---------------------------------------------------------------------------------------------------------------------
# The body of a refusal: its status is not lost over it


async def broken(connection: Connection) -> bool:
    await connection.send(b'HTTP/1.1 400 No\r\ncontent-length: 99\r\n\r\n{"error":')
    return False


async def silent(connection: Connection) -> None:
    await connection.send(b"HTTP/1.1 400 No\r\ncontent-length: 99\r\n\r\nmind the ga")
    await connection.gone.wait()


async def dripping(connection: Connection) -> None:
    await connection.send(b"HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await connection.send(b"1\r\nx\r\n")
        await asyncio.sleep(0.005)


async def endless(connection: Connection) -> None:
    await connection.send(b"HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")


async def nonsense(connection: Connection) -> bool:
    await connection.send(b"HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\n4\r\nsaid\r\n")
    await asyncio.sleep(0.01)  # together with the head, it would be no HTTP from the start
    await connection.send(b"ZZZ\r\n")
    return False


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", [broken, silent, dripping, endless, nonsense], ids=lambda answer: answer.__name__)
async def test_the_body_of_a_refusal(
    answer: Callable[[Connection], Awaitable[object]], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference_async.net.session._ERROR_BODY_SECONDS", 0.05)
    limits = Limits(max_error_body_bytes=1000)
    async with serving(answer) as server, client_of(server, limits=limits, max_connections=1) as client:
        for number in (1, 2):
            error = await failure(client, way, timeouts=Timeouts(first_token=0.04, between_tokens=0.04))
            assert isinstance(error, BadRequestError)
            assert (error.status, error.attempts, len(server.requests)) == (400, 1, number)
            assert len(error.body) <= 1000
        assert server.connections == 2, "a connection whose answer was not read to its end is cut"


async def test_what_came_of_the_body_of_a_refusal_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_async.net.session._ERROR_BODY_SECONDS", 0.05)
    async with serving(silent) as server, client_of(server) as client:
        assert (await failure(client)).detail == "mind the ga"


async def test_a_refusal_whose_body_breaks_is_sent_again() -> None:
    async def broken_503(connection: Connection) -> bool:
        await connection.send(b'HTTP/1.1 503 No\r\ncontent-length: 99\r\n\r\n{"error":')
        return False

    async with serving(broken_503, hi()) as server, client_of(server) as client:
        assert (await client.complete("hi")).meta.attempts == 2


# ---------------------------------------------------------------------------------------------------------------------
# The budget


class Outage:
    """A transport that has nothing but refusals, until it is mended."""

    def __init__(self, status: int = 503) -> None:
        self.requests = 0
        self.status = status

    async def send(self, call: Call, *, connect_timeout: float | None) -> ScriptedReply:
        self.requests += 1
        await asyncio.sleep(0)
        return whole(self.status)

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize(("at_once", "status", "most"), [(1, 503, 1035), (1000, 503, 1035), (50, 429, 1100)])
async def test_an_outage_is_not_made_worse(at_once: int, status: int, most: int) -> None:
    outage = Outage(status)
    client = InferenceClient("http://localhost/v1", model="m", transport=outage, retries=QUICK)
    copies = [client, client.with_options(headers={"a": "b"})]
    for _ in range(0, 1000, at_once):
        calls = (failure(copies[number % 2]) for number in range(at_once))
        assert {error.status for error in await asyncio.gather(*calls)} == {status}
    assert outage.requests == most


async def test_calls_that_succeed_refill_the_budget() -> None:
    outage = Outage()
    client = InferenceClient("http://localhost/v1", model="m", transport=outage, retries=QUICK)
    budget = client._session._budget
    budget.tokens = 13
    assert (await failure(client)).attempts == 1
    outage.status = 200
    await client.complete("hi")
    assert budget.tokens == 14
    outage.status = 503
    assert (await failure(client)).attempts == 2
    assert budget.tokens == 0
    assert (await failure(client, retries=RetryPolicy(backoff=0, budgeted=False))).attempts == 3


async def test_a_retry_that_helps_is_given_back() -> None:
    client, _ = seam(whole(503), whole(503), whole(), whole(429), whole())
    await client.complete("hi")
    assert client._session._budget.tokens == 486
    await client.complete("hi")
    assert client._session._budget.tokens == 486


# ---------------------------------------------------------------------------------------------------------------------
# A credential that is refused


class Token:
    def __init__(self, token: str) -> None:
        self.token = token
        self.expires_on = 4e9


class Counting:
    """A credential that gives a new token each time."""

    def __init__(self) -> None:
        self.given = 0
        self.asked: list[dict[str, Any]] = []

    async def get_token(self, *scopes: str, **keywords: Any) -> Token:
        self.given += 1
        self.asked.append(keywords)
        number = self.given
        await asyncio.sleep(0)
        return Token(f"token-{number}")


def only(*good: str) -> Model:
    """A server that takes these tokens."""
    return Model(lambda bearer: None if bearer in good else "Bearer")


@pytest.mark.parametrize("retries", [0, 2])
async def test_a_refused_token_is_renewed_once(retries: int) -> None:
    credential = Counting()
    async with only("token-2") as model, client_of(model, credential=credential, scope="s", retries=retries) as client:
        completion = await client.complete("hi")
        assert completion.meta.attempts == 2
        await client.complete("hi")
    assert model.bearers == ["token-1", "token-2", "token-2"]
    assert credential.given == 2
    assert client._session._budget.tokens == 500, "no retry in the sense of the policy"


async def test_fifty_calls_renew_one_token() -> None:
    credential = Counting()
    async with only("token-2") as model, client_of(model, credential=credential, scope="s", retries=0) as client:
        completions = await asyncio.gather(*(client.complete("hi") for _ in range(50)))
    assert {completion.meta.attempts for completion in completions} <= {1, 2}
    assert credential.given == 2
    assert 51 <= len(model.bearers) <= 100
    assert set(model.bearers) == {"token-1", "token-2"}


async def test_a_new_token_that_is_refused_too_is_an_error() -> None:
    credential = Counting()
    async with only() as model, client_of(model, credential=credential, scope="s") as client:
        error = await failure(client)
        assert isinstance(error, AuthenticationError)
        assert (error.attempts, model.bearers) == (2, ["token-1", "token-2"])


async def test_a_credential_that_fails_meanwhile_leaves_the_refusal() -> None:
    class Once(Counting):
        async def get_token(self, *scopes: str, **keywords: Any) -> Token:
            if self.given:
                raise OSError("no network")
            return await super().get_token(*scopes, **keywords)

    async with only() as model, client_of(model, credential=Once(), scope="s") as client:
        assert isinstance(await failure(client), AuthenticationError)
        assert model.bearers == ["token-1"]


async def test_a_credential_that_fails_at_once_sends_nothing() -> None:
    async def provider() -> str:
        raise OSError("no network")

    async with only() as model, client_of(model, credential=provider) as client:
        error = await failure(client)
        assert isinstance(error, CredentialError)
        assert (error.attempts, error.phase, error.retryable, model.bearers) == (0, None, False, [])


@pytest.mark.parametrize(
    ("says", "sent"),
    [("The access token has expired.", 2), ("Token EXPIRED", 2), ("the identity may not do this", 1)],
)
async def test_403_where_it_means_an_old_token(says: str, sent: int) -> None:
    credential = Counting()
    async with (
        serving(refusal(403, says=says)) as server,
        client_of(server, credential=credential, scope="s") as client,
    ):
        error = await failure(client)
        assert isinstance(error, PermissionDeniedError)
        assert (error.attempts, len(server.requests), credential.given) == (sent, sent, sent)


async def test_other_refusals_that_speak_of_something_expired() -> None:
    credential = Counting()
    async with (
        serving(refusal(400, says="the deployment has expired")) as server,
        client_of(server, credential=credential, scope="s") as client,
    ):
        assert (await failure(client)).attempts == 1


async def test_a_key_that_was_replaced_meanwhile() -> None:
    class Key:
        key = "old-key"

    key = Key()

    def refuse(bearer: str) -> str | None:
        key.key = "new-key"
        return "Bearer" if bearer == "old-key" else None

    async with Model(refuse) as model, client_of(model, credential=key, retries=0) as client:
        assert (await client.complete("hi")).meta.attempts == 2
        assert model.bearers == ["old-key", "new-key"]


async def test_a_key_that_stays_is_refused_once() -> None:
    async with only() as model, client_of(model, credential="a-plain-key") as client:
        error = await failure(client)
        assert (type(error), error.attempts) == (AuthenticationError, 1)
        assert model.bearers == ["a-plain-key"]


async def test_a_header_of_the_callers_is_not_renewed() -> None:
    credential = Counting()
    async with only() as model, client_of(model, credential=credential, scope="s") as client:
        error = await failure(client, headers={"authorization": "Bearer mine"})
        assert (error.attempts, model.bearers, credential.given) == (1, ["mine"], 0)


async def test_a_claims_challenge_and_an_outage_in_one_call() -> None:
    credential = Counting()
    asks = f"WWW-Authenticate: {challenge({'access_token': {'nbf': {'value': '1'}}})}"
    async with serving(refusal(503), refusal(401, asks), refusal(503), hi()) as server:
        async with client_of(server, credential=credential, scope="s") as client:
            assert (await client.complete("hi")).meta.attempts == 4
        assert "claims" in credential.asked[1]
        sent = [headers_of(request) for request in server.requests]
        assert [one["authorization"] for one in sent] == [f"Bearer token-{n}" for n in (1, 1, 2, 2)]
        assert [one.get("x-ms-client-retry-count") for one in sent] == [None, "1", "2", "3"]


# ---------------------------------------------------------------------------------------------------------------------
# Places


class Gated:
    """A transport whose answers wait until they are let through, one by one."""

    def __init__(self, *replies: ScriptedReply) -> None:
        self.asked: list[str] = []
        self.now = 0
        self.most = 0
        self._replies = list(replies)
        self._gate = asyncio.Semaphore(0)

    def let_through(self, number: int = 1) -> None:
        for _ in range(number):
            self._gate.release()

    async def send(self, call: Call, *, connect_timeout: float | None) -> ScriptedReply:
        self.asked.append(call.headers.get("who", ""))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self._gate.acquire()
        finally:
            self.now -= 1
        return self._replies.pop(0) if self._replies else whole()

    async def aclose(self) -> None:
        pass


def gated(*replies: ScriptedReply, most: int | None = 1, **options: Any) -> tuple[InferenceClient, Gated]:
    transport = Gated(*replies)
    options = {"retries": QUICK, "max_connections": most} | options
    return InferenceClient("http://localhost/v1", model="m", transport=transport, **options), transport


def places(client: InferenceClient) -> int:
    """How many are free."""
    free = client._session._places
    assert free is not None
    return free._value


async def test_who_comes_first_is_first() -> None:
    client, transport = gated(most=2)
    calls = [asyncio.create_task(client.complete("hi", headers={"who": str(n)})) for n in range(6)]
    await turns()
    assert transport.asked == ["0", "1"]
    for _ in range(6):
        transport.let_through()
        await turns()
    await asyncio.gather(*calls)
    assert transport.asked == ["0", "1", "2", "3", "4", "5"]
    assert (transport.most, places(client)) == (2, 2)


async def test_a_call_that_comes_later_does_not_overtake() -> None:
    client, transport = gated()
    first = asyncio.create_task(client.complete("hi", headers={"who": "first"}))
    await turns()
    second = asyncio.create_task(client.complete("hi", headers={"who": "second"}))
    await turns()
    transport.let_through(3)
    await first
    third = asyncio.create_task(client.complete("hi", headers={"who": "third"}))
    await asyncio.gather(second, third)
    assert transport.asked == ["first", "second", "third"]


async def test_places_are_shared_with_copies() -> None:
    client, transport = gated()
    calls = [asyncio.create_task(one.complete("hi")) for one in (client, client.with_options(model="x"))]
    await turns()
    assert len(transport.asked) == 1
    transport.let_through(2)
    await asyncio.gather(*calls)


async def test_no_bound() -> None:
    client, transport = gated(most=None)
    calls = [asyncio.create_task(client.complete("hi")) for _ in range(150)]
    await turns()
    assert transport.most == 150
    transport.let_through(150)
    await asyncio.gather(*calls)


async def test_a_place_is_not_held_between_attempts() -> None:
    client, transport = gated(whole(503), retries=RetryPolicy(hook=lambda attempt: 30.0))
    waiting = asyncio.create_task(client.complete("hi", headers={"who": "refused"}))
    await turns()
    transport.let_through()
    await turns()
    assert places(client) == 1
    transport.let_through()
    await client.complete("hi", headers={"who": "other"}, timeouts=Timeouts(pool=5))
    assert transport.asked == ["refused", "other"]
    waiting.cancel()
    await asyncio.wait([waiting])
    assert places(client) == 1


async def test_a_retry_waits_for_a_place_like_any_other_call() -> None:
    client, transport = gated(whole(503))
    calls = [asyncio.create_task(client.complete("hi", headers={"who": who})) for who in ("a", "b")]
    await turns()
    transport.let_through(3)
    await asyncio.gather(*calls)
    assert transport.asked == ["a", "b", "a"]


async def test_a_waiter_that_is_cancelled_makes_room() -> None:
    client, transport = gated()
    calls = [asyncio.create_task(client.complete("hi", headers={"who": who})) for who in "abc"]
    await turns()
    calls[1].cancel()
    await asyncio.wait([calls[1]])
    transport.let_through(2)
    await asyncio.gather(calls[0], calls[2])
    assert (transport.asked, places(client)) == (["a", "c"], 1)


async def test_a_waiter_that_is_cancelled_as_its_turn_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    client, transport = gated()
    free = client._session._places
    assert free is not None
    calls = [asyncio.create_task(client.complete("hi", headers={"who": who})) for who in "abc"]
    await turns()
    release = free.release

    def release_and_cancel() -> None:
        release()
        calls[1].cancel()

    monkeypatch.setattr(free, "release", release_and_cancel)
    transport.let_through(2)
    await asyncio.wait(calls, timeout=5)
    assert [call.cancelled() for call in calls] == [False, True, False]
    assert (transport.asked, places(client)) == (["a", "c"], 1)


async def left(client: InferenceClient, reply: ScriptedReply, how: str) -> None:
    """End one call in this way."""
    stream = client.stream("hi")
    match how:
        case "success":
            await client.complete("hi")
        case "error":
            await failure(client)
        case "end":
            await stream.final()
        case "failed stream":
            await failure(client, "streamed")
        case "break":
            async with stream:
                async for _ in stream:
                    break
        case "aclose":
            await anext(stream)
            await stream.aclose()
        case "aclose twice":
            await anext(stream)
            await stream.aclose()
            await stream.aclose()
        case "entered only":
            async with stream:
                pass
        case "error of the caller's":
            with contextlib.suppress(KeyError):
                async with stream:
                    raise KeyError
        case "end and more":
            async with stream:
                await stream.final()
            await stream.aclose()
        case "dropped":
            await anext(stream)
            with pytest.warns(ResourceWarning, match="dropped"):
                del stream
        case _:
            raise AssertionError(how)


@pytest.mark.parametrize(
    ("how", "make"),
    [
        ("success", whole),
        ("error", lambda: whole(400)),
        ("error", lambda: ScriptedReply([b"<html>"])),
        ("error", lambda: ScriptedReply([cut(phase="body")])),
        ("error", lambda: ScriptedReply([b"x" * 20_000])),
        ("end", lambda: ScriptedReply([HELLO])),
        ("failed stream", lambda: ScriptedReply([event(chunk("Hel"))])),
        ("failed stream", lambda: ScriptedReply([event(chunk("Hel")), cut(phase="body")])),
        ("failed stream", lambda: whole(400)),
        ("end", whole),
        ("break", lambda: ScriptedReply([HELLO])),
        ("aclose", lambda: ScriptedReply([HELLO])),
        ("aclose twice", lambda: ScriptedReply([HELLO])),
        ("entered only", lambda: ScriptedReply([HELLO])),
        ("error of the caller's", lambda: ScriptedReply([HELLO])),
        ("end and more", lambda: ScriptedReply([HELLO])),
        ("dropped", lambda: ScriptedReply([HELLO])),
    ],
)
async def test_a_place_is_given_back_once(how: str, make: Callable[[], ScriptedReply]) -> None:
    reply = make()
    client, _ = seam(reply, max_connections=3, limits=Limits(max_body_bytes=10_000))
    assert places(client) == 3
    await left(client, reply, how)
    assert places(client) == 3
    assert reply.closed or reply.finished


async def test_a_place_is_held_while_a_stream_is_read() -> None:
    client, _ = seam(ScriptedReply([event(chunk("Hel")), event(chunk("", "stop")) + DONE]), max_connections=3)
    async with client.stream("hi") as stream:
        assert places(client) == 2
        await anext(stream)
        assert places(client) == 2
        await stream.final()
        assert places(client) == 3


async def test_a_place_is_given_back_where_nothing_could_be_sent() -> None:
    async def provider() -> str:
        raise OSError("no network")

    client, _ = seam(credential=provider, max_connections=1)
    for way in WAYS:
        assert isinstance(await failure(client, way), CredentialError)
        assert places(client) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Closing and cancelling, wherever a call is


class Scene:
    """A client, and what shows that its call has come to the place in question."""

    def __init__(self, client: InferenceClient, server: RawServer, there: Callable[[], bool]) -> None:
        self.client = client
        self.server = server
        self.there = there

    async def arrived(self) -> None:
        for _ in range(500):
            if self.there():
                await turns(3)
                return
            await asyncio.sleep(0.002)
        raise AssertionError("the call did not come so far")


PLACES: Final = ("token", "place", "head", "error body", "backoff", "new token")


@contextlib.asynccontextmanager
async def scene(where: str) -> AsyncIterator[Scene]:
    reached = asyncio.Event()

    async def half_a_refusal(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 503 No\r\ncontent-length: 99\r\n\r\n{")
        reached.set()
        await asyncio.sleep(0.005)
        await connection.gone.wait()

    def hook(attempt: FailedAttempt) -> float | None:
        reached.set()
        return 30.0

    class Hanging(Counting):
        async def get_token(self, *scopes: str, **keywords: Any) -> Token:
            if where == "token" or self.given:
                reached.set()
                await asyncio.Event().wait()
            return await super().get_token(*scopes, **keywords)

    answers: dict[str, Answer] = {
        "error body": half_a_refusal,
        "backoff": refusal(503),
        "new token": refusal(401),
    }
    options: dict[str, Any] = {"max_connections": 1, "retries": RetryPolicy(hook=hook)}
    if "token" in where:
        options |= {"credential": Hanging(), "scope": "s"}
    async with serving(answers.get(where, hang)) as server:
        client = client_of(server, **options)
        there = reached.is_set
        first = None
        if where == "head":
            there = server.asked.is_set
        elif where == "place":
            first = asyncio.create_task(client.complete("first"))
            await server.asked.wait()

            def there() -> bool:
                free = client._session._places
                return free is not None and bool(free._waiters)

        try:
            yield Scene(client, server, there)
        finally:
            if first is not None:
                first.cancel()
                await asyncio.wait([first])
            assert client._session._sending == set()
            assert places(client) == 1
            await client.aclose()
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", PLACES)
async def test_closing_the_client(where: str, way: str) -> None:
    async with scene(where) as on:
        call = asyncio.create_task(ask(on.client, way))
        await on.arrived()
        sent = len(on.server.requests)
        await asyncio.wait_for(on.client.aclose(), 5)
        with pytest.raises(ClientClosedError, match="the client was closed while this call was under way") as caught:
            await asyncio.wait_for(call, 5)
        assert caught.value.attempts == (0 if where in ("token", "place") else 1)
        assert not caught.value.retryable
        await turns()
        assert len(on.server.requests) == sent, "nothing is sent by a client that is closed"


@pytest.mark.parametrize("where", PLACES)
async def test_closing_the_stream(where: str) -> None:
    async with scene(where) as on:
        stream = on.client.stream("hi")
        call = asyncio.create_task(stream.final())
        await on.arrived()
        sent = len(on.server.requests)
        await asyncio.wait_for(stream.aclose(), 5)
        with pytest.raises(ClientClosedError, match="the stream was closed"):
            await asyncio.wait_for(call, 5)
        await turns()
        assert len(on.server.requests) == sent


@pytest.mark.parametrize("make", [whole, lambda: whole(503), cut], ids=["success", "refusal", "no answer"])
async def test_an_attempt_that_ends_as_the_client_is_closed(make: Callable[[], ScriptedReply | Exception]) -> None:
    made = make()

    class Closing(Outage):
        async def send(self, call: Call, *, connect_timeout: float | None) -> ScriptedReply:
            self.requests += 1
            client._session.closed = True
            if isinstance(made, Exception):
                raise made
            return made

    transport = Closing()
    client = InferenceClient("http://localhost/v1", model="m", transport=transport, retries=QUICK, max_connections=1)
    error = await failure(client)
    assert isinstance(error, ClientClosedError)
    assert (error.attempts, transport.requests, places(client)) == (1, 1, 1)
    assert isinstance(made, Exception) or made.closed


async def test_closing_is_not_undone_by_the_next_wait() -> None:
    class Closing(Outage):
        async def send(self, call: Call, *, connect_timeout: float | None) -> ScriptedReply:
            await stream.aclose()  # and goes on without a pause
            self.requests += 1
            return whole(503)

    transport = Closing()
    policy = RetryPolicy(hook=lambda attempt: 30.0)
    client = InferenceClient("http://localhost/v1", model="m", transport=transport, retries=policy)
    stream = client.stream("hi")
    with pytest.raises(ClientClosedError, match="the stream was closed"):
        await asyncio.wait_for(stream.final(), 5)
    assert transport.requests <= 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", PLACES)
async def test_cancelling(where: str, way: str) -> None:
    async with scene(where) as on:
        call = asyncio.create_task(ask(on.client, way))
        await on.arrived()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(call, 5)
        if where in ("head", "error body"):
            await asyncio.wait_for(on.server.gone.wait(), 5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", PLACES)
async def test_a_timeout_of_the_callers(where: str, way: str) -> None:
    async with scene(where) as on:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.03):
                await ask(on.client, way)
        assert not isinstance(caught.value, InferenceError)


# ---------------------------------------------------------------------------------------------------------------------
# The hook, as a client calls it


@pytest.mark.parametrize("way", WAYS)
async def test_the_hook_is_told_of_each_failed_attempt(way: str) -> None:
    seen: list[FailedAttempt] = []

    def hook(attempt: FailedAttempt) -> float | None:
        seen.append(attempt)
        return None if attempt.attempt == 3 else 0.0

    policy = RetryPolicy(retries=9, hook=hook)
    async with serving(refusal(503), refusal(400), refusal(429)) as server, client_of(server, retries=policy) as client:
        error = await failure(client, way)
        assert [(one.error.status, one.attempt) for one in seen] == [(503, 1), (400, 2), (429, 3)]
        assert [one.delay is None for one in seen] == [False, True, False]
        assert 0 <= seen[0].elapsed <= seen[1].elapsed <= seen[2].elapsed
        assert seen[2].error is error
        assert error.attempts == 3


@pytest.mark.parametrize("way", WAYS)
async def test_what_a_hook_raises_ends_the_call(way: str) -> None:
    def hook(attempt: FailedAttempt) -> float | None:
        raise KeyError("mine")

    async with serving(refusal(503)) as server:
        async with client_of(server, max_connections=1, retries=RetryPolicy(hook=hook)) as client:
            with pytest.raises(KeyError, match="mine"):
                await ask(client, way)
            assert places(client) == 1
            assert client._session._sending == set()
        assert len(server.requests) == 1


async def test_a_hook_that_says_nonsense_ends_the_call() -> None:
    client, transport = seam(whole(503), retries=RetryPolicy(hook=lambda attempt: -1.0))
    error = await failure(client)
    assert isinstance(error, ConfigurationError)
    assert (error.attempts, len(transport.calls)) == (1, 1)


async def test_a_client_that_is_forked_before_its_first_call_names_its_calls_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def named(client: InferenceClient) -> str:
        return client._session.begin(
            Call(method="GET", url="http://localhost/", headers={}), client._options.terms
        ).client_request_id

    client = InferenceClient("http://localhost/v1", model="m")
    inherited = client._session._names
    monkeypatch.setattr("os.getpid", lambda: -1)
    first = named(client)
    assert client._session._names is not inherited
    assert first != named(client)
    assert first[:-12] == named(client)[:-12]  # counted, not drawn
    monkeypatch.undo()
